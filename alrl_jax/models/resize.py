"""Resizing of maps as PyTorch does it, and sampling between pixels.

Resized with the sampling points of ``interpolate``, without antialiasing, and with the bins of
``AdaptiveAvgPool2d``.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Float64, Int, Shaped

from alrl_jax.types import AnyArray

Neighbours = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float32[np.ndarray, " n"]]
"""The pixels around every sampling point of an axis, and the share of the second."""


def resize_bilinear(
    x: Float[AnyArray, "b h w c"], height: int, width: int, align_corners: bool
) -> Float[AnyArray, "b h2 w2 c"]:
    """Resizes by the four nearest pixels; shrinking skips pixels.

    Args:
        x: maps, of JAX or of NumPy.
        height: rows of the result.
        width: columns of the result.
        align_corners: corner pixels lie upon each other, else the borders of the maps do.
    """
    return _blend(_blend(x, width, 2, align_corners), height, 1, align_corners)


def resize_nearest(
    x: Shaped[Array, "b h w c"], height: int, width: int
) -> Shaped[Array, "b m n c"]:
    """Repeats pixels, or skips some: pixel i is pixel floor(i * old / new)."""
    for axis, size in ((1, height), (2, width)):
        old = x.shape[axis]
        scale = np.float32(old) / np.float32(size)
        points = np.floor(np.arange(size, dtype=np.float32) * scale).astype(np.int32)
        x = x.take(np.minimum(points, old - 1), axis)
    return x


def adaptive_pool_matrix(old: int, new: int) -> Float64[np.ndarray, "{new} {old}"]:
    """The matrix that pools an axis: the bins of PyTorch's ``AdaptiveAvgPool2d``.

    Bin i is the mean of the pixels from floor(i * old / new) to below ceil((i + 1) * old / new);
    neighbours may share a pixel, and where ``new`` is larger, pixels are repeated.
    """
    bins = np.arange(new)
    first, last = bins * old // new, -(-(bins + 1) * old // new)
    pixels = np.arange(old)
    inside = (pixels >= first[:, None]) & (pixels < last[:, None])
    return inside / (last - first)[:, None]


def sample_bilinear(
    image: Float[Array, "h w c"], y: Float[Array, "m n"], x: Float[Array, "m n"]
) -> Float[Array, "m n c"]:
    """Samples an image between its pixels.

    Args:
        image: one image.
        y: rows, from 0 to h - 1.
        x: columns, from 0 to w - 1.
    """
    height, width, channels = image.shape
    pixels = image.reshape(-1, channels)
    top, left = jnp.floor(y), jnp.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]

    def take(below: int, beside: int) -> Float[Array, "m n c"]:
        row = jnp.minimum(top.astype(jnp.int32) + below, height - 1)
        column = jnp.minimum(left.astype(jnp.int32) + beside, width - 1)
        return pixels.at[row * width + column].get(mode="promise_in_bounds")

    upper = take(0, 0) * (1 - right) + take(0, 1) * right
    lower = take(1, 0) * (1 - right) + take(1, 1) * right
    return upper * (1 - down) + lower * down


def _blend(
    x: Float[AnyArray, "..."], size: int, axis: int, align_corners: bool
) -> Float[AnyArray, "..."]:
    """Resizes one axis."""
    if x.shape[axis] == size:
        return x
    points = _neighbours(x.shape[axis], size, align_corners)
    gather = functools.partial(_gather, points=points, axis=axis)
    if isinstance(x, np.ndarray):
        return gather(x)
    # Gathers are slow on accelerators, and their gradients add up in an order of no promise.
    multiply = functools.partial(_multiply, points=points, axis=axis)
    return lax.platform_dependent(x, cpu=gather, default=multiply)


def _gather(x: Float[AnyArray, "..."], points: Neighbours, axis: int) -> Float[AnyArray, "..."]:
    """Takes both neighbours of every point, and blends them."""
    low, high, share = points
    share = share.reshape(-1, *[1] * (x.ndim - axis - 1)).astype(x.dtype)
    return x.take(low, axis) * (1 - share) + x.take(high, axis) * share


def _multiply(x: Float[Array, "..."], points: Neighbours, axis: int) -> Float[Array, "..."]:
    """The same as a product with a matrix of shares; in bfloat16, sums are of float32."""
    low, high, share = points
    matrix = np.zeros((len(low), x.shape[axis]), np.float32)
    rows = np.arange(len(low))
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    moved = lax.dot_general(
        jnp.asarray(matrix, x.dtype),
        x,
        (((1,), (axis,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    return jnp.moveaxis(moved, 0, axis).astype(x.dtype)


def _neighbours(old: int, new: int, align_corners: bool) -> Neighbours:
    """The two pixels around every sampling point, and the share of the second.

    In float32, whose rounding of the points shows in large maps.
    """
    index = np.arange(new, dtype=np.float32)
    if align_corners:
        points = index * (np.float32(old - 1) / np.float32(max(new - 1, 1)))
    else:
        scale = np.float32(old) / np.float32(new)
        points = np.maximum(scale * (index + np.float32(0.5)) - np.float32(0.5), np.float32(0))
    low = np.minimum(points.astype(np.int32), old - 1)
    return low, np.minimum(low + 1, old - 1), points - low.astype(np.float32)
