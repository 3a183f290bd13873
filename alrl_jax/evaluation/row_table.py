"""One table of rows that were trained apart, from several evaluations with one or more seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from alrl_jax.evaluation.metric_table import METRICS, Values, compare
from alrl_jax.evaluation.report import page, trade
from alrl_jax.evaluation.report.page import Cell, Line
from alrl_jax.evaluation.report.tables import REFERENCE_NOTES, difference, metric_head, number
from alrl_jax.evaluation.rows import REFERENCE_ROWS

SHOWN = (
    "face_psnr",
    "lpips_like",
    "identity_top1",
    "identity_similarity",
    "pose_error_degrees",
    "expression_error",
    "mask_iou",
    "background_psnr",
)
"""Metrics of the table for people; the JSON file has all of them."""


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The figures of one row in one evaluation.

    Attributes:
        row: its name in the table.
        figures: means by metric; None where not measured.
        values: one number for every pair, by metric; empty where the evaluation kept none.
        training: command, seed and steps, as far as they are known.
    """

    row: str
    figures: Mapping[str, Any]
    values: Values
    training: Mapping[str, Any]


def tabulate(found: Sequence[Evaluated]) -> dict[str, dict[str, Any]]:
    """Means over seeds of every row, with the standard deviation between seeds.

    Returns:
        By row ``seeds`` (how many evaluations), ``training`` (of each), every metric, and
        ``METRIC_sd``, which is None for a single seed.
    """
    table: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(one.row for one in found):
        of_row = [one for one in found if one.row == name]
        table[name] = {"seeds": len(of_row), "training": [dict(one.training) for one in of_row]}
        for metric in METRICS:
            known = [one.figures.get(metric) for one in of_row]
            measured = [value for value in known if value is not None]
            complete = len(measured) == len(known)
            table[name][metric] = float(np.mean(measured)) if complete else None
            spread = float(np.std(measured, ddof=1)) if complete and len(known) > 1 else None
            table[name][f"{metric}_sd"] = spread
    return table


def compare_rows(found: Sequence[Evaluated], against: str) -> dict[str, Any]:
    """Paired differences of one row and every other, each first averaged over its seeds.

    Args:
        found: evaluations of the same pairs.
        against: the row from which the others are taken.

    Returns:
        By row and metric ``difference`` and ``ci95``, where both rows kept the numbers of all pairs
        and are no references. The interval is that of the pairs; seeds are not resampled.
    """
    rows = [name for name in dict.fromkeys(one.row for one in found) if name not in REFERENCE_ROWS]
    means = {name: _over_seeds([one.values for one in found if one.row == name]) for name in rows}
    own = means.get(against)
    return {
        name: compare(own, values)
        for name, values in means.items()
        if own and values and name != against
    }


