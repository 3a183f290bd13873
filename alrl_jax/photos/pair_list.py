"""Lists of pairs to swap: a CSV file, files, patterns and directories, or drawn from a tree."""

import csv
import dataclasses
import glob
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import SUFFIXES
from alrl_jax.photos.file_trees import is_image_name, list_images, walk
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.buckets import fetch, files_of
from alrl_jax.utils.opening import OddFileError, open_regular
from alrl_jax.utils.paths import beside, path_or_mirror

COLUMNS = ("source", "target")
PAIRINGS = ("all", "zip")
"""Every source with every target, sources first; or the first with the first, and so on."""
MAX_LIST_BYTES = 2**28
"""Of a list of pairs: some millions of them."""
OUTSIDE = "a link that leads out of its directory"


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """One pair: the photo that gives the face, and the photo it goes into."""

    source: Path
    target: Path
    skin_tone: str = ""
    """Of the target, as the list names it; empty where it says nothing."""
    face: str = ""
    """Which face of the target, as the list names it; see ``choose_faces``."""
    more: tuple["PairFiles", ...] = ()
    """What the list puts into further faces of the same target, each by its number."""
    pictures: tuple[Path, ...] = ()
    """Of the source's person, ``source`` among them, where their mean goes into the target."""

    @property
    def parts(self) -> tuple["PairFiles", ...]:
        """This pair and ``more``."""
        return (self, *self.more)

    @property
    def sources(self) -> tuple[Path, ...]:
        """All pictures that go into the target."""
        return self.pictures or tuple(part.source for part in self.parts)

    @property
    def listed_face(self) -> str:
        """Which faces of the target the list names; empty where it names none."""
        return ",".join(part.face for part in self.parts)


def read_pairs(path: Path) -> list[PairFiles]:
    """Reads a CSV file with the header ``source,target`` (more columns may stand beside them).

    A column ``skin_tone`` names the target's, in whatever words or numbers; a column ``face`` the
    face of the target that the source goes into: a number from 0, ``largest`` or ``all``. Rows that
    follow each other and name numbers of faces of the same target are one pair: one picture with
    several sources. Relative paths are relative to the CSV file; ``~`` is expanded. The photos
    themselves are not opened.

    Raises:
        UserError: no such file, not UTF-8 text, no header, a row without both cells, no row, the
            address of an unknown kind, a face that is none, or one that is named twice.
    """
    fetch(path)
    if not path.is_file():
        raise UserError(f"got --pairs={path}; expected a CSV file; check the path")
    try:
        with _text(path) as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
        header = _header(path)
    except (UnicodeDecodeError, csv.Error, OddFileError) as error:
        raise UserError(f"got {path}, not CSV text ({error}); save it as UTF-8 CSV") from None
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UserError(
            f"got {path} with columns {header}; expected {','.join(COLUMNS)}; add the header line"
        )
    if not rows:
        raise UserError(f"got {path} without a pair; expected one a line; add some")
    return _joined(path, [_pair(path, line, row) for line, row in enumerate(rows, start=2)])


def _joined(path: Path, rows: list[PairFiles]) -> list[PairFiles]:
    """Rows that put sources into faces of one target, as one pair."""
    pairs: list[PairFiles] = []
    for row in rows:
        last = pairs[-1] if pairs else None
        numbered = row.face.isdigit() and last is not None and last.face.isdigit()
        if last is None or not numbered or last.target != row.target:
            pairs.append(row)
        elif int(row.face) in {int(part.face) for part in last.parts}:
            raise UserError(
                f"got {path} with two sources for face {row.face} of {row.target}; expected one; "
                "drop the other, or put another target between them"
            )
        else:
            pairs[-1] = dataclasses.replace(last, more=(*last.more, row))
    return pairs


def _text(path: Path) -> io.TextIOWrapper:
    """A CSV file, opened as text."""
    return io.TextIOWrapper(open_regular(path, MAX_LIST_BYTES), encoding="utf-8-sig", newline="")


def _header(path: Path) -> list[str]:
    with _text(path) as file:
        return next(csv.reader(file, skipinitialspace=True), [])


def _pair(path: Path, line: int, row: dict[str, str | None]) -> PairFiles:
    cells = [(row[name] or "").strip() for name in COLUMNS]
    if not all(cells):
        raise UserError(f"got {path} row {line} {cells}; expected a source and a target; add both")
    source, target = (beside(path, cell) for cell in cells)
    face = (row.get("face") or "").strip()
    if face and face not in ("largest", "all") and not (face.isascii() and face.isdigit()):
        raise UserError(
            f"got {path} row {line} with face {face!r}; expected largest, all or a number from 0; "
            "correct it"
        )
    return PairFiles(source, target, (row.get("skin_tone") or "").strip(), face)


