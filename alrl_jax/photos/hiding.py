"""Places of a photo that must not be seen: each is replaced by a few means of its colours.

A mean over a fifth of a face cannot be undone, unlike a blur, which sharpening partly takes back.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8, UInt16

from alrl_jax.photos.photo import Photo

CELLS = 5
"""Means along each side of a place."""
REACH = 1.6
"""Side of the place that is hidden, over that of a face's box: hair, ears and chin belong to it."""

Box = tuple[float, float, float, float]
Pixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]


def hide(pixels: Pixels, boxes: Sequence[Box]) -> Pixels:
    """A copy of the pixels in which nothing can be seen at these places.

    Args:
        pixels: of 8 or 16 bits.
        boxes: of faces (left, top, right, bottom in px); ``REACH`` times as large is hidden.
    """
    hidden = pixels.copy()
    for box in boxes:
        left, top, right, bottom = _reach(box, pixels.shape[1], pixels.shape[0])
        if right > left and bottom > top:
            hidden[top:bottom, left:right] = _means(hidden[top:bottom, left:right])
    return hidden


def hide_all(pixels: Pixels) -> Pixels:
    """A copy of the pixels in which nothing can be seen at all."""
    return _means(pixels)


def with_hidden(photo: Photo, boxes: Sequence[Box]) -> Photo:
    """A photo in which faces are hidden, for the networks as well; see ``hide``."""
    if not boxes:
        return photo
    colour = hide(photo.colour, boxes)
    seen = colour if photo.seen is photo.colour else hide(photo.seen, boxes)
    return dataclasses.replace(photo, colour=colour, seen=seen)


def _reach(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """What is hidden of a photo for a box: all of it where the box is not finite."""
    if not all(map(math.isfinite, box)):
        return 0, 0, width, height
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = REACH * max(box[2] - box[0], box[3] - box[1], 1.0) / 2
    edges = (x - half, y - half, x + half, y + half)
    limits = (width, height, width, height)
    rounded = (math.floor(edges[0]), math.floor(edges[1]), math.ceil(edges[2]), math.ceil(edges[3]))
    clipped = [min(max(edge, 0), limit) for edge, limit in zip(rounded, limits, strict=True)]
    return clipped[0], clipped[1], clipped[2], clipped[3]


def _means(region: Pixels) -> Pixels:
    """A region of at most ``CELLS`` times ``CELLS`` colours."""
    for axis in (0, 1):
        starts = np.unique(np.linspace(0, region.shape[axis], CELLS + 1)[:-1].astype(int))
        sizes = np.diff([*starts, region.shape[axis]])
        shape = [1, 1, 1]
        shape[axis] = len(sizes)
        sums = np.add.reduceat(region.astype(np.float64), starts, axis=axis)
        means = np.rint(sums / sizes.reshape(shape)).astype(region.dtype)
        region = np.repeat(means, sizes, axis=axis)
    return region
