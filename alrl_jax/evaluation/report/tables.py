"""The tables of the report: all figures, paired comparisons, before and after training."""

from collections.abc import Sequence
from typing import Any

from alrl_jax.evaluation.metric_table import METRICS, label
from alrl_jax.evaluation.report import page
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
NOT_MEASURED = "<small>not measured</small>"
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


def figures(rows: dict[str, Any], always: Sequence[str] = ()) -> str:
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
            parts += [f"<h3>{page.escape(title)}</h3>", _figures_table(rows, chosen)]
    meanings = page.definitions([(m, METRICS[m].meaning) for m in measured])
    parts.append(f"<details><summary>What the columns mean</summary>{meanings}</details>")
    return page.section(
        "Figures",
        "Means over pairs with 95% bootstrap intervals; arrows say which way is better; the best "
        "swap of each column is bold.",
        *parts,
    )


def _figures_table(rows: dict[str, Any], chosen: Sequence[str]) -> str:
    swaps = [name for name in rows if name not in REFERENCE_ROWS]
    best = {m: _best(rows, swaps, m) for m in chosen}
    rule = f"<tr class='group'><td colspan='{len(chosen) + 1}'>{{}}</td></tr>"
    lines = [rule.format("swaps")] if swaps else []
    lines += [_row_line(name, rows[name], chosen, best, name == own_row(rows)) for name in swaps]
    lines.append(rule.format("references, not swaps"))
    lines += [_row_line(name, rows[name], chosen, {}) for name in rows if name in REFERENCE_ROWS]
    head = ["row"] + [
        f"<span title='{page.escape(METRICS[m].meaning)}'>{page.escape(label(m))}</span>"
        f"<small>{METRICS[m].unit} {'↑' if METRICS[m].higher_is_better else '↓'}</small>"
        for m in chosen
    ]
    return page.table(head, lines)


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
) -> str:
    note = REFERENCE_NOTES.get(name)
    cells = [page.escape(name) + (f"<i>{page.escape(note)}</i>" if note else "")]
    for metric in measured:
        value, interval = row[metric], row[f"{metric}_ci95"]
        text = number(value, absent=NOT_MEASURED)
        text = f"<b>{text}</b>" if best.get(metric) == name else text
        if interval is not None:
            text += f"<i>{number(interval[0])} … {number(interval[1])}</i>"
        cells.append(text)
    return page.line(cells, strong)


def comparisons_table(comparisons: dict[str, Any], own: str = "adaptive") -> str:
    """Paired differences of the model's own row and every other selection."""
    chosen = [m for m in COMPARED if all(c.get(m, {}).get("ci95") for c in comparisons.values())]
    if not comparisons or not chosen:
        return ""
    lines = []
    for name, row in comparisons.items():
        cells = [page.escape(name)]
        for metric in chosen:
            low, high = row[metric]["ci95"]
            better = low > 0 if METRICS[metric].higher_is_better else high < 0
            text = f"{row[metric]['difference']:+.3f}"
            text = f"<b>{text}</b>" if better else text
            cells.append(f"{text}<i>{low:+.3f} … {high:+.3f}</i>")
        lines.append(page.line(cells))
    return page.section(
        f"{own.capitalize()} against other selections",
        f"Mean difference over the same pairs, {own} minus the other row, with 95% intervals; "
        f"bold where {own} is better beyond chance.",
        page.table(["minus"] + [page.escape(label(m)) for m in chosen], lines),
    )


def hard_pairs_table(rows: dict[str, Any]) -> str:
    """The model's own row on pairs that are hard, beside all pairs."""
    swap = rows.get(own_row(rows), {})
    if "hard_pairs" not in swap:
        return ""
    lines = []
    by_reason = swap.get("by_reason", {})
    for name, row in {"all pairs": swap, **by_reason, **swap["hard_pairs"]}.items():
        count = f"<i>{row['count']} pairs</i>" if "count" in row else ""
        cells = [f"{page.escape(label(name))}{count}", *(number(row[m]) for m in COMPARED)]
        lines.append(page.line(cells))
    return page.section(
        "Hard pairs",
        "The swap where heads are turned far apart, light comes from the side or hair covers "
        "the forehead, and where the set of pairs was made hard. All metrics and rows are in "
        "metrics.json.",
        page.table(["pairs"] + [page.escape(label(m)) for m in COMPARED], lines),
    )


def control_table(control: dict[str, Any]) -> str:
    """The attribute controls of a caller, and how far the swaps are from both faces."""
    if not control:
        return ""
    metrics = list(control["as_trained"]["source"])
    lines = []
    for name, faces in control.items():
        cells = [page.escape(name.replace("_", " "))]
        for metric in metrics:
            source, target = (number(faces[face][metric]) for face in ("source", "target"))
            cells.append(f"{source} / {target}")
        lines.append(page.line(cells))
    return page.section(
        "Control",
        "Swaps by attribute control, as the judge reads them: to the source / to the target. The "
        "attribute of a control should come near to the face that it names; the others should "
        "stay.",
        page.table(["control"] + [page.escape(label(m)) for m in metrics], lines),
        _way_table(control),
    )


def _way_table(control: dict[str, Any]) -> str:
    """Share of the way from the target (0) to the source (1), by control and group."""
    groups = list(control["as_trained"].get("way", ()))
    if not groups:  # an evaluation of before this was measured
        return ""
    lines = [
        page.line([page.escape(name.replace("_", " ")), *(number(of["way"][g]) for g in groups)])
        for name, of in control.items()
    ]
    return page.table(["way from target to source", *map(page.escape, groups)], lines)


def judges_table(judges: dict[str, Any]) -> str:
    """The judges: name, kind, terms, input, and whether training used them."""
    head = ["role", "network", "licence", "sees", "weights sha256", "used in training"]
    answers = {True: "<b>yes</b>", False: "no", None: "not known"}
    lines = []
    for role, judge in judges.items():
        if judge is None:
            cells = [role, NOT_MEASURED, "", "", "", ""]
        else:
            sees = judge["sees"] + (", face cut out" if judge["faces_cut_out"] else "")
            cells = [
                role,
                page.escape(f"{judge['name']} ({judge['kind']})"),
                f"<span class='wrap'>{page.escape(judge['licence'])}</span>",
                f"<span class='wrap'>{page.escape(sees)}</span>",
                f"<code>{(judge['weights_sha256'] or judge['sha256'])[:16]}</code>",
                answers[judge["seen_in_training"]],
            ]
        lines.append(page.line(cells))
    return page.table(head, lines)


def before_and_after(rows: dict[str, Any], before: dict[str, Any] | None) -> str:
    """The model's own row of an earlier evaluation beside this one's."""
    if before is None or own_row(rows) not in rows:
        return ""
    old, new = (of[own_row(of)] for of in (before["rows"], rows))
    lines = []
    for metric, row in METRICS.items():
        if old.get(metric) is None or new[metric] is None:
            continue
        change = new[metric] - old[metric]
        better = change > 0 if row.higher_is_better else change < 0
        text = f"<b>{change:+.3f}</b>" if better else f"{change:+.3f}"
        name = f"{page.escape(label(metric))} <i>{row.unit}</i>"
        lines.append(page.line([name, number(old[metric]), number(new[metric]), text]))
    return page.section(
        "What training did",
        "The swap before and after this training, on the same pairs; changes for the "
        "better are bold.",
        page.table(["metric", "before", "after", "change"], lines),
    )