class AllPairs(Sequence[PairFiles]):
    """Every source with every target, made when they are asked for: there may be millions."""

    def __init__(self, sources: list[Path], targets: list[Path]) -> None:
        self._sources, self._targets = sources, targets

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._sources) * len(self._targets)

    def __getitem__(self, index: int) -> PairFiles:  # type: ignore[override]
        """Pair ``index``: all targets of the first source come first."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        source, target = divmod(index % len(self), len(self._targets))
        return PairFiles(self._sources[source], self._targets[target])


@dataclasses.dataclass(frozen=True)
class Listing:
    """What flags name.

    Attributes:
        pairs: in order.
        refused: files of them that must not be read, with the reason.
    """

    pairs: Sequence[PairFiles]
    refused: Mapping[Path, str]


def list_pairs(
    pairs: str | None,
    source: str | None,
    target: str | None,
    pairing: str = "all",
    output: Path | None = None,
    average: bool = False,
) -> Listing:
    """The pairs that the flags name.

    Args:
        pairs: a CSV file; see ``read_pairs``.
        source: a photo, a pattern (``*``, ``?``, ``**``), or a directory; see ``list_files``.
        target: the same.
        pairing: of ``PAIRINGS``.
        output: directory of results, whose photos are left out of others'.
        average: whether all sources are pictures of one person, who goes into every target.

    Raises:
        UserError: neither a CSV file nor both sides, or all of them; no such file; counts that
            cannot be paired one by one.
    """
    if pairs is not None:
        if source is not None or target is not None:
            raise UserError("got --pairs beside --source or --target; expected one way; drop one")
        if average:
            raise UserError(
                "got --average with --pairs; expected it with --source and --target; drop one"
            )
        return Listing(read_pairs(Path(pairs)), {})
    if source is None or target is None:
        raise UserError(
            f"got --source={source} --target={target}; expected both, or --pairs=FILE.csv; add them"
        )
    sources, refused = list_files("source", source, output)
    targets, more = list_files("target", target, output)
    if average:
        mean = [PairFiles(sources[0], t, pictures=tuple(sources)) for t in targets]
        return Listing(mean, refused | more)
    if pairing == "all":
        return Listing(AllPairs(sources, targets), refused | more)
    if len(sources) != len(targets):
        raise UserError(
            f"got --pairing=zip with {len(sources)} sources and {len(targets)} targets; expected "
            "as many of both; take --pairing=all, or list the pairs in a CSV file"
        )
    return Listing([PairFiles(*two) for two in zip(sources, targets, strict=True)], refused | more)


def list_files(
    flag: str, named: str, output: Path | None = None
) -> tuple[list[Path], dict[Path, str]]:
    """The photos that a flag names, sorted by path, and those of them that must not be read.

    A directory gives all files that are named like photos, in its folders too, but for those in
    ``output``, which earlier runs made; a warning counts the other files. Links to folders and
    hidden names are left out. A link to a file outside of the directory is refused, as another
    person may have filled the directory. What a pattern or a flag itself names is read wherever it
    lies.

    Raises:
        UserError: there is no such file, or a folder cannot be read.
    """
    named = path_or_mirror(named)
    path = Path(named)
    if address_of(path) is not None:
        files = [file for file in files_of(path) if is_image_name(file.name)]
        if output is not None:
            files = [file for file in files if not _same_address(file, output)]
        refused, expected = {}, "photos under that address"
    elif path.is_dir():
        everything = [path / name for name in sorted(walk(path))]
        if output is not None and _inside(output, path):
            everything = [file for file in everything if not _inside(file.parent, output)]
        files = [file for file in everything if is_image_name(file.name)]
        _warn_left_out(flag, named, [file for file in everything if not is_image_name(file.name)])
        refused = {file: OUTSIDE for file in files if _leads_out(file, path)}
        expected = "photos in that directory"
    elif glob.has_magic(named) and not path.exists():
        found = sorted(glob.glob(named, recursive=True))
        files, refused = [Path(name) for name in found if not Path(name).is_dir()], {}
        expected = "photos of that pattern"
    else:
        files, refused = [path] if path.is_file() else [], {}
        expected = "a photo file, a pattern or a directory"
    if not files:
        raise UserError(f"got --{flag}={named}; expected {expected}; check the path")
    return files, refused


def _same_address(file: Path, output: Path) -> bool:
    """Whether a mirrored file lies in the bucket's folder that an output mirrors."""
    address, folder = address_of(file), address_of(output)
    return address is not None and folder is not None and address.startswith(f"{folder}/")


def _warn_left_out(flag: str, named: str, files: list[Path]) -> None:
    """Warns of files that are not named like photos."""
    if files:
        suffixes = ", ".join(SUFFIXES)
        logging.warning(
            "left out %d files of --%s=%s that are not named like photos (%s), the first: %s",
            *(len(files), flag, named, suffixes, files[0]),
        )


def _inside(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())


def _leads_out(file: Path, directory: Path) -> bool:
    if not file.is_symlink():
        return False
    try:
        return not file.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError):  # a loop; reading it says so
        return False


def draw_pairs(directory: Path, count: int | None, seed: int) -> list[PairFiles]:
    """Pairs of different photos of a directory tree.

    The photos are shuffled and each is swapped into the next one, then into the one after that,
    and so on: every photo is a source once before any is one twice, and no pair comes twice.

    Args:
        directory: root of the tree.
        count: number of pairs; None takes as many as there are photos.
        seed: of the shuffling.

    Raises:
        UserError: no such directory, too few photos, or fewer pairs than are asked for.
    """
    names = list_images(directory) if directory.is_dir() else []
    if len(names) < 2:
        raise UserError(
            f"got --data={directory} with {len(names)} photos; expected a directory tree of at "
            "least two; check the path"
        )
    count, most = len(names) if count is None else count, len(names) * (len(names) - 1)
    if count > most:
        raise UserError(
            f"got --num_pairs={count} of {len(names)} photos; expected at most {most}; lower it"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    pairs = []
    for number in range(count):
        turn, place = divmod(number, len(names))
        source, target = order[place], order[(place + turn + 1) % len(names)]
        pairs.append(PairFiles(directory / names[source], directory / names[target]))
    return pairs
