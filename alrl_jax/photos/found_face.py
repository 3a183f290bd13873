"""A face that was found in a photo, and the choice among several."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from alrl_jax.errors import UserError
from alrl_jax.photos.alignment import Alignment, ffhq, square

FACE_BOX_TO_CROP = 1.75
"""Side of the FFHQ-like crop over the side of the cascade's box."""
FACE_BOX_UP = 0.04
"""How far that crop's centre lies above the box's, as a share of the box's side."""
SAME_FACE = 0.3
"""Overlap of two boxes, over their union, from which they are one face's ..."""
INSIDE = 0.7
"""... and share of the smaller one that lies in the other."""


class FaceNotFoundError(ValueError):
    """There is no such face in a photo; the message says why, in a few words."""


class DetectorFailedError(FaceNotFoundError):
    """The detector broke on this photo: whether it has a face is not known."""


@dataclasses.dataclass(frozen=True)
class FoundFace:
    """A face in a photo, in continuous coordinates.

    Attributes:
        box: left, top, right, bottom.
        points: 5, 68, 468 or 478 landmarks; None where the box is all that is known.
        confidence: of the detector that there is a face, in [0, 1]; None where it says nothing.
        flag: of the network that places the landmarks, the same.
    """

    box: tuple[float, float, float, float]
    points: Float[np.ndarray, "n 2"] | None = None
    confidence: float | None = None
    flag: float | None = None

    @property
    def area(self) -> float:
        """Of the box, in px."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    def alignment(self, resolution: int) -> Alignment:
        """FFHQ's crop from the landmarks; an upright one, coarse, from the box alone.

        Raises:
            LandmarkError: the points are no face.
        """
        if self.points is not None:
            return ffhq(self.points, resolution)
        left, top, right, bottom = self.box
        side = right - left
        x, y = (left + right) / 2, (top + bottom) / 2 - FACE_BOX_UP * side
        crop = FACE_BOX_TO_CROP * side
        return square(x - crop / 2, y - crop / 2, crop, resolution)


def of_points(points: Float[np.ndarray, "n 2"]) -> FoundFace:
    """A face that landmarks describe."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return FoundFace((float(left), float(top), float(right), float(bottom)), points)


def choose_faces(found: list[FoundFace], choice: str) -> list[FoundFace]:
    """The faces that a choice names.

    Args:
        found: all that there are.
        choice: ``largest``, ``all``, or numbers that count from 0, with commas between them.

    Raises:
        FaceNotFoundError: there is none, or none of that number.
    """
    if not found:
        raise FaceNotFoundError("no face found")
    if choice == "all":
        return found
    if choice == "largest":
        return [max(found, key=lambda face: face.area)]
    numbers = [int(number) for number in choice.split(",")]
    if max(numbers) >= len(found):
        raise FaceNotFoundError(f"{len(found)} faces found, none of number {max(numbers)} (from 0)")
    return [found[number] for number in numbers]


def check_choice(flag: str, choice: str, *, several: bool) -> str:
    """The choice itself.

    Raises:
        UserError: it is none.
    """
    words = ("largest", "all") if several else ("largest",)
    numbers = choice.split(",") if several else [choice]
    digits = all(number.isascii() and number.isdigit() for number in numbers)
    if choice in words or (digits and len(set(map(int, numbers))) == len(numbers)):
        return choice
    number = "numbers from 0, as 0,2" if several else "a number from 0"
    raise UserError(f"got --{flag}={choice}; expected {', '.join(words)} or {number}; choose")


def left_to_right(found: list[FoundFace]) -> list[FoundFace]:
    """The order in which a detector's faces are counted."""
    return sorted(found, key=lambda face: face.box)


def overlap(a: FoundFace, b: FoundFace) -> float:
    """Intersection of two faces' boxes over their union."""
    common = _common(a, b)
    union = a.area + b.area - common
    return common / union if union > 0 else 0.0


def _common(a: FoundFace, b: FoundFace) -> float:
    """Area that two faces' boxes share, in px."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(0.0, width) * max(0.0, height)


def merged(found: Sequence[FoundFace]) -> list[FoundFace]:
    """Faces without those that are found already: one face with two boxes is not swapped twice.

    Args:
        found: those that count first.
    """
    kept: list[FoundFace] = []
    for face in found:
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(a: FoundFace, b: FoundFace) -> bool:
    """Whether two boxes overlap so far, or one lies so far in the other, that they are one."""
    smaller = min(a.area, b.area)
    return overlap(a, b) > SAME_FACE or _common(a, b) > INSIDE * smaller
