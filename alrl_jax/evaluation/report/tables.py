"""The tables of the report: all figures, paired comparisons, before and after training."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from alrl_jax.evaluation.metric_table import METRICS, label
from alrl_jax.evaluation.report import page
from alrl_jax.evaluation.report.page import Cell, Head, Line
from alrl_jax.evaluation.rows import REFERENCE_ROWS, own_row

FAMILIES = {
    "Against the true swap and the target": (
        "face_psnr",
        "psnr",
        "face_ssim",
        "ssim",
        "lpips_like",
        "lpips",
        "background_psnr",
        "mask_iou",
        "fid",
    ),
    "By the judges": (
        "identity_similarity",
        "target_similarity",
        "identity_top1",
        "identity_top5",
        "second_identity_similarity",
        "second_identity_top1",
        "pose_error_degrees",
        "expression_error",
        "gaze_error",
        "light_error",
        "skin_error",
        "landmark_error",
    ),
}
"""The metrics, by the table that shows them."""
NOT_MEASURED = "not measured"
COMPARED = (
    "identity_similarity",
    "identity_top1",
    "pose_error_degrees",
    "expression_error",
    "face_psnr",
    "lpips_like",
    "mask_iou",
)
"""Metrics of the paired comparison."""
REFERENCE_NOTES = {
    "target_image": "untouched target",
    "source_image": "untouched source",
    "truth": "true swap: the errors of the judge",
    "truth_blended": "true swap in the face region, target elsewhere",
    "reconstruction": "true swap, encoded and generated",
    "self_swap": "target swapped with itself: the losses of the model",
}


def number(value: float | int | None, digits: int = 3, absent: str = "–") -> str:
    """A figure as text; ``absent`` where it was not measured."""
    if value is None:
        return absent
    return f"{value:.{1 if abs(value) >= 10 else digits if abs(value) < 1 else 2}f}"


def metric_head(name: str) -> Head:
    """The head of a metric's column: unit, which way is better, meaning."""
    row = METRICS[name]
    arrow = "↑" if row.higher_is_better else "↓"
    return Head(label(name), f"{row.unit} {arrow}".strip(), row.meaning)


def figures(rows: dict[str, Any], always: Sequence[str] = ()) -> page.Section | None:
    """All rows and measured metrics; references stand apart from swaps.

    Args:
        rows: figures by row and metric.
        always: metrics that are shown even where no row has them.
    """
    measured = [
        m for m in METRICS if m in always or any(row[m] is not None for row in rows.values())
    ]
    parts = []
    for title, names in FAMILIES.items():
        if chosen := [m for m in measured if m in names]:
            parts += [page.heading(title), _figures_table(title, rows, chosen)]
    meanings = page.definitions([(m, METRICS[m].meaning) for m in measured])
    return page.section(
        "Figures",
        "Means over pairs with 95% bootstrap intervals; arrows say which way is better; the best "
        "swap of each column is bold. A click on a head sorts.",
        *parts,
        page.details("What the columns mean", meanings),
    )


def _figures_table(title: str, rows: dict[str, Any], chosen: Sequence[str]) -> Markup | None:
    swaps = [name for name in rows if name not in REFERENCE_ROWS]
    best = {m: _best(rows, swaps, m) for m in chosen}
    lines = [_row_line(name, rows[name], chosen, best, name == own_row(rows)) for name in swaps]
    lines += [_row_line(name, rows[name], chosen, {}) for name in rows if name in REFERENCE_ROWS]
    return page.table(title, ["row", *map(metric_head, chosen)], lines)


def _best(rows: dict[str, Any], names: Sequence[str], metric: str) -> str | None:
    known = [name for name in names if rows[name][metric] is not None]
    if len(known) < 2:
        return None
    choose = max if METRICS[metric].higher_is_better else min
    return choose(known, key=lambda name: rows[name][metric])


def _row_line(
    name: str,
    row: dict[str, Any],
    measured: Sequence[str],
    best: dict[str, str | None],
    strong: bool = False,
) -> Line:
    cells = [Cell(name, REFERENCE_NOTES.get(name, ""))]
    for metric in measured:
        value, interval = row[metric], row[f"{metric}_ci95"]
        note = "" if interval is None else f"{number(interval[0])} … {number(interval[1])}"
        text = number(value, absent=NOT_MEASURED)
        cells.append(Cell(text, note, best.get(metric) == name, value))
    group = "references, not swaps" if name in REFERENCE_ROWS else "swaps"
    return Line(cells, strong, group)


def comparisons_table(
    comparisons: dict[str, Any], own: str = "adaptive", remark: str = ""
) -> page.Section | None:
    """Paired differences of the model's own row and every other selection.

    Args:
        comparisons: by row and metric.
        own: the model's own row.
        remark: what to know before reading; empty for nothing.
    """
    chosen = [m for m in COMPARED if all(c.get(m, {}).get("ci95") for c in comparisons.values())]
    if not comparisons or not chosen:
        return None
    lines = [
        Line([name, *(difference(metric, row[metric]) for metric in chosen)])
        for name, row in comparisons.items()
    ]
    return page.section(
        f"{own.capitalize()} against other selections",
        f"Mean difference over the same pairs, {own} minus the other row, with 95% intervals; "
        f"bold where {own} is better beyond chance.",
        page.paragraph(remark) if remark else None,
        page.table("paired differences", ["minus", *map(metric_head, chosen)], lines),
    )


