"""One table from several evaluations: rows that were trained apart, each with one or more seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alrl_jax.evaluation.metric_table import METRICS, Values, compare
from alrl_jax.evaluation.report_tables import number
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
"""Metrics of the table for people; all of them are in the JSON file."""
ACROSS, UP = "pose_error_degrees", "identity_similarity"
"""What is won and lost, drawn against each other."""


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What one evaluation says of one row.

    Attributes:
        row: its name in the table.
        figures: means by metric; None where not measured.
        values: one number a pair by metric; empty where the evaluation kept none.
        training: seed and steps, as far as they are known.
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
        and are no references. The interval is that of the pairs; seeds are not drawn anew.
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
    """The points that no other beats: none is both further left and higher.

    Args:
        points: what is better low, then what is better high, by name.

    Returns:
        Their names from left to right.
    """
    better = lambda a, b: a[0] <= b[0] and a[1] >= b[1] and a != b  # noqa: E731
    free = [n for n, p in points.items() if not any(better(q, p) for q in points.values())]
    return sorted(free, key=lambda name: points[name])


def trade_points(table: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Pose error and identity similarity of every row that has both."""
    return {
        name: (row[ACROSS], row[UP])
        for name, row in table.items()
        if row[ACROSS] is not None and row[UP] is not None
    }


def markdown(
    table: Mapping[str, Mapping[str, Any]], comparisons: Mapping[str, Any], own: str
) -> str:
    """The table for people, and the paired differences below it.

    Args:
        table: what ``tabulate`` gives.
        comparisons: what ``compare_rows`` gives.
        own: the row from which the others are taken.
    """
    shown = [m for m in SHOWN if any(row[m] is not None for row in table.values())]
    heads = [f"{m} ({METRICS[m].unit})" if METRICS[m].unit else m for m in shown]
    lines = [
        [f"`{name}`", str(row["seeds"]) if name not in REFERENCE_ROWS else "–"]
        + [_figure(row[m], row[f"{m}_sd"]) for m in shown]
        for name, row in table.items()
    ]
    text = _table(["row", "seeds", *heads], lines)
    if not comparisons:
        return text
    lines = [
        [f"`{name}`", *(_difference(of.get(m)) for m in shown)] for name, of in comparisons.items()
    ]
    lead = f"`{own}` minus each other row over the same pairs, with 95% paired bootstrap intervals:"
    return f"{text}\n{lead}\n\n{_table(['minus', *heads], lines)}"


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


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
