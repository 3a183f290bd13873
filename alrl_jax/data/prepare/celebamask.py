"""CelebAMask-HQ: 30,000 faces of CelebA-HQ with a mask for every part of each.

    CelebA-HQ-img/0.jpg ... 29999.jpg            1024 x 1024
    CelebAMask-HQ-mask-anno/0/00000_skin.png     512 x 512; 2,000 images a folder, 0 to 14
    CelebA-HQ-to-CelebA-mapping.txt              a line of names; then idx orig_idx orig_file
    CelebAMask-HQ-attribute-anno.txt             30000; 40 names; then 0.jpg -1 1 ...
    CelebAMask-HQ-pose-anno.txt                  30000; 3 names; then 0.jpg and three angles

Masks are painted over each other in the order of the class ids, as the tool of the data set does:
the skin first, hair over it, clothes last. The text files are optional. The parts of the data set
are those of CelebA (its images 1 to 162,770 train, to 182,637 validation, to 202,599 test), found
through the mapping. The person in an image is listed in CelebA's ``identity_CelebA.txt``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from alrl_jax.data.parsing_classes import CELEBAMASK_LABELS
from alrl_jax.data.prepare.layouts import (
    Album,
    Photo,
    Wish,
    check_split,
    images_of,
    numbered_album,
    unique_numbers,
)
from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.file_trees import DirectoryFile, File, Tree

IMAGES = "CelebA-HQ-img"
MASKS = "CelebAMask-HQ-mask-anno"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
ATTRIBUTES = "CelebAMask-HQ-attribute-anno.txt"
POSES = "CelebAMask-HQ-pose-anno.txt"
PEOPLE = "identity_CelebA.txt"
SIZES = {"all": 30_000, "train": 24_183, "validation": 2_993, "test": 2_824}
"""Number of images of each part."""

SPLITS = {
    "all": range(1, 202_600),
    "train": range(1, 162_771),
    "validation": range(162_771, 182_638),
    "test": range(182_638, 202_600),
}
"""Numbers of the files of CelebA that make each part."""


@dataclasses.dataclass(frozen=True)
class _Table:
    """A text file: how many lines it says it has, its columns, values by number of the image."""

    name: str
    counted: int
    columns: tuple[str, ...]
    rows: Mapping[int, tuple[str, ...]]


def is_celebamask(tree: Tree, source: Path) -> bool:
    """Whether there is a folder of the data set's images."""
    return source.name == IMAGES or any(_in_folder(name, IMAGES) for name in images_of(tree))


def celebamask_album(tree: Tree, wish: Wish) -> Album:
    """The photographs of a part, with their masks and with what the text files know.

    Raises:
        UserError: no images, an unknown split, a file that is needed and missing or broken.
    """
    check_split(wish.split, SPLITS, "CelebAMask-HQ")
    names = [name for name in images_of(tree) if _in_folder(name, IMAGES)]
    if not names:
        raise UserError(
            f"got {wish.source}, which has no folder {IMAGES}; expected it and {MASKS}; name the "
            "folder above them, or use --layout=folder for images without masks"
        )
    numbered, faults = unique_numbers(names, _image_number)
    masks, mask_faults, orphans = _masks(tree, set(numbered))
    origin = _origins(tree)
    numbers = _part(wish.split, origin, wish.source)
    people = _people(tree, wish, origin, numbered)
    tables = [table for table in (_attributes(tree), _poses(tree)) if table is not None]
    unlabelled = sum(number not in masks for number in numbered if number in numbers)
    notes = {
        f"{unlabelled} images have no masks: they are unlabelled": unlabelled,
        f"{orphans} masks belong to no image that is there": orphans,
        f"no {PEOPLE}: everybody is another person": people is None,
    }
    for table in tables:
        said = f"{table.name} says {table.counted} lines and has {len(table.rows)}"
        notes[said] = table.counted != len(table.rows)

    def row(number: int) -> tuple[str, ...]:
        """Original file, then attributes and pose, blank where they are not known."""
        known = [t.rows.get(number, ("",) * len(t.columns)) for t in tables]
        return origin.get(number, ""), *(value for values in known for value in values)

    return numbered_album(
        {n: Photo(tree[name], masks.get(n, ())) for n, name in numbered.items()},
        numbers,
        size=SIZES[wish.split],
        people=people,
        faults=[*faults, *mask_faults],
        notes=[note for note, holds in notes.items() if holds],
        columns=("celeba_file", *(name for table in tables for name in table.columns)),
        row=row,
    )


def _in_folder(name: str, folder: str) -> bool:
    """Whether a file lies in a folder of that name, or below one; there may be very many files."""
    return f"/{folder}/" in f"/{name}"


def _image_number(name: str) -> int | None:
    """``CelebA-HQ-img/123.jpg`` is image 123."""
    found = re.fullmatch(r"(\d{1,5})\.\w+", PurePosixPath(name).name)
    return int(found[1]) if found and int(found[1]) < SIZES["all"] else None


def _masks(
    tree: Tree, images: set[int]
) -> tuple[dict[int, tuple[tuple[int, File], ...]], list[tuple[str, str]], int]:
    """Masks of every image in painting order, what is wrong, and how many have no image."""
    found: dict[int, dict[int, File]] = {}
    faults = []
    orphans = 0
    ids = {part: number for number, part in enumerate(CELEBAMASK_LABELS) if number}
    for name in images_of(tree):
        if not _in_folder(name, MASKS):
            continue
        match = re.fullmatch(r"(\d{5})_(\w+)\.png", name.rpartition("/")[2])
        if match is None or match[2] not in ids:
            faults.append((name, f"no mask of a part ({', '.join(ids)})"))
        elif int(match[1]) not in images:
            orphans += 1
        else:
            parts = found.setdefault(int(match[1]), {})
            if ids[match[2]] in parts:
                faults.append((name, f"a second mask, after {parts[ids[match[2]]].name}"))
            parts.setdefault(ids[match[2]], tree[name])
    return {n: tuple(sorted(parts.items())) for n, parts in found.items()}, faults, orphans


