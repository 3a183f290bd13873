"""One table from the evaluations of rows that were trained apart, with one or more seeds each.

    alrl compare-rows --output=DIR --evaluations=runs/a,runs/b,no_blending=runs/c

An evaluation is what ``alrl evaluate`` wrote. Its rows are the model's own selection, by the
name of its selector or by the one before the ``=``, and the swappers measured with ``--beside``;
rows of the same name are seeds of one row. A model that several evaluations measured counts once,
as in the first. References such as ``target_image`` come from the first. All must have measured the
same pairs with the same judge. Writes ``table.md``, ``table.json``, ``trade.svg`` (identity against
pose, with a line through the rows that no other beats in both) and ``index.html``, which shows all
of it. Intervals need the ``pairs.npz`` of the evaluations.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from absl import flags
from markupsafe import Markup

from alrl_jax.errors import UserError
from alrl_jax.evaluate import OF_PAIRS
from alrl_jax.evaluation import pair_sets
from alrl_jax.evaluation.metric_table import Values
from alrl_jax.evaluation.report import trade
from alrl_jax.evaluation.row_table import (
    Evaluated,
    compare_rows,
    front_of,
    markdown,
    report,
    tabulate,
)
from alrl_jax.evaluation.rows import REFERENCE_ROWS, own_row
from alrl_jax.utils import command_line
from alrl_jax.utils.files import write_json, write_text

SHARED = ("benchmark", "pair_set", "split", "seed", "num_pairs", "resolution", "judge")
"""Fields of the protocol in which all evaluations must agree."""


def read_evaluations(named: Sequence[str]) -> tuple[list[Evaluated], dict[str, Any]]:
    """The rows of all evaluations, references first, and the protocol that they share.

    Args:
        named: ``DIR`` or ``NAME=DIR``.

    Raises:
        UserError: there is no evaluation in a directory, or it measured other pairs.
    """
    found: list[Evaluated] = []
    shared: dict[str, Any] = {}
    measured: set[tuple[str, str]] = set()
    for entry in named:
        name, _, path = entry.rpartition("=")
        directory = Path(path).expanduser()
        metrics = _read_metrics(directory)
        said = pair_sets.named(metrics)["protocol"]
        protocol = {field: said.get(field) for field in SHARED}
        shared = shared or protocol
        differing = [field for field in SHARED if protocol[field] != shared[field]]
        if differing:
            raise UserError(
                f"got {path} with {differing[0]} {protocol[differing[0]]!r}; expected "
                f"{shared[differing[0]]!r}, as the first evaluation has; evaluate it again likewise"
            )
        own, rows = own_row(metrics["rows"]), metrics["rows"]
        if not found:
            bounds = [row for row in rows if row in REFERENCE_ROWS]
            found += [Evaluated(row, rows[row], {}, {}) for row in bounds]
        trained = {own: metrics["protocol"], **metrics["protocol"].get("beside", {})}
        for row, said in trained.items():
            called = (name or own) if row == own else row
            if sha256 := said.get("model", {}).get("sha256"):
                if (called, sha256) in measured:
                    continue
                measured.add((called, sha256))
            pairs, training = _read_pairs(directory, row), said.get("training", {})
            found.append(Evaluated(called, rows[row], pairs, training))
    return found, shared


def _read_metrics(directory: Path) -> dict[str, Any]:
    try:
        metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
        _ = metrics["protocol"], metrics["rows"][own_row(metrics["rows"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"got {directory} ({error}); expected the output of an evaluation; check the path"
        ) from error
    return metrics


def _read_pairs(directory: Path, row: str) -> Values:
    """One number a pair by metric; empty where the evaluation kept none."""
    path = directory / OF_PAIRS
    if not path.is_file():
        return {}
    with np.load(path) as arrays:
        names = [name for name in arrays if name.rpartition("/")[0] == row]
        return {name.rpartition("/")[2]: arrays[name] for name in names}


def drawing(table: dict[str, dict[str, Any]], strong: str) -> Markup:
    """Identity against pose, all rows; the line joins the swaps that none beats in both."""
    points = trade.trade_points(table)
    swaps = {name: point for name, point in points.items() if name not in REFERENCE_ROWS}
    return trade.drawing(points, strong, front=front_of(swaps))


def write_table(output: Path, found: Sequence[Evaluated], shared: dict[str, Any], own: str) -> str:
    """Writes the files of the table and gives the one for people as text.

    Raises:
        UserError: no evaluation is of the row from which the others are to be taken.
    """
    table = tabulate(found)
    if own not in table:
        raise UserError(f"got --against={own}; expected one of {', '.join(table)}; name one")
    comparisons = compare_rows(found, own)
    text = markdown(table, comparisons, own)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "table.md", text)
    drawn = None
    if any(row[trade.ACROSS] is not None for row in table.values()):
        drawn = drawing(table, own)
        write_text(output / "trade.svg", drawn + "\n")
    page = report(table, comparisons, own, drawn)
    write_text(output / "index.html", page)
    result = {"protocol": shared, "against": own, "rows": table, "comparisons": comparisons}
    write_json(output / "table.json", result)
    return text


def main(_: list[str]) -> int:
    """Reads, tabulates, writes and prints."""
    values = flags.FLAGS
    found, shared = read_evaluations(values.evaluations)
    print(write_table(Path(values.output), found, shared, values.against))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_paths("evaluations", None, "Directories, DIR or NAME=DIR.", required=True)
    command_line.DEFINE_path("output", None, "Directory of the table.", required=True)
    flags.DEFINE_string("against", "adaptive", "Row from which the others are taken.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
