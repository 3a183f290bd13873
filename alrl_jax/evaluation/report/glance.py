"""What is seen first: figures of the swap between doing nothing and what can be reached at most."""

from typing import Any

from alrl_jax.evaluation.metric_table import METRICS, label
from alrl_jax.evaluation.report import page
from alrl_jax.evaluation.report.tables import REFERENCE_NOTES, number
from alrl_jax.evaluation.rows import own_row

BOUNDS: dict[str, tuple[str, str]] = {
    "face_psnr": ("target_image", "reconstruction"),
    "lpips_like": ("target_image", "reconstruction"),
    "identity_similarity": ("target_image", "truth_blended"),
    "identity_top1": ("target_image", "truth_blended"),
    "pose_error_degrees": ("source_image", "truth"),
    "expression_error": ("source_image", "truth"),
    "background_psnr": ("source_image", "target_image"),
}
"""By metric, the row that does nothing and the row that is its ceiling."""


def section(rows: dict[str, Any]) -> page.Section | None:
    """The tiles; None for an evaluation without swaps.

    Args:
        rows: figures by row and metric.
    """
    own = own_row(rows)
    if not {own, "target_image", "source_image"} <= rows.keys():
        return None
    found = [_tile(rows, own, name) for name in BOUNDS if rows[own][name] is not None]
    return page.section(
        "At a glance",
        "The swap between an untouched image, which does not swap at all, and the ceiling, where "
        "one is known: what the true swap itself gives, or all that the codes can draw. A bar "
        "shows how far the swap has come from the one to the other.",
        page.tiles(found),
    )


def _tile(rows: dict[str, Any], own: str, name: str) -> page.Tile:
    floor, ceiling = BOUNDS[name]
    value, none = rows[own][name], rows[floor][name]
    most = rows.get(ceiling, {}).get(name)
    better = "higher" if METRICS[name].higher_is_better else "lower"
    remarks = [f"nothing done ({REFERENCE_NOTES[floor]}): {number(none)}"]
    if most is not None:
        remarks.append(f"ceiling ({REFERENCE_NOTES[ceiling].partition(':')[0]}): {number(most)}")
    share = _share(value, none, most)
    return page.Tile(
        f"{label(name)}, {better} is better",
        f"{number(value)} {METRICS[name].unit}".strip(),
        remarks,
        None if share is None else min(1.0, max(0.0, share)),
        "" if share is None else f"{share:.0%} of the way from nothing done to the ceiling",
    )


def _share(value: float, none: float | None, most: float | None) -> float | None:
    """How far a figure lies from one bound to the other; None without both."""
    return None if none is None or most is None or none == most else (value - none) / (most - none)