def _part(split: str, origin: Mapping[int, str], source: Path) -> set[int]:
    """Numbers of the images of a part of the data set.

    Raises:
        UserError: nothing is known about where the images come from.
    """
    if split == "all":
        return set(range(SIZES["all"]))
    if not origin:
        raise UserError(
            f"got --split={split} of {source}, which has no {MAPPING}; expected it, as the parts "
            "are those of CelebA; put it there, or use --split=all"
        )
    return {n for n, file in origin.items() if int(PurePosixPath(file).stem) in SPLITS[split]}


def _origins(tree: Tree) -> dict[int, str]:
    """File of CelebA that every image comes from; nothing where the mapping is not there."""
    file = _find(tree, MAPPING)
    if file is None:
        return {}
    lines = _lines(file)
    names = 0 if not lines or lines[0][1][0].isdigit() else 1
    return dict(_parsed(file, lines[names:], lambda w: (int(w[0]), w[2]), r"\d+ \d+ \d+\.\w+"))


def _attributes(tree: Tree) -> _Table | None:
    """Forty attributes, 1 or -1."""
    return _table(tree, ATTRIBUTES, r"\d+\.\w+( -?1)+")


def _poses(tree: Tree) -> _Table | None:
    """Yaw, pitch and roll as the file has them; it calls the last one "Raw"."""
    table = _table(tree, POSES, r"\d+\.\w+( -?[\d.]+(e[+-]?\d+)?){3}")
    return table and dataclasses.replace(table, columns=("yaw", "pitch", "roll"))


def _table(tree: Tree, name: str, pattern: str) -> _Table | None:
    """Reads a table with a line that counts, a line of names, and a line an image."""
    file = _find(tree, name)
    if file is None:
        return None
    lines = _lines(file)
    if len(lines) < 2 or len(lines[0][1]) != 1 or not lines[0][1][0].isdigit():
        raise UserError(
            f"got {name} without a line that counts and a line of names at its beginning; "
            "expected the file of the data set; restore it, or take it away"
        )
    rows = _parsed(file, lines[2:], lambda w: (int(w[0].split(".")[0]), tuple(w[1:])), pattern)
    columns = tuple(lines[1][1])
    wrong = [number for number, values in rows if len(values) != len(columns)]
    if wrong:
        raise UserError(
            f"got image {wrong[0]} in {name} with another number of values than its "
            f"{len(columns)} columns; expected the file of the data set; restore it"
        )
    return _Table(name, int(lines[0][1][0]), columns, dict(rows))


def _people(
    tree: Tree, wish: Wish, origin: Mapping[int, str], numbers: Mapping[int, str]
) -> dict[int, int] | None:
    """Person in every image, None where no file says.

    Raises:
        UserError: the file lacks an image, or there is no way from the images to it.
    """
    file = _find(tree, PEOPLE)
    if wish.identity_file is not None:
        file = _given(wish.identity_file)
    if file is None:
        return None
    if not origin:
        raise UserError(
            f"got {file.name} without {MAPPING}; expected both, as people are known by their files "
            "in CelebA; put it beside the images"
        )
    known = dict(_parsed(file, _lines(file), lambda w: (w[0], int(w[1])), r"\S+ \d+"))
    unknown = [number for number in numbers if origin.get(number) not in known]
    if unknown:
        raise UserError(
            f"got {file.name} without the person of image {unknown[0]} "
            f"({origin.get(unknown[0], 'which the mapping lacks too')}); expected all of them; "
            "restore the file, or take it away"
        )
    return {number: known[origin[number]] for number in numbers}


def _find(tree: Tree, name: str) -> File | None:
    """The file of that name that lies highest."""
    found = [path for path in tree if f"/{path}".endswith(f"/{name}")]
    return tree[min(found, key=lambda path: path.count("/"))] if found else None


def _given(path: Path) -> File:
    """A file outside of the tree."""
    if not path.is_file():
        raise UserError(f"got --identity_file={path}, which is no file; expected {PEOPLE}")
    return DirectoryFile(str(path.parent), path.name)


def _lines(file: File) -> list[tuple[int, list[str]]]:
    """Lines with their numbers, in words; empty ones are left out."""
    try:
        text = file.read().decode()
    except (UnreadableImageError, UnicodeDecodeError) as error:
        raise UserError(
            f"got {file.name}, which cannot be read ({error}); expected the file of the data set; "
            "restore it, or take it away"
        ) from error
    return [(n, line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _parsed(
    file: File,
    lines: list[tuple[int, list[str]]],
    parse: Callable[[list[str]], tuple[Any, Any]],
    pattern: str,
) -> list[tuple[Any, Any]]:
    """Parses lines of words that look, joined by single spaces, like the pattern."""
    form = re.compile(pattern)
    for number, words in lines:
        if form.fullmatch(" ".join(words)) is None:
            raise UserError(
                f"got line {number} of {file.name}: {' '.join(words)[:60]!r}; expected the form "
                f"of the data set; restore the file"
            )
    return [parse(words) for _, words in lines]
