"""The protocol of an evaluation: all that must be equal for figures to be comparable."""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import jax

from alrl_jax.evaluation import statistics
from alrl_jax.evaluation.benchmark import (
    CONTROL_PAIRS,
    DILATION_AT_64,
    EXTREME_AZIMUTH_DEGREES,
    FULL_FRINGE,
    SKIN_TONE_BINS,
    SKIN_TONE_EDGES,
    WIDE_POSE_GAP_DEGREES,
)
from alrl_jax.evaluation.image_metrics import PSNR_CAP
from alrl_jax.evaluation.metric_table import METRICS
from alrl_jax.utils.version import git_revision

PACKAGES = ("alrl_jax", "jax", "jaxlib", "flax", "numpy")

MARKING = "measured before any mark of provenance is put into images"

SHARED_NOTES = {
    "psnr": f"data range 2 ([-1, 1]), equal images are given {PSNR_CAP:g} dB; mean of dB",
    "ssim": "Gaussian 11x11, sigma 1.5, K1 0.01, K2 0.03, population moments, RGB channels "
    "apart, whole windows only",
    "ci95": f"percentile bootstrap over pairs, {statistics.RESAMPLES} resamples, the same for all "
    "rows",
}
"""How the metrics of every benchmark are measured."""
NOTES = {
    "background_psnr": (
        "row to target, outside the union of the true faces of target and truth, dilated by "
        f"{DILATION_AT_64} px at 64 px (square)"
    ),
    "face_region": "union of the true faces of target and truth (FACE_LABELS of the parsing)",
    "identity": "unit-length identity factors of the judge; cosine; gallery: one other image of "
    "every source person, in other circumstances; ties count against the row",
    "pose_error_degrees": "L2 over yaw, pitch and roll, mean over pairs",
    "truth_blended": "the true swap in the face region, the target elsewhere; not feathered",
    "reconstruction": "the true swap encoded and generated again; not blended",
    "lpips_like": "unit-length channels of the judge's feature maps, squared differences summed "
    "over channels, mean over places, sum over maps; no learned weights; not LPIPS",
    "hard_pairs": "wide_pose_gap: more than "
    f"{WIDE_POSE_GAP_DEGREES:g} degrees between source and target (L2 over yaw, pitch, roll); "
    f"extreme_light: either face lit from more than {EXTREME_AZIMUTH_DEGREES:g} degrees aside; "
    f"covering_hair: the fringe of either above {FULL_FRINGE:g} of its full length",
    "control": "swaps by request against the judge's readings of source and target; the first "
    f"{CONTROL_PAIRS} pairs",
    "mask_iou": "blending mask cut at 0.5 and face region",
}
"""How the counterfactual benchmark measures the other metrics."""
TONES = {"names": SKIN_TONE_BINS, "melanin_edges": SKIN_TONE_EDGES}


def units() -> dict[str, str]:
    """Unit of every metric; "1" where it is a bare number."""
    return {name: metric.unit or "1" for name, metric in METRICS.items()}


def describe(
    extra: dict[str, Any], notes: Mapping[str, str] = NOTES, tones: Mapping[str, Any] | None = TONES
) -> dict[str, Any]:
    """The protocol block of ``metrics.json``: ``extra``, and the fields of every evaluation.

    Args:
        extra: the fields of this benchmark.
        notes: how it measures the metrics that other benchmarks do not have.
        tones: its bins of skin tones; None without any.
    """
    device = jax.devices()[0]
    return {
        **extra,
        "units": units(),
        "notes": SHARED_NOTES | dict(notes),
        "marking": MARKING,
        "skin_tone_bins": tones,
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
    """Versions of the packages that compute; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
