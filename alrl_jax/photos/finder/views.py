"""Square views of a photo: whole, in tiles, turned; a matrix leads from each back to the photo."""

import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from alrl_jax.photos.alignment import Pixels

SEEN = 0.06
"""Side of the smallest face that the detector sees, over the side of its view."""
MARGIN = 1.5
"""Side of the widest view over that of the photo: faces that fill their photo need room."""
LEAST_TILE = 320
"""Side of the smallest tile, px: the detector's view has 192."""
TURNED_LEVELS = 2
"""Sizes of turned views within the photo, from the whole of it down: all sizes would take long."""

ViewMatrix = Float[np.ndarray, "2 3"]
"""From continuous coordinates of a view, in units of its side, to those of its photo."""


@dataclasses.dataclass(frozen=True)
class DetectorOptions:
    """How faces are looked for.

    Attributes:
        min_confidence: least score of the detector, and least flag of the mesh, in (0, 1).
        angles: by which the photo is turned, in degrees; of each face the best one counts.
        min_face: the smallest face, its box over the longer side of the photo.
    """

    min_confidence: float = 0.5
    angles: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0)
    min_face: float = 0.02


class Pyramid:
    """A photo at its own size, a half, a quarter and so on, made when they are asked for."""

    def __init__(self, photo: Pixels) -> None:
        self._levels = [Image.fromarray(photo)]

    def cut(self, matrix: ViewMatrix, side: int, fill: int) -> UInt8[np.ndarray, "s s 3"]:
        """A view of so many pixels.

        Args:
            matrix: where it lies.
            side: of the result, px.
            fill: grey level of what lies outside of the photo.
        """
        scale = float(np.linalg.norm(matrix[:, 0])) / side
        level = max(0, min(int(math.log2(max(scale, 1.0))), self._most))
        while len(self._levels) <= level:
            self._levels.append(self._levels[-1].reduce(2))
        rows = matrix * [1 / side, 1 / side, 1] / 2**level
        transform, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        grey = (fill, fill, fill)
        data = tuple(rows.ravel().tolist())
        view = self._levels[level].transform(
            (side, side), transform, data, bilinear, fillcolor=grey
        )
        return np.asarray(view)

    @property
    def _most(self) -> int:
        """The last level that is worth making."""
        return int(math.log2(max(self._levels[0].size)))


def views(height: int, width: int, options: DetectorOptions) -> list[ViewMatrix]:
    """All views in which faces of a photo are looked for.

    Args:
        height: of the photo, px.
        width: of the photo, px.
        options: of the search.
    """
    found = []
    for degrees in options.angles:
        turn, centre = rotation(math.radians(degrees)), np.array([width, height]) / 2
        extent = np.abs(turn) @ [width, height]
        levels = None if degrees == 0 else TURNED_LEVELS
        sides = _sides(float(extent.max()), options.min_face * max(height, width), levels)
        for side in sides:
            # By right angles the sides of the turned photo stay whole numbers but for rounding.
            for corner in _corners(extent, side):
                shift = centre + turn @ (corner - extent / 2)
                found.append(np.column_stack([turn * side, shift]))
    return found


def _sides(longest: float, least_face: float, levels: int | None) -> Iterator[float]:
    """Sides of views: with a margin, that of the photo, and halves of it."""
    yield MARGIN * longest
    for level in itertools.count():
        side = longest / 2**level
        fine = side < LEAST_TILE or SEEN * 2 * side <= least_face
        if level and (fine or (levels is not None and level >= levels)):
            return
        yield side


def _corners(extent: Float[np.ndarray, "2"], side: float) -> Iterator[Float[np.ndarray, "2"]]:
    """Where tiles begin that overlap by half; a photo that is narrower lies in their middle."""
    steps = [_steps(float(length), side) for length in extent]
    for y, x in itertools.product(steps[1], steps[0]):
        yield np.array([x, y])


def _steps(length: float, side: float) -> list[float]:
    if length <= side * (1 + 1e-9):
        return [(length - side) / 2]
    count = math.ceil(2 * (length - side) / side - 1e-9) + 1
    return [i * (length - side) / (count - 1) for i in range(count)]


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """The matrix of a turn, from x towards y, in radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def square_view(centre: Float[np.ndarray, "2"], side: float, angle: float) -> ViewMatrix:
    """A square of the photo, turned by an angle in radians."""
    turn = rotation(angle) * side
    return np.column_stack([turn, centre - turn @ [0.5, 0.5]])
