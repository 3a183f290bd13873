"""The figures of an evaluation: name, unit, direction and meaning."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from alrl_jax.evaluation.benchmark import SKIN_TONE_BINS
from alrl_jax.evaluation.statistics import bootstrap_interval, mean_or_none, paired_difference


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure of an evaluation."""

    unit: str
    higher_is_better: bool
    meaning: str


METRICS: dict[str, Metric] = {
    "face_psnr": Metric("dB", True, "PSNR to the true swap inside the face region"),
    "psnr": Metric("dB", True, "PSNR to the true swap, whole image"),
    "ssim": Metric("", True, "SSIM to the true swap, whole image (Gaussian 11x11)"),
    "face_ssim": Metric("", True, "SSIM to the true swap over windows centred in the face region"),
    "lpips_like": Metric(
        "", False, "distance to the true swap in the judge's features (LPIPS form, our features)"
    ),
    "lpips": Metric("", False, "LPIPS to the true swap, by a published network"),
    "identity_similarity": Metric("", True, "cosine of the judge's identities, row and source"),
    "identity_top1": Metric("share", True, "source found first among all source people"),
    "identity_top5": Metric("share", True, "source found among the first five source people"),
    "second_identity_similarity": Metric(
        "", True, "cosine of the second judge's embeddings, row and source"
    ),
    "second_identity_top1": Metric(
        "share", True, "source found first among all source people, by the second judge"
    ),
    "target_similarity": Metric(
        "", False, "cosine of the judge's identities, row and target: what leaks into the swap"
    ),
    "pose_error_degrees": Metric(
        "degrees", False, "L2 over yaw, pitch, roll: judge's pose of the row, pose of the target"
    ),
    "expression_error": Metric("sd", False, "RMS error of the judged expression to the target's"),
    "gaze_error": Metric("sd", False, "RMS error of the judged gaze to the target's"),
    "light_error": Metric("sd", False, "RMS error of the judged light to the target's"),
    "skin_error": Metric("sd", False, "RMS error of the judged skin to the target's"),
    "landmark_error": Metric("px", False, "judged landmarks to the visible ones of the true swap"),
    "mask_iou": Metric("", True, "IoU of the blending mask with the face region"),
    "background_psnr": Metric("dB", True, "PSNR to the target outside the dilated face region"),
    "fid": Metric("", False, "FID of all images of the row; a figure of sets, not of pairs"),
}

OF_PHOTOS = (
    "identity_similarity",
    "identity_top1",
    "identity_top5",
    "pose_error_degrees",
    "fid",
    "background_psnr",
    "psnr",
    "ssim",
    "lpips",
    "face_psnr",
    "face_ssim",
    "mask_iou",
)
"""What can be measured of photographs, about which less is known than of rendered faces."""


def label(name: str) -> str:
    """A metric's name for readers; the unit stands apart."""
    return name.removesuffix("_degrees").replace("_", " ")


Values = dict[str, Float[np.ndarray, " n"]]
"""One number a pair by metric; NaN or absent where it was not measured."""


Figure = float | int | None


def attainable_share(values: Values, target: Values, reconstruction: Values) -> float | None:
    """How far a row has come on the way from the untouched target to what codes can carry.

    The way is that of the mean squared error to the true swap inside the face: 0 is the target's, 1
    the reconstruction's.

    Args:
        values: of the row.
        target: of ``target_image``.
        reconstruction: of ``reconstruction``.
    """
    rows = (values, target, reconstruction)
    if any("face_psnr" not in row for row in rows):
        return None
    # Data range 2, so that the error is 4 at 0 dB.
    own, start, end = (float(np.mean(4.0 * 10.0 ** (-row["face_psnr"] / 10.0))) for row in rows)
    return (start - own) / (start - end) if start != end else None


def summarise(
    values: Values, of_set: Mapping[str, float] | None = None
) -> dict[str, float | list[float] | None]:
    """Means and 95% intervals of every metric of the table; None where not measured.

    Args:
        values: one number a pair, by metric.
        of_set: figures of all images together, which have no interval.
    """
    summary: dict[str, float | list[float] | None] = {}
    for name in METRICS:
        numbers = values.get(name)
        summary[name] = None if numbers is None else mean_or_none(numbers)
        summary[f"{name}_ci95"] = None if numbers is None else bootstrap_interval(numbers)
    return summary | dict(of_set or {})


def by_skin_tone(
    values: Values, bins: Int[np.ndarray, " n"], names: Sequence[str] = SKIN_TONE_BINS
) -> dict[str, dict[str, Figure]]:
    """Means of every metric in every skin-tone bin, with the number of pairs in it.

    Args:
        values: one number a pair, by metric.
        bins: place in ``names`` of every pair's target; of others, one that is not in it.
        names: of the bins.
    """
    return {name: means_of(values, bins == place) for place, name in enumerate(names)}


def means_of(values: Values, inside: Bool[np.ndarray, " n"]) -> dict[str, Figure]:
    """Means of every metric over some of the pairs, with their number.

    Args:
        values: one number a pair, by metric.
        inside: which pairs count.
    """
    means = {
        name: mean_or_none(values[name][inside]) if name in values else None for name in METRICS
    }
    return {"count": int(inside.sum()), **means}


def compare(values: Values, others: Values) -> dict[str, dict[str, float | list[float] | None]]:
    """Paired differences of every metric that both rows have."""
    return {
        name: paired_difference(values[name], others[name])
        for name in METRICS
        if name in values and name in others
    }