def front_of(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The points that no other dominates, by being both further left and higher.

    Args:
        points: two figures by name, the one that is better low first.

    Returns:
        Their names from left to right.
    """
    better = lambda a, b: a[0] <= b[0] and a[1] >= b[1] and a != b  # noqa: E731
    free = [n for n, p in points.items() if not any(better(q, p) for q in points.values())]
    return sorted(free, key=lambda name: points[name])


Cells = tuple[list[str], list[list[str]]]
"""Heads of the columns, and the cells of every line."""


def row_cells(table: Mapping[str, Mapping[str, Any]]) -> Cells:
    """The table for people.

    Args:
        table: what ``tabulate`` gives.
    """
    shown = _shown(table)
    lines = [
        [name, str(row["seeds"]) if name not in REFERENCE_ROWS else "–"]
        + [_figure(row[m], row[f"{m}_sd"]) for m in shown]
        for name, row in table.items()
    ]
    return ["row", "seeds", *_heads(shown)], lines


def difference_cells(
    table: Mapping[str, Mapping[str, Any]], comparisons: Mapping[str, Any]
) -> Cells:
    """The paired differences for people; no lines where nothing was compared.

    Args:
        table: what ``tabulate`` gives.
        comparisons: what ``compare_rows`` gives.
    """
    shown = _shown(table)
    lines = [[name, *(_difference(of.get(m)) for m in shown)] for name, of in comparisons.items()]
    return ["minus", *_heads(shown)], lines


def lead_of_differences(own: str) -> str:
    """The sentence above the second table, where ``own`` is the row that is compared."""
    return f"{own} minus each other row over the same pairs, with 95% paired bootstrap intervals:"


def markdown(
    table: Mapping[str, Mapping[str, Any]], comparisons: Mapping[str, Any], own: str
) -> str:
    """Both tables as text.

    Args:
        table: what ``tabulate`` gives.
        comparisons: what ``compare_rows`` gives.
        own: the row from which the others are taken.
    """
    text = _table(*row_cells(table))
    if not comparisons:
        return text
    return f"{text}\n{lead_of_differences(own)}\n\n{_table(*difference_cells(table, comparisons))}"


def report(
    table: Mapping[str, Mapping[str, Any]],
    comparisons: Mapping[str, Any],
    own: str,
    drawing: Markup | None,
) -> str:
    """Both tables, the drawing and the command of every row as one page.

    Args:
        table: what ``tabulate`` gives.
        comparisons: what ``compare_rows`` gives.
        own: the row from which the others are taken.
        drawing: identity against pose as SVG; None where it was not measured.
    """
    commands = [
        (f"{name}, seed {made.get('seed')}", made.get("command") or "no record")
        for name, row in table.items()
        for made in row["training"]
        if made
    ]
    shown = _shown(table)
    heads = [metric_head(m) for m in shown]
    differences = [
        Line([name, *(difference(m, of.get(m)) for m in shown)]) for name, of in comparisons.items()
    ]
    sections = [
        page.section(
            "Rows",
            "Means over pairs, and over seeds where there are several, with the standard deviation "
            "between seeds. A click on a head sorts.",
            page.table("rows", ["row", "seeds", *heads], _row_lines(table, shown, own)),
        ),
        page.section(
            "Differences",
            lead_of_differences(own),
            page.table("differences", ["minus", *heads], differences),
        ),
        page.section(
            "Identity against pose",
            f"The line joins the rows that no other beats in both. {trade.FAR_OUT}",
            page.scroll("identity against pose", drawing) if drawing else None,
        ),
        page.section(
            "How the rows were trained",
            "The rows, and the commands that trained them.",
            page.definitions(commands),
        ),
    ]
    lead = "Rows that were trained apart and measured on the same pairs by the same judge."
    return page.page("Face swapping: rows compared", lead, sections, "alrl_jax")


def _shown(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [m for m in SHOWN if any(row[m] is not None for row in table.values())]


def _heads(metrics: Sequence[str]) -> list[str]:
    return [f"{m} ({METRICS[m].unit})" if METRICS[m].unit else m for m in metrics]


def _over_seeds(values: Sequence[Values]) -> Values:
    """Numbers of every pair, averaged over seeds; of the metrics that all of them have."""
    shared = set.intersection(*(set(v) for v in values)) if values else set()
    return {m: np.mean([v[m] for v in values], axis=0) for m in METRICS if m in shared}


def _figure(mean: float | None, spread: float | None) -> str:
    return number(mean) + (f" ± {number(spread)}" if spread is not None else "")


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None or found["ci95"] is None:
        return "–"
    low, high = found["ci95"]
    return f"{found['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _row_lines(
    table: Mapping[str, Mapping[str, Any]], shown: Sequence[str], own: str
) -> list[Line]:
    """The table's lines for a page, references after the rows that were trained."""
    lines = []
    for name, row in sorted(table.items(), key=lambda each: each[0] in REFERENCE_ROWS):
        known = name in REFERENCE_ROWS
        figures = (Cell(_figure(row[m], row[f"{m}_sd"]), order=row[m]) for m in shown)
        seeds = "–" if known else Cell(str(row["seeds"]), order=row["seeds"])
        group = "references, not swaps" if known else "swaps"
        named = Cell(name, REFERENCE_NOTES.get(name, ""))
        lines.append(Line([named, seeds, *figures], name == own, group))
    return lines


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *([f"`{name}`", *cells] for name, *cells in lines)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