def difference(metric: str, found: Mapping[str, Any] | None) -> Cell | str:
    """A paired difference with its interval, strong where it is for the better beyond chance.

    Args:
        metric: of which.
        found: ``difference`` and ``ci95``; None, or an interval of None, where not measured.
    """
    if found is None or found["ci95"] is None:
        return "–"
    low, high = found["ci95"]
    better = low > 0 if METRICS[metric].higher_is_better else high < 0
    note = f"[{low:+.3f}, {high:+.3f}]"
    return Cell(f"{found['difference']:+.3f}", note, better, found["difference"])


def hard_pairs_table(rows: dict[str, Any]) -> page.Section | None:
    """The model's own row on pairs that are hard, beside all pairs."""
    swap = rows.get(own_row(rows), {})
    if "hard_pairs" not in swap:
        return None
    lines = []
    by_reason = swap.get("by_reason", {})
    for name, row in {"all pairs": swap, **by_reason, **swap["hard_pairs"]}.items():
        count = f"{row['count']} pairs" if "count" in row else ""
        figures = (Cell(number(row[m]), order=row[m]) for m in COMPARED)
        lines.append(Line([Cell(label(name), count), *figures]))
    return page.section(
        "Hard pairs",
        "The swap where heads are turned far apart, light comes from the side or hair covers "
        "the forehead, and where the set of pairs was made hard. All metrics and rows are in "
        "metrics.json.",
        page.table("hard pairs", ["pairs", *map(metric_head, COMPARED)], lines),
    )


def control_table(control: dict[str, Any]) -> page.Section | None:
    """The attribute controls of a caller, and how far the swaps are from both faces."""
    if not control:
        return None
    metrics = list(control["as_trained"]["source"])
    lines = []
    for name, faces in control.items():
        cells: list[Cell | str] = [name.replace("_", " ")]
        for metric in metrics:
            source, target = (number(faces[face][metric]) for face in ("source", "target"))
            cells.append(Cell(f"{source} / {target}", order=faces["source"][metric]))
        lines.append(Line(cells))
    head = ["control", *map(label, metrics)]
    return page.section(
        "Control",
        "Swaps by attribute control, as the judge reads them: to the source / to the target. The "
        "attribute of a control should come near to the face that it names; the others should "
        "stay.",
        page.table("distances to source and target by control", head, lines),
        _way_table(control),
    )


def _way_table(control: dict[str, Any]) -> Markup | None:
    """Share of the way from the target (0) to the source (1), by control and group."""
    groups = list(control["as_trained"].get("way", ()))
    if not groups:  # an evaluation of before this was measured
        return None
    lines = []
    for name, of in control.items():
        shares = (Cell(number(of["way"][group]), order=of["way"][group]) for group in groups)
        lines.append(Line([name.replace("_", " "), *shares]))
    head = ["way from target to source", *groups]
    return page.table("share of the way from target to source by control", head, lines)


def judges_table(judges: dict[str, Any]) -> Markup | None:
    """The judges: name, kind, terms, input, and whether training used them."""
    head = ["role", "network", "licence", "sees", "weights sha256", "used in training"]
    answers = {True: Cell("yes", strong=True), False: "no", None: "not known"}
    lines = []
    for role, judge in judges.items():
        cells: list[Cell | str] = [role, NOT_MEASURED, "", "", "", ""]
        if judge is not None:
            sees = judge["sees"] + (", face cut out" if judge["faces_cut_out"] else "")
            cells = [
                role,
                f"{judge['name']} ({judge['kind']})",
                Cell(str(judge["licence"]), wide=True),
                Cell(sees, wide=True),
                (judge["weights_sha256"] or judge["sha256"])[:16],
                answers[judge["seen_in_training"]],
            ]
        lines.append(Line(cells))
    return page.table("judges", head, lines)


def before_and_after(rows: dict[str, Any], before: dict[str, Any] | None) -> page.Section | None:
    """The model's own row of an earlier evaluation beside this one's."""
    if before is None or own_row(rows) not in rows:
        return None
    old, new = (of[own_row(of)] for of in (before["rows"], rows))
    lines = []
    for metric, row in METRICS.items():
        if old.get(metric) is None or new[metric] is None:
            continue
        change = new[metric] - old[metric]
        better = change > 0 if row.higher_is_better else change < 0
        pair = (Cell(number(of[metric]), order=of[metric]) for of in (old, new))
        change_cell = Cell(f"{change:+.3f}", strong=better, order=change)
        lines.append(Line([Cell(label(metric), row.unit), *pair, change_cell]))
    return page.section(
        "What training did",
        "The swap before and after this training, on the same pairs; changes for the "
        "better are bold.",
        page.table("before and after training", ["metric", "before", "after", "change"], lines),
    )
