"""Convolutions of packed images: 2x2 pixels in the channels, as the vectors of TPUs want them.

A TPU's vector has 128 lanes, one a channel, and the last block of a generator has 32 or 64
channels: most of every vector is padding. Packed, a block has a quarter of the pixels and four
times the channels, and stays so until its colours. Kernels are composed of the usual ones, so that
parameters are the same. Packed channels are in the order of ``ops.space_to_depth``: row parity,
column parity, channel.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32

from alrl_jax.models.stylegan2.upfirdn import FIR_FILTER

PIXELS = 4
"""Of an image, in one of its packed form."""
MOST_CHANNELS = 64
"""Above, vectors are full as they are."""


_PLATFORM: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


@contextlib.contextmanager
def drawing_on(platform: str) -> Iterator[None]:
    """Generators that are built within will run on another platform than that of this process."""
    token = _PLATFORM.set(platform)
    try:
        yield
    finally:
        _PLATFORM.reset(token)


def pays(channels: int) -> bool:
    """Whether the last block of a generator, of so many channels, is packed where it will run."""
    platform = _PLATFORM.get() or jax.default_backend()
    return platform == "tpu" and channels <= MOST_CHANNELS


def _same_places() -> np.ndarray:
    """Where a 3x3 kernel's taps lie in the packed kernel, along one axis.

    Pixel ``2 q + p`` meets pixel ``2 q + p + k - 1`` at tap k, which is number ``m`` of the packed
    pixel ``q + s - 1`` where ``p + k - 1 == 2 (s - 1) + m``.

    Returns:
        [k, s, m, p]: tap, packed tap, parity read, parity written.
    """
    k, s, m, p = np.ogrid[:3, :3, :2, :2]
    return (p + k - 1 == 2 * (s - 1) + m).astype(np.float32)


def _up_places() -> np.ndarray:
    """The same of the up-convolution with its filter, from usual pixels to packed ones.

    Pixel n gives tap k to place ``2 n + k``, and place j, filtered, gives ``f[j - y + 1]`` to pixel
    y. Half of the filter's gain of 4 goes to each axis.

    Returns:
        [k, s, p]: tap, packed tap, parity written.
    """
    k, s, p = np.ogrid[:3, :3, :2]
    tap = 2 * (s - 1) + k - p + 1
    inside = (tap >= 0) & (tap < len(FIR_FILTER))
    return np.where(inside, 2.0 * FIR_FILTER[np.clip(tap, 0, 3)], 0.0).astype(np.float32)


def same_kernel(weight: Float32[Array, "3 3 i o"]) -> Float32[Array, "3 3 i4 o4"]:
    """The kernel of the packed form of a convolution that keeps the resolution."""
    places = _same_places()
    # y, x: taps; s, t: packed taps; m, n: parities read; p, q: parities written.
    product = "ysmp,xtnq,yxio->stmnipqo"
    kernel = jnp.einsum(product, places, places, weight, precision=lax.Precision.HIGHEST)
    i, o = weight.shape[2:]
    return kernel.reshape(3, 3, PIXELS * i, PIXELS * o)


def up_kernel(weight: Float32[Array, "3 3 i o"]) -> Float32[Array, "3 3 i o4"]:
    """The kernel from usual pixels to the packed form of an up-convolution, filter included."""
    places = _up_places()
    product = "ysp,xtq,yxio->stipqo"
    kernel = jnp.einsum(product, places, places, weight, precision=lax.Precision.HIGHEST)
    i, o = weight.shape[2:]
    return kernel.reshape(3, 3, i, PIXELS * o)


def of_channels(x: Float[Array, "*b c"]) -> Float[Array, "*b c4"]:
    """Numbers of channels, for the channels of all pixels."""
    return jnp.concatenate([x] * PIXELS, axis=-1)


def of_pixels(x: Float[Array, "b h w 4"], channels: int) -> Float[Array, "b h w c4"]:
    """Packed maps of one channel, for all channels."""
    return jnp.repeat(x, channels, axis=-1)


def pointwise_kernels(kernels: Float[Array, "b i o"]) -> Float[Array, "b i4 o4"]:
    """Kernels of one pixel, for packed pixels: each pixel sees itself alone."""
    b, i, o = kernels.shape
    apart = jnp.eye(PIXELS, dtype=kernels.dtype)[:, None, :, None] * kernels[:, None, :, None, :]
    return apart.reshape(b, PIXELS * i, PIXELS * o)
