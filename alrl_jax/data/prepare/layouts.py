"""What lies where in the data sets of faces that people have: FFHQ, or any tree of photographs.

A layout turns the names of a tree into an ``Album``: which photographs there are, in which order,
whom they show, how many there should be, and which masks belong to them. It reads no pixels.
``celebamask`` adds CelebAMask-HQ.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int

from alrl_jax.data.folder import PERSON_PER, person
from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import SUFFIXES
from alrl_jax.photos.file_trees import File, Tree

FFHQ_SIZE = 70_000
FFHQ_SPLITS = {
    "all": range(FFHQ_SIZE),
    "train": range(60_000),
    "test": range(60_000, FFHQ_SIZE),
}
"""Numbers of the images of each part. The first 60,000 are what the data set calls training."""

FFHQ_FOLDERS = ("images1024x1024", "", "thumbnails128x128")
"""Folders of aligned images, best first; "" is any other one. Of several that a tree has, one is
taken."""
FFHQ_UNALIGNED = "in-the-wild-images"


@dataclasses.dataclass(frozen=True, slots=True)
class Photo:
    """A photograph, and masks of its parts: class ids and files in the order of painting."""

    file: File
    masks: tuple[tuple[int, File], ...] = ()


@dataclasses.dataclass(frozen=True)
class Album:
    """What a data set holds.

    Attributes:
        photos: the photographs, in the order of the records.
        people: number of the person in each of them.
        expected: how many there are in the whole data set, where that is known.
        missing: which of these are not there, as ranges of numbers.
        faults: file name and reason of what is left out.
        notes: what else a reader should know, a line each.
        columns: names of what else is known about a photograph.
        row: returns these values of a photograph by its place in ``photos``.
    """

    photos: Sequence[Photo]
    people: Int[np.ndarray, " n"]
    expected: int | None = None
    missing: Sequence[str] = ()
    faults: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    columns: tuple[str, ...] = ()
    row: Callable[[int], Sequence[object]] = lambda place: ()


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is asked of a layout.

    Attributes:
        source: directory or zip that the tree was made of.
        split: part of the data set.
        person_per: what shows a person of its own in a folder; see ``folder.PERSON_PER``.
        identity_file: table of the people of CelebA, or None.
    """

    source: Path
    split: str = "all"
    person_per: str = "image"
    identity_file: Path | None = None


def images_of(tree: Tree) -> list[str]:
    """Names of the files that are named like images, in the order of the tree."""
    return [name for name in tree if name.lower().endswith(SUFFIXES)]  # there may be very many


def folder_album(tree: Tree, wish: Wish) -> Album:
    """Any photographs, in the order of their names.

    Raises:
        UserError: a split, or an unknown value of ``person_per``.
    """
    check_split(wish.split, ("all",), "a folder of photographs")
    if wish.person_per not in PERSON_PER:
        raise UserError(
            f"got identities {wish.person_per!r}; expected {' or '.join(PERSON_PER)}; pick one"
        )
    names = images_of(tree)
    people = [person(name) if wish.person_per == "folder" else name for name in names]
    others = collections.Counter(
        PurePosixPath(name).suffix.lower() for name in tree.keys() - set(names)
    )
    return Album(
        [Photo(tree[name]) for name in names],
        np.unique(np.array(people, dtype=object), return_inverse=True)[1].astype(np.int32),
        notes=[
            f"{count} files named *{suffix} are no images that are read here"
            for suffix, count in sorted(others.items())
        ],
    )


def ffhq_album(tree: Tree, wish: Wish) -> Album:
    """FFHQ, in the order of the images' numbers; everybody is another person.

    Raises:
        UserError: no aligned images, or an unknown split.
    """
    check_split(wish.split, FFHQ_SPLITS, "FFHQ")
    groups = _ffhq_groups(images_of(tree), wish.source)
    aligned = {folder: names for folder, names in groups.items() if _ffhq_rank(folder) is not None}
    if not aligned:
        raise UserError(
            f"got {wish.source}, which has no aligned images of FFHQ; expected 00000/00000.png, "
            "00000.png or 00000/img00000000.png in it; use --layout=folder for other names"
        )
    chosen = min(aligned, key=lambda folder: (_ffhq_rank(folder), -len(aligned[folder])))
    numbered, faults = unique_numbers(aligned[chosen], ffhq_number)
    return numbered_album(
        {number: Photo(tree[name]) for number, name in numbered.items()},
        FFHQ_SPLITS[wish.split],
        size=len(FFHQ_SPLITS[wish.split]),
        faults=faults,
        notes=[
            f"{len(names)} images of {folder or 'the top'} are not used"
            + (": they are not aligned" if folder not in aligned else "")
            for folder, names in groups.items()
            if folder != chosen
        ],
    )


