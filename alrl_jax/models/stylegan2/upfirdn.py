"""Resampling by filters: zeros in, filter, pixels out, and what StyleGAN2 makes of it.

Images are NHWC.  Filters are host constants, correlated axis by axis where they are separable.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from alrl_jax.errors import UserError

Number = float | int


def setup_filter(
    taps: Sequence[Number] | Sequence[Sequence[Number]],
    gain: Number = 1.0,
    normalize: bool = True,
) -> np.ndarray:
    """Makes a resampling filter.

    Args:
        taps: one row of taps of a separable filter, or a whole table.
        gain: factor by which the filter brightens an image.
        normalize: scale the taps to sum to 1 first.

    Returns:
        float32 [k] (separable) or [kh, kw], as many axes as ``taps`` has.

    Raises:
        UserError: if ``taps`` is neither a row nor a table, or normalised taps sum to 0.
    """
    kernel = np.asarray(taps, np.float64)
    if kernel.ndim not in (1, 2) or kernel.size == 0:
        raise UserError(f"got filter taps {taps!r}; expected a row or a table; pass e.g. [1,3,3,1]")
    if normalize:
        if kernel.sum() == 0:
            raise UserError(f"got taps {taps!r} of sum 0; expected a sum to divide by; normalize=0")
        kernel = kernel / kernel.sum()
    # A separable filter is applied along both axes, with the root of the gain each time.
    return (kernel * gain ** (kernel.ndim / 2)).astype(np.float32)


FIR_FILTER = setup_filter([1, 3, 3, 1])
"""The filter of every resampling in StyleGAN2."""


def upfirdn2d(
    x: Float[Array, "b h w c"],
    kernel: np.ndarray | None,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    flip_filter: bool = False,
    gain: Number = 1.0,
) -> Float[Array, "b h2 w2 c"]:
    """Inserts zeros, pads, filters and drops pixels, in that order.

    Args:
        x: images.
        kernel: [k] (applied to columns and rows) or [kh, kw]; None is the identity.
        up: factor of zero insertion, one or (x, y).
        down: keep every n-th pixel, one or (x, y).
        padding: pixels (left, right, top, bottom) put on; negative numbers crop.
        flip_filter: correlate rather than convolve.
        gain: factor on the result.

    Returns:
        Images of side (side * up + padding - k) // down + 1.
    """
    up_x, up_y = (up, up) if isinstance(up, int) else up
    down_x, down_y = (down, down) if isinstance(down, int) else down
    left, right, top, bottom = padding
    taps = np.ones(1, np.float32) if kernel is None else np.asarray(kernel, np.float32)
    taps = taps * np.float32(gain ** (taps.ndim / 2))
    # XLA correlates; a convolution sees the kernel turned round.
    if not flip_filter:
        taps = np.flip(taps)
    if taps.ndim == 1:
        row = tuple(taps.tolist())
        x = _filter_axis(x, row, 1, up_y, down_y, (top, bottom))
        return _filter_axis(x, row, 2, up_x, down_x, (left, right))
    channels = x.shape[-1]
    weights = jnp.asarray(np.tile(taps[:, :, None, None], (1, 1, 1, channels)), x.dtype)
    return lax.conv_general_dilated(
        x,
        weights,
        window_strides=(down_y, down_x),
        # XLA puts zeros between pixels; zero insertion has them behind the last pixel as well.
        padding=((top, bottom + up_y - 1), (left, right + up_x - 1)),
        lhs_dilation=(up_y, up_x),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4, 5))
def _filter_axis(
    x: Float[Array, "b h w c"],
    taps: tuple[float, ...],
    axis: int,
    up: int,
    down: int,
    padding: tuple[int, int],
) -> Float[Array, "b h2 w2 c"]:
    """Correlates one axis with ``taps``, zeros inserted before and pixels dropped after.

    The zeros are never written: each phase of the result meets every ``up``-th tap only.
    """
    if up == 1:
        return _sum_shifted(x, taps, axis, down, padding)
    size = x.shape[axis] * up + sum(padding) - len(taps) + 1
    count = -(-size // up)
    phases = []
    for phase in range(up):
        # Pixels of one phase see true pixels under every ``up``-th tap, and zeros under all others.
        first = (padding[0] - phase) % up
        # With fewer taps than phases, some phases see zeros alone.
        share = taps[first::up] or (0.0,)
        before = (padding[0] - phase - first) // up
        after = count + len(share) - 1 - before - x.shape[axis]
        phases.append(_sum_shifted(x, share, axis, 1, (before, after)))
    return lax.slice_in_dim(weave(phases, axis), 0, size, down, axis)


def _sum_shifted(
    x: Float[Array, "b h w c"],
    taps: tuple[float, ...],
    axis: int,
    stride: int,
    padding: tuple[int, int],
) -> Float[Array, "b h2 w2 c"]:
    """Correlates one axis with ``taps``: a sum of shifted copies, which is quick everywhere."""
    config = [(0, 0, 0)] * x.ndim
    # Where the padding is negative, this crops.
    config[axis] = (*padding, 0)
    padded = lax.pad(x, jnp.zeros((), x.dtype), config)
    span = padded.shape[axis] - len(taps) + 1
    shifted = (
        lax.slice_in_dim(padded, start, start + span, stride, axis) * tap
        for start, tap in enumerate(taps)
    )
    return functools.reduce(jnp.add, shifted)


def weave(phases: Sequence[Float[Array, "b ..."]], axis: int) -> Float[Array, "b ..."]:
    """Interleaves arrays along an axis: the first of each, the second of each, ..."""
    woven = jnp.stack(phases, axis + 1)
    return woven.reshape(*woven.shape[:axis], -1, *woven.shape[axis + 2 :])


def _filter_axis_forward(
    x: Float[Array, "b h w c"], *static: Any
) -> tuple[Float[Array, "b h2 w2 c"], Float[Array, "0 h w c"]]:
    # The way back needs a shape, not pixels: an empty array keeps no memory.
    return _filter_axis(x, *static), x[:0]


def _filter_axis_backward(
    taps: tuple[float, ...],
    axis: int,
    up: int,
    down: int,
    padding: tuple[int, int],
    empty: Float[Array, "0 h w c"],
    y: Float[Array, "b h2 w2 c"],
) -> tuple[Float[Array, "b h w c"]]:
    """The same the other way round; left to itself, JAX adds up padded copies."""
    before = len(taps) - 1 - padding[0]
    side = (empty.shape[axis] - 1) * up + len(taps)
    after = side - y.shape[axis] * down - before
    return (_filter_axis(y, taps[::-1], axis, down, up, (before, after)),)


_filter_axis.defvjp(_filter_axis_forward, _filter_axis_backward)


def upsample2d(
    x: Float[Array, "b h w c"], kernel: np.ndarray = FIR_FILTER
) -> Float[Array, "b h2 w2 c"]:
    """Doubles the resolution, keeping brightness."""
    size = kernel.shape[0]
    # Together size - 1, so that the side doubles. Three of four pixels were zeros: hence the gain.
    before, after = (size + 1) // 2, (size - 2) // 2
    return upfirdn2d(x, kernel, up=2, padding=(before, after, before, after), gain=4.0)


def downsample2d(
    x: Float[Array, "b h w c"], kernel: np.ndarray = FIR_FILTER
) -> Float[Array, "b h2 w2 c"]:
    """Halves the resolution, keeping brightness."""
    size = kernel.shape[0]
    # Together size - 2, so that an even side halves; the filter sums to 1 and needs no gain.
    before, after = (size - 1) // 2, (size - 2) // 2
    return upfirdn2d(x, kernel, down=2, padding=(before, after, before, after))
