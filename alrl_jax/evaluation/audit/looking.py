"""Faces of originals and of their results, and what became of each: replaced, hidden or left."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from alrl_jax.photos.alignment import Alignment, Pixels, crop_face, square
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.found_face import FaceNotFoundError, FoundFace, merged, overlap
from alrl_jax.photos.landmarks import FaceFinder, place
from alrl_jax.photos.photo import read_photo

CROP = 256
"""Side of the crops that judges see, px."""
MIDDLE = 0.5
"""Side of the middle of a crop that the face itself fills, over the crop's."""
COARSE = 16
"""Pixels along that middle in which a change counts: noise and compression vanish there."""
LEAST_CHANGE = 3.0
"""Mean absolute difference of the middle, in levels of 255, below which a face is left."""
NEAR = 0.1
"""Overlap of two boxes over their union from which a face of the result is that of the original."""
OUTCOMES = ("replaced", "hidden", "left")


@dataclasses.dataclass(frozen=True)
class Sight:
    """A face of an original.

    Attributes:
        face: where it is.
        by: the finders that found it.
        outcome: of ``OUTCOMES``; None where there is no result.
        change: of the middle of its crop, in levels of 255; None where there is no result.
        before: its crop, in [-1, 1].
        after: the crop of the result at the face that was found there, or else at the same place.
        same_place: the crop of the result at the same place.
    """

    face: FoundFace
    by: tuple[str, ...]
    outcome: str | None
    change: float | None
    before: Float[np.ndarray, "r r 3"]
    after: Float[np.ndarray, "r r 3"] | None
    same_place: Float[np.ndarray, "r r 3"] | None


@dataclasses.dataclass(frozen=True)
class Looked:
    """An original beside its result.

    Attributes:
        original: its pixels; None where it cannot be read.
        result: the same, at the original's size.
        sights: the faces of the original.
        after: number of faces of the result.
        fault: why not all could be looked at; None where all was.
    """

    original: Pixels | None
    result: Pixels | None
    sights: list[Sight]
    after: int
    fault: str | None = None


def look(original: Path, result: Path | None, finders: Mapping[str, FaceFinder]) -> Looked:
    """Looks at a picture before and after.

    Args:
        original: file.
        result: file; None where nothing is shown.
        finders: by name; a face counts where one of them finds it.
    """
    try:
        before = read_photo(original).seen
    except (UnreadableImageError, OSError) as error:
        return Looked(None, None, [], 0, f"original: {error}")
    fault, after = None, None
    if result is not None:
        try:
            after = read_photo(result).seen
        except (UnreadableImageError, OSError) as error:
            fault = f"result: {error}"
    if after is not None and after.shape != before.shape:
        sizes = [f"{pixels.shape[1]}x{pixels.shape[0]}" for pixels in (before, after)]
        fault, after = f"result: {sizes[1]} pixels, not the original's {sizes[0]}", None
    found, faults = _found(original, before, finders)
    there, more = ([], []) if after is None else _found(original, after, finders)
    faces_after = [face for face, _ in there]
    sights = [_sight(face, by, before, after, faces_after) for face, by in found]
    faults = [*([fault] if fault else []), *faults, *more]
    return Looked(before, after, sights, len(there), "; ".join(dict.fromkeys(faults)) or None)


def _found(
    path: Path, image: Pixels, finders: Mapping[str, FaceFinder]
) -> tuple[list[tuple[FoundFace, tuple[str, ...]]], list[str]]:
    """The faces that any finder finds, with all finders of each; and why one could not look."""
    by_name: dict[str, list[FoundFace]] = {}
    faults = []
    for name, finder in finders.items():
        try:
            by_name[name] = finder.faces(path, image)
        except FaceNotFoundError as error:
            faults.append(f"{name}: {error}")
    together = merged([face for faces in by_name.values() for face in faces])
    named = []
    for face in together:
        by = [n for n, own in by_name.items() if any(_same(face, other) for other in own)]
        named.append((face, tuple(by)))
    return named, faults


def _same(face: FoundFace, other: FoundFace) -> bool:
    return overlap(face, other) >= NEAR or len(merged([face, other])) == 1


def _place(face: FoundFace, image: Pixels) -> Alignment:
    """Where a face is cut out: by its landmarks, or where they are none, by its box."""
    try:
        return place(face, image, CROP)
    except FaceNotFoundError:
        left, top, right, bottom = face.box
        side = max(1.0, 2 * max(right - left, bottom - top))
        return square((left + right - side) / 2, (top + bottom - side) / 2, side, CROP)


def _sight(
    face: FoundFace,
    by: tuple[str, ...],
    before: Pixels,
    after: Pixels | None,
    faces_after: Sequence[FoundFace],
) -> Sight:
    where = _place(face, before)
    crop = crop_face(before, where)
    if after is None:
        return Sight(face, by, None, None, crop, None, None)
    same_place = crop_face(after, where)
    change = _change(crop, same_place)
    nearest = max(faces_after, key=lambda other: overlap(face, other), default=None)
    found = nearest is not None and _same(face, nearest)
    there = crop_face(after, _place(nearest, after)) if found and nearest else same_place
    outcome = "left" if change < LEAST_CHANGE else "replaced" if found else "hidden"
    return Sight(face, by, outcome, change, crop, there, same_place)


def _change(a: Float[np.ndarray, "r r 3"], b: Float[np.ndarray, "r r 3"]) -> float:
    """Mean absolute difference of the coarse middles of two crops, in levels of 255."""
    edge = round(a.shape[0] * (1 - MIDDLE) / 2)
    middle = (a - b)[edge : a.shape[0] - edge, edge : a.shape[0] - edge]
    step = middle.shape[0] // COARSE
    shape = (COARSE, step, COARSE, step, 3)
    coarse = middle[: COARSE * step, : COARSE * step].reshape(shape).mean(axis=(1, 3))
    return float(np.abs(coarse).mean() * 127.5)


def described(sight: Sight) -> dict[str, Any]:
    """What the record says of a face."""
    return {
        "box": [round(float(edge), 1) for edge in sight.face.box],
        "found_by": list(sight.by),
        "outcome": sight.outcome,
        "change": None if sight.change is None else round(sight.change, 2),
    }