def is_ffhq(tree: Tree, source: Path) -> bool:
    """Whether all images have the names of FFHQ, and some of them are aligned.

    Loose numbers (``00000.jpg``) without a folder that says more are FFHQ's only as PNG: copies of
    other data sets are named so, too.
    """
    names = images_of(tree)
    known = all(ffhq_number(name) is not None for name in names)
    groups = _ffhq_groups(names, source) if known else {}
    aligned = [folder for folder in groups if _ffhq_rank(folder) is not None]
    return any(
        PurePosixPath(folder).name in FFHQ_FOLDERS
        or all("/" in _below(name, folder, source) for name in groups[folder])
        or all(name.lower().endswith(".png") for name in groups[folder])
        for folder in aligned
    )


def ffhq_number(name: str) -> int | None:
    """Number of an image by its name, None where it is no name of FFHQ.

    FFHQ itself has folders of a thousand that are named after their first image (``01000/01234``);
    archives for training have them counted (``00001/img00001234``).
    """
    *folders, file = PurePosixPath(name).parts
    found = re.fullmatch(r"(img(?=\d{8}\.)|(?=\d{5}\.))(\d+)\.\w+", file)
    number = int(found[2]) if found else FFHQ_SIZE
    if found is None or number >= FFHQ_SIZE:
        return None
    if folders and re.fullmatch(r"\d{5}", folders[-1]):
        return number if int(folders[-1]) in (number // 1000, number - number % 1000) else None
    return number


def _ffhq_groups(names: Iterable[str], source: Path) -> dict[str, list[str]]:
    """Names by the folder, below that of ``source``, that their numbered folders lie in."""
    groups = collections.defaultdict(list)
    for name in names:
        parts = (source.name, *PurePosixPath(name).parts[:-1])
        counted = len(parts) > 1 and re.fullmatch(r"\d{5}", parts[-1])
        groups["/".join(parts[:-1] if counted else parts)].append(name)
    return dict(groups)


def _below(name: str, folder: str, source: Path) -> str:
    """A name as it is within the folder of its group."""
    return f"{source.name}/{name}"[len(folder) + 1 :]


def _ffhq_rank(folder: str) -> int | None:
    """How willingly a folder is taken, least first; None for what is not aligned."""
    name = PurePosixPath(folder).name
    if name == FFHQ_UNALIGNED:
        return None
    return FFHQ_FOLDERS.index(name if name in FFHQ_FOLDERS else "")


def check_split(split: str, splits: Collection[str], what: str) -> None:
    """UserError for a split that a data set does not have."""
    if split not in splits:
        raise UserError(f"got --split={split} of {what}; expected {' or '.join(splits)}; pick one")


def unique_numbers(
    names: Iterable[str], number_of: Callable[[str], int | None]
) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Names by their numbers, in the order of these, and what cannot be numbered."""
    numbered: dict[int, str] = {}
    faults = []
    for name in names:
        number = number_of(name)
        if number is None:
            faults.append((name, "not named like an image of this data set"))
        elif number in numbered:
            faults.append((name, f"number {number} a second time, after {numbered[number]}"))
        else:
            numbered[number] = name
    return dict(sorted(numbered.items())), faults


def numbered_album(
    photos: Mapping[int, Photo],
    expected: Collection[int],
    *,
    size: int,
    people: Mapping[int, int] | None = None,
    faults: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    columns: tuple[str, ...] = (),
    row: Callable[[int], Sequence[object]] = lambda number: (),
) -> Album:
    """An album of those photographs, by number, that are expected in a part of a data set.

    Args:
        photos: photographs in the order of their numbers.
        expected: numbers of the part.
        size: how many the whole part has.
        people: person number of each photo; None gives every photo a person of its own.
        faults: see ``Album``.
        notes: see ``Album``.
        columns: see ``Album``.
        row: returns the values of ``columns`` by the number of the photograph.
    """
    numbers = [number for number in photos if number in expected]
    persons = numbers if people is None else [people[number] for number in numbers]
    return Album(
        [photos[number] for number in numbers],
        np.unique(np.array(persons, np.int64), return_inverse=True)[1].astype(np.int32),
        expected=size,
        missing=ranges(set(expected).difference(numbers)),
        faults=faults,
        notes=notes,
        columns=("number", *columns),
        row=lambda place: (numbers[place], *row(numbers[place])),
    )


def ranges(numbers: Iterable[int]) -> list[str]:
    """Numbers in words: ``["3", "5-9"]``."""
    ends: list[list[int]] = []
    for number in sorted(numbers):
        if ends and ends[-1][1] == number - 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in ends]
