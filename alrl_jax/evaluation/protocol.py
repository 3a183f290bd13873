"""What makes figures comparable: seeds, counts, units, splits, judge, versions, revision."""

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

import jax

from alrl_jax.evaluation import statistics
from alrl_jax.evaluation.benchmark import DILATION_AT_64, SKIN_TONE_BINS, SKIN_TONE_EDGES
from alrl_jax.evaluation.image_metrics import PSNR_CAP
from alrl_jax.evaluation.metric_table import METRICS

PACKAGES = ("alrl_jax", "jax", "jaxlib", "flax", "numpy")

NOTES = {
    "background_psnr": (
        "row to target, outside the union of the true faces of target and truth, dilated by "
        f"{DILATION_AT_64} px at 64 px (square)"
    ),
    "face_region": "union of the true faces of target and truth (FACE_LABELS of the parsing)",
    "identity": "unit-length identity factors of the judge; cosine; gallery: one other picture of "
    "every source person, in other circumstances; ties count against the row",
    "pose_error_degrees": "L2 over yaw, pitch and roll, mean over pairs",
    "reconstruction": "the true swap encoded and generated again; not blended",
    "lpips_like": "unit-length channels of the judge's feature maps, squared differences summed "
    "over channels, mean over places, sum over maps; no learned weights; not LPIPS",
    "psnr": f"data range 2 ([-1, 1]), equal pictures are given {PSNR_CAP:g} dB; mean of dB",
    "ssim": "Gaussian 11x11, sigma 1.5, K1 0.01, K2 0.03, population moments, RGB channels "
    "apart, whole windows only",
    "mask_iou": "blending mask cut at 0.5 and face region",
    "ci95": f"percentile bootstrap over pairs, {statistics.RESAMPLES} resamples, the same for all "
    "rows",
}


def units() -> dict[str, str]:
    """Unit of every metric; "1" where it is a bare number."""
    return {name: metric.unit or "1" for name, metric in METRICS.items()}


def describe(extra: dict[str, Any]) -> dict[str, Any]:
    """The protocol block of ``metrics.json``: ``extra`` and all that every evaluation shares."""
    device = jax.devices()[0]
    return {
        **extra,
        "units": units(),
        "notes": NOTES,
        "skin_tone_bins": {"names": SKIN_TONE_BINS, "melanin_edges": SKIN_TONE_EDGES},
        "bootstrap": {"resamples": statistics.RESAMPLES, "seed": statistics.SEED},
        "versions": versions(),
        "git_revision": git_revision(),
        "device": {
            "kind": device.device_kind,
            "platform": device.platform,
            "count": jax.device_count(),
        },
    }


def versions() -> dict[str, str | None]:
    """Versions of what computes; None for what is not installed as a package."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_revision() -> str | None:
    """Commit of the source tree, with "-modified" where it differs; None outside git."""
    here = Path(__file__).resolve()
    # A virtual environment inside somebody's repository is not under its version control.
    tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name)
    revision = _git(here.parent, "rev-parse", "HEAD")
    if tracked is None or revision is None:
        return None
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return revision + ("-modified" if changed else "")


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
