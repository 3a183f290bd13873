"""Lists of pairs to swap: a CSV file, or one source and one target."""

import csv
import dataclasses
from pathlib import Path

from alrl_jax.errors import UserError

COLUMNS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """One pair: whose face, and the picture it goes into."""

    source: Path
    target: Path


def read_pairs(path: Path) -> list[PairFiles]:
    """Reads a CSV file with the header ``source,target`` (more columns may stand beside them).

    Relative paths are relative to the CSV file. The pictures themselves are not opened.

    Raises:
        UserError: no such file, not UTF-8 text, no header, a row without both cells, no row.
    """
    if not path.is_file():
        raise UserError(f"got --pairs={path}; expected a CSV file; check the path")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
            header = _header(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"got {path}, not CSV text ({error}); save it as UTF-8 CSV") from None
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UserError(
            f"got {path} with columns {header}; expected {','.join(COLUMNS)}; add the header line"
        )
    if not rows:
        raise UserError(f"got {path} without a pair; expected one a line; add some")
    return [_pair(path, line, row) for line, row in enumerate(rows, start=2)]


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file, skipinitialspace=True), [])


def _pair(path: Path, line: int, row: dict[str, str | None]) -> PairFiles:
    cells = [(row[name] or "").strip() for name in COLUMNS]
    if not all(cells):
        raise UserError(f"got {path} row {line} {cells}; expected a source and a target; mend it")
    source, target = (path.parent / cell for cell in cells)
    return PairFiles(source, target)
