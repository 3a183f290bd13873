"""The swap by skin tone of the target, each tone beside its own bounds."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from alrl_jax.evaluation.metric_table import METRICS, label
from alrl_jax.evaluation.report import page
from alrl_jax.evaluation.report.bars import bars
from alrl_jax.evaluation.report.glance import BOUNDS
from alrl_jax.evaluation.report.tables import REFERENCE_NOTES, number
from alrl_jax.evaluation.rows import own_row

TONE_METRICS = (
    "identity_similarity",
    "face_psnr",
    "lpips_like",
    "pose_error_degrees",
    "background_psnr",
    "mask_iou",
    "expression_error",
)
UNEVEN = 1.0
"""Decibels between tones from which the page says what to compare them with."""

Tones = Mapping[str, Mapping[str, Any]]


def section(rows: dict[str, Any]) -> page.Section | None:
    """Bars by skin tone; None where tones are unknown.

    Args:
        rows: figures by row and metric.
    """
    tones = rows.get(own_row(rows), {}).get("by_skin_tone")
    if not tones:
        return None
    names = [name.replace("_", " ") for name in tones]
    notes = [f"{tone['count']} pairs" for tone in tones.values()]
    drawings = [
        _drawing(metric, rows, names, notes)
        for metric in TONE_METRICS
        if any(tone[metric] is not None for tone in tones.values())
    ]
    counts = ", ".join(f"{name} {note}" for name, note in zip(names, notes, strict=True))
    remark = psnr_remark(rows)
    return page.section(
        "By skin tone of the target",
        f"The swap on targets of different skin tone ({counts}). A black mark is the untouched "
        "target of the same tone, an orange one the ceiling. All metrics and rows are in "
        "metrics.json.",
        page.paragraph(remark) if remark else None,
        page.plots(drawings),
    )


def _drawing(metric: str, rows: dict[str, Any], names: list[str], notes: list[str]) -> Markup:
    tones: Tones = rows[own_row(rows)]["by_skin_tone"]
    bounds = {}
    floor, ceiling = BOUNDS.get(metric, ("", ""))
    # An untouched source is so far off that nothing else could be seen beside it.
    for row in ("" if floor == "source_image" else floor, ceiling):
        of_row = rows.get(row, {}).get("by_skin_tone") or dict.fromkeys(tones, {})
        bounds[REFERENCE_NOTES.get(row, "")] = [tone.get(metric) for tone in of_row.values()]
    title = f"{label(metric)} {METRICS[metric].unit}".strip()
    return bars(title, names, [tone[metric] for tone in tones.values()], notes, bounds)


def psnr_remark(rows: dict[str, Any]) -> str:
    """What to compare face PSNR by tone with, where it is uneven and its bounds are known.

    Args:
        rows: figures by row and metric.
    """
    spans = {}
    for row in (own_row(rows), *BOUNDS["face_psnr"]):
        tones = rows.get(row, {}).get("by_skin_tone") or {}
        known = {n: tone["face_psnr"] for n, tone in tones.items() if tone["face_psnr"] is not None}
        if len(known) < 2:
            return ""
        least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        spans[row] = (least, known[least], most, known[most])
    own, none, most_of_all = spans.values()
    if own[3] - own[1] < UNEVEN:
        return ""
    said = [
        f"from {number(a)} dB ({low.replace('_', ' ')}) to {number(b)} dB ({top.replace('_', ' ')})"
        for low, a, top, b in spans.values()
    ]
    gains = [
        rows[own_row(rows)]["by_skin_tone"][name]["face_psnr"] - tone["face_psnr"]
        for name, tone in rows["target_image"]["by_skin_tone"].items()
        if tone["face_psnr"] is not None
    ]
    return (
        f"Why face PSNR goes {said[0]}: its bounds do the same. The untouched target goes "
        f"{said[1]}, and the true swap that is encoded and generated again {said[2]}. PSNR counts "
        "errors in absolute brightness, and lighter skin is brighter, so that the same relative "
        "error costs more there. Compare each bar with its own marks: the swap is "
        f"{number(min(gains))} to {number(max(gains))} dB nearer to the true swap than the "
        "untouched target of the same tone."
    )
