"""Checks of what a caller gives to a model, before a program is compiled for it.

Whoever gives pixels from 0 to 255 gets an image of noise without a word, and a wrong size ends in
the depths of a network; so type, shape and range are looked at here.
"""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from alrl_jax.errors import UserError
from alrl_jax.types import AnyArray

MOST = 2.0
"""Largest value of a pixel of photos and drawn faces, with room for what resizing overshoots."""
MOST_DRAWN = 32.0
"""The same where a network may have drawn the images; pixels from 0 to 255 go beyond it too."""

_RANGE = "pixels in [-1, 1]; divide those from 0 to 255 by 127.5 and subtract 1"


def check_images(
    images: Any,
    side: int | None = None,
    *,
    name: str = "images",
    channels: int = 3,
    most: float = MOST_DRAWN,
) -> None:
    """Refuses what is no batch of images.

    Args:
        images: what a caller gave; of traced ones only shape and type are known.
        side: of the images in pixels; None takes any.
        name: of the argument, for messages.
        channels: of the images.
        most: largest absolute value.

    Raises:
        UserError: with the shape, type or range that was got.
    """
    shape, size = _shape_of(images, name), f"{side}, {side}" if side else "h, w"
    expected = f"expected [n, {size}, {channels}]"
    if len(shape) == 3 and shape[-1] == channels:
        raise UserError(f"got {name} of shape {shape}; {expected}; add a batch axis: {name}[None]")
    if len(shape) == 4 and shape[-1] != channels and shape[1] == channels:
        raise UserError(
            f"got {name} of shape {shape}; {expected}; move the channels to the end: "
            f"{name}.transpose(0, 2, 3, 1)"
        )
    if len(shape) != 4 or shape[-1] != channels or 0 in shape:
        raise UserError(f"got {name} of shape {shape}; {expected}; bring them into that shape")
    if side and shape[1:3] != [side, side]:
        raise UserError(
            f"got {name} of shape {shape}; {expected}; crop the faces and resize them to {side} px"
        )
    check_floats(images, name, _RANGE)
    _check_range(images, name, most)


def check_pair(source: Any, target: Any, side: int) -> None:
    """Refuses what are no two batches of faces, as many of the one as of the other.

    Raises:
        UserError: see ``check_images``, or if the numbers of images differ.
    """
    for name, images in (("source", source), ("target", target)):
        check_images(images, side, name=name, most=MOST)
    if len(source) != len(target):
        raise UserError(
            f"got {len(source)} images as source and {len(target)} as target; expected as many of "
            "each; repeat one face with numpy.repeat"
        )


def check_floats(array: Any, name: str, expected: str) -> None:
    """Refuses whole numbers and numbers of another width than a network takes.

    Raises:
        UserError: with the type.
    """
    if not jax.numpy.issubdtype(array.dtype, jax.numpy.floating):
        raise UserError(f"got {name} of type {array.dtype}; expected {expected}")


def check_codes(array: Any, name: str, width: int, shape: str, layers: int | None = None) -> None:
    """Refuses latents and codes of another width, e.g. those of another generator.

    Args:
        array: what a caller gave.
        name: of the argument.
        width: of its last axis.
        shape: what is expected, in words.
        layers: of codes of W+, their second axis.

    Raises:
        UserError: with the shape or type that was got.
    """
    got = _shape_of(array, name)
    fits = len(got) == shape.count(",") + 1 and got[-1] == width and 0 not in got
    if not fits or (layers is not None and got[1] != layers):
        raise UserError(f"got {name} of shape {got}; expected {shape}, as this generator has")
    check_floats(array, name, "floating-point numbers")


def check_label(label: Any, classes: int, count: int) -> None:
    """Refuses a label that a network has no classes for, and none where it has.

    Raises:
        UserError: with the shape that was got.
    """
    if label is None and not classes:
        return
    got = "none" if label is None else str(_shape_of(label, "label"))
    if got != str([count, classes]):
        expected = f"[{count}, {classes}], one-hot" if classes else "none: it has no classes"
        raise UserError(f"got a label of shape {got}; expected {expected}")


def _shape_of(array: Any, name: str) -> list[int]:
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise UserError(
            f"got {name}, a {type(array).__name__}; expected an array of NumPy or JAX; convert it "
            "with numpy.asarray"
        )
    return list(array.shape)


def _check_range(images: AnyArray, name: str, most: float) -> None:
    # What a device is still at work on is no caller's photo, and waiting for it would cost time.
    if isinstance(images, Tracer):
        return
    if isinstance(images, jax.Array):
        ready = images.is_ready()  # pyright: ignore[reportAttributeAccessIssue]
        if not (images.is_fully_addressable and ready):
            return
    values = np.asarray(images)
    low, high = float(values.min()), float(values.max())
    if not (-most <= low and high <= most):  # false for NaN as well
        raise UserError(f"got {name} with values from {low:g} to {high:g}; expected {_RANGE}")
