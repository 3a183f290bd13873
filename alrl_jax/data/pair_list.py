"""Lists of pairs to swap: a CSV file, or drawn from a directory tree."""

import csv
import dataclasses
from pathlib import Path

import numpy as np

from alrl_jax.data.folder import list_images
from alrl_jax.errors import UserError

COLUMNS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """One pair: whose face, and the picture it goes into."""

    source: Path
    target: Path
    skin_tone: str = ""
    """Of the target, as the list names it; empty where it says nothing."""


def read_pairs(path: Path) -> list[PairFiles]:
    """Reads a CSV file with the header ``source,target`` (more columns may stand beside them).

    A column ``skin_tone`` names the target's, in whatever words or numbers. Relative paths are
    relative to the CSV file. The pictures themselves are not opened.

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
    return PairFiles(source, target, (row.get("skin_tone") or "").strip())


def list_pairs(pairs: str | None, source: str | None, target: str | None) -> list[PairFiles]:
    """The pairs that the flags name.

    Raises:
        UserError: neither a CSV file nor both pictures, or all of them; no such file.
    """
    if pairs is not None:
        if source is not None or target is not None:
            raise UserError("got --pairs beside --source or --target; expected one way; drop one")
        return read_pairs(Path(pairs))
    if source is None or target is None:
        raise UserError(
            f"got --source={source} --target={target}; expected both, or --pairs=FILE.csv; add them"
        )
    for name, path in (("source", source), ("target", target)):
        if not Path(path).is_file():
            raise UserError(f"got --{name}={path}; expected a picture file; check the path")
    return [PairFiles(Path(source), Path(target))]


def draw_pairs(directory: Path, count: int | None, seed: int) -> list[PairFiles]:
    """Pairs of different pictures of a directory tree.

    The pictures are shuffled and each is swapped into the next one, then into the one after that,
    and so on: every picture is a source once before one is so twice, and no pair comes twice.

    Args:
        directory: root of the tree.
        count: number of pairs; None takes as many as there are pictures.
        seed: of the shuffling.

    Raises:
        UserError: no such directory, too few pictures, or fewer pairs than are asked for.
    """
    names = list_images(directory) if directory.is_dir() else []
    if len(names) < 2:
        raise UserError(
            f"got --data={directory} with {len(names)} pictures; expected a directory tree of at "
            "least two; check the path"
        )
    count, most = len(names) if count is None else count, len(names) * (len(names) - 1)
    if count > most:
        raise UserError(
            f"got --num_pairs={count} of {len(names)} pictures; expected at most {most}; lower it"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    pairs = []
    for number in range(count):
        turn, place = divmod(number, len(names))
        source, target = order[place], order[(place + turn + 1) % len(names)]
        pairs.append(PairFiles(directory / names[source], directory / names[target]))
    return pairs
