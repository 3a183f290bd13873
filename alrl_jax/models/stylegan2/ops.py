"""Array operations of StyleGAN2: resampled convolutions, activations, normalisation.

Images are NHWC, kernels HWIO.  Numerics follow StyleGAN2 (Karras et
al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32

from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2 import winograd
from alrl_jax.models.stylegan2.upfirdn import (
    FIR_FILTER,
    Number,
    downsample2d,
    upfirdn2d,
    upsample2d,
    weave,
)

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2.0)
"""Keeps the variance of a unit normal input through a leaky ReLU, nearly."""

_WIDE = 256
"""Channels from which CPUs draw a convolution in tiles."""

_CONV_LAYOUT = ("NHWC", "HWIO", "NHWC")


def mean_pool(x: Float[Array, "b h w c"], factor: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Means of 2x2 pixels, or more; with a convolution, quicker on CPUs than a strided one."""
    at_once = functools.partial(_pool_at_once, factor=factor)
    by_axis = functools.partial(_pool_by_axis, factor=factor)
    return lax.platform_dependent(x, tpu=by_axis, default=at_once)


def _pool_at_once(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    b, h, w, c = x.shape
    # A mean over axes of a reshaped array: its gradient is a mere broadcast.
    split = (b, h // factor, factor, w // factor, factor, c)
    return jnp.mean(x.reshape(split), axis=(2, 4))


def _pool_by_axis(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """The same, one axis after the other: TPUs would store both at once padded 32 times."""
    b, h, w, c = x.shape
    rows = jnp.mean(x.reshape(b, h // factor, factor, w, c), axis=2)
    return jnp.mean(rows.reshape(b, h // factor, w // factor, factor, c), axis=3)


def space_to_depth(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c4"]:
    """Halves the resolution and loses nothing: 2x2 pixels become channels."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // 2, w // 2, 4 * c)


def depth_to_space(x: Float[Array, "b h w c4"]) -> Float[Array, "b h2 w2 c"]:
    """Undoes ``space_to_depth``."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, 2 * h, 2 * w, c // 4)


def conv2d(
    x: Float[Array, "b h w i"],
    weight: Float[Array, "k k i o"],
    precision: lax.Precision | None = None,
) -> Float[Array, "b h w o"]:
    """Plain correlation; odd kernels, zeros beyond the border.

    Args:
        x: features.
        weight: kernel.
        precision: of the products of float32 on accelerators; None is what JAX is set to.
    """
    if weight.shape[0] == 1:
        # A product; CPUs take twice as long over the convolution.
        return jnp.matmul(x, weight[0, 0], precision=precision)
    if _is_wide(x, weight):
        return _conv3x3(x, weight, precision)
    return _conv_same(x, weight, precision)


def _conv_same(
    x: Float[Array, "b h w i"],
    weight: Float[Array, "k k i o"],
    precision: lax.Precision | None = None,
) -> Float[Array, "b h w o"]:
    return lax.conv_general_dilated(
        x, weight, (1, 1), "SAME", dimension_numbers=_CONV_LAYOUT, precision=precision
    )


def _is_wide(x: Float[Array, "b h w i"], weight: Float[Array, "k k i o"]) -> bool:
    """Whether fewer products pay for more passes over memory, on a CPU."""
    sides_are_even = x.shape[1] % winograd.TILE == 0 == x.shape[2] % winograd.TILE
    # Transforming the tiles costs the same for few channels, whose products it hardly saves.
    channels = min(weight.shape[2:])
    return (
        weight.shape[0] == 3
        and sides_are_even
        and channels >= _WIDE
        # The transforms add before they multiply: digits are lost that half precision lacks.
        and x.dtype == weight.dtype == jnp.float32
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv3x3(
    x: Float[Array, "b h w i"],
    weight: Float[Array, "3 3 i o"],
    precision: lax.Precision | None,
) -> Float[Array, "b h w o"]:
    """A wide 3x3 correlation; with its kernel gradient a set closed under differentiation."""
    usual = functools.partial(_conv_same, precision=precision)
    return lax.platform_dependent(x, weight, cpu=winograd.convolve, default=usual)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlate_same(
    x: Float[Array, "b h w i"], y: Float[Array, "b h w o"], precision: lax.Precision | None
) -> Float[Array, "3 3 i o"]:
    """Transpose of ``_conv3x3`` in the kernel."""
    kernel = jax.ShapeDtypeStruct((3, 3, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda weight: _conv_same(x, weight, precision), kernel)(y)[0]


def _turned(weight: Float[Array, "k k i o"]) -> Float[Array, "k k o i"]:
    """The kernel of the transposed correlation."""
    # What a pixel gave to its neighbour above comes back from below: both axes turn round.
    return jnp.flip(weight, (0, 1)).swapaxes(2, 3)


@jax.custom_vjp
def _shrink(x: Float[Array, "b h w i"], weight: Float[Array, "k k i o"]) -> Float[Array, "b m n o"]:
    """Correlation at every second pixel, from size 2n + k - 2 to n.

    This, its transpose ``_grow`` and its kernel gradient ``_correlate`` form a set that is closed
    under differentiation.  Left to itself, XLA turns the kernel gradient of a dilated convolution
    into one that runs ten times slower on CPUs; the rules below always take the quick form.
    """
    return lax.conv_general_dilated(x, weight, (2, 2), "VALID", dimension_numbers=_CONV_LAYOUT)


@jax.custom_vjp
def _grow(x: Float[Array, "b m n o"], weight: Float[Array, "k k i o"]) -> Float[Array, "b h w i"]:
    """Transpose of ``_shrink`` in x: zeros between the pixels, then a convolution."""
    pad = weight.shape[0] - 1
    return lax.conv_general_dilated(
        x,
        _turned(weight),
        (1, 1),
        ((pad, pad), (pad, pad)),
        lhs_dilation=(2, 2),
        dimension_numbers=_CONV_LAYOUT,
    )


@jax.custom_vjp
def _correlate(
    large: Float[Array, "b h w i"], small: Float[Array, "b m n o"]
) -> Float[Array, "k k i o"]:
    """Transpose of ``_shrink`` in the kernel."""
    size = large.shape[1] - 2 * (small.shape[1] - 1)
    kernel = jax.ShapeDtypeStruct((size, size, large.shape[-1], small.shape[-1]), large.dtype)

    def shrink(weight: Float[Array, "k k i o"]) -> Float[Array, "b m n o"]:
        return lax.conv_general_dilated(
            large, weight, (2, 2), "VALID", dimension_numbers=_CONV_LAYOUT
        )

    return jax.linear_transpose(shrink, kernel)(small)[0]


def _keep_arguments(function: Callable[..., Array]) -> Callable[..., tuple[Array, tuple]]:
    return lambda *arguments: (function(*arguments), arguments)


_conv3x3.defvjp(
    lambda x, weight, p: (_conv3x3(x, weight, p), (x, weight)),
    lambda p, kept, y: (_conv3x3(y, _turned(kept[1]), p), _correlate_same(kept[0], y, p)),
)
_correlate_same.defvjp(
    lambda x, y, p: (_correlate_same(x, y, p), (x, y)),
    lambda p, kept, weight: (_conv3x3(kept[1], _turned(weight), p), _conv3x3(kept[0], weight, p)),
)
_shrink.defvjp(
    _keep_arguments(_shrink),
    lambda kept, small: (_grow(small, kept[1]), _correlate(kept[0], small)),
)
_grow.defvjp(
    _keep_arguments(_grow),
    lambda kept, large: (_shrink(large, kept[1]), _correlate(large, kept[0])),
)
_correlate.defvjp(
    _keep_arguments(_correlate),
    lambda kept, weight: (_grow(kept[1], weight), _shrink(kept[0], weight)),
)


@jax.custom_vjp
def _grow_smooth(
    x: Float[Array, "b h w i"], weight: Float[Array, "3 3 i o"]
) -> Float[Array, "b h2 w2 o"]:
    """A 3x3 transposed convolution of stride 2, low-pass filtered."""
    return lax.platform_dependent(x, weight, cpu=_grow_by_parity, default=_grow_and_filter)


def _grow_and_filter(
    x: Float[Array, "b h w i"], weight: Float[Array, "3 3 i o"]
) -> Float[Array, "b h2 w2 o"]:
    # ``_grow`` wants the kernel of the correlation that it transposes, which maps o to i.
    spread = _grow(x, weight.swapaxes(2, 3))
    # Three of four pixels were zeros: without the gain, the mean would fall to a quarter.
    return upfirdn2d(spread, FIR_FILTER, padding=(1, 1, 1, 1), gain=4.0)


def _grow_by_parity(
    x: Float[Array, "b h w i"], weight: Float[Array, "3 3 i o"]
) -> Float[Array, "b h2 w2 o"]:
    """The same without zeros between the pixels, which CPUs multiply like any other number.

    Even rows of the spread image see the kernel's rows 0 and 2, odd rows its row 1; so do columns.
    """
    halo = ((1, 1), (1, 1))

    def convolve(taps: Float[Array, "k m i o"]) -> Float[Array, "b h3 w3 o"]:
        return lax.conv_general_dilated(x, taps, (1, 1), halo, dimension_numbers=_CONV_LAYOUT)

    even = convolve(weight[::-2, ::-2]), convolve(weight[::-2, 1:2])
    odd = convolve(weight[1:2, ::-2]), convolve(weight[1:2, 1:2])

    def filter_pixels(row: int, column: int) -> Float[Array, "b h w o"]:
        along_rows = (_filter_parity(*image, axis=2, parity=column) for image in (even, odd))
        return _filter_parity(*along_rows, axis=1, parity=row)

    # Both axes at once: a pass over memory costs more than sixteen products a pixel.
    rows = (weave([filter_pixels(row, column) for column in (0, 1)], axis=2) for row in (0, 1))
    return weave(list(rows), axis=1)


def _filter_parity(
    even: Float[Array, "b ..."], odd: Float[Array, "b ..."], axis: int, parity: int
) -> Float[Array, "b ..."]:
    """Filters an axis of which every second pixel is in ``even``, the others in ``odd``.

    Args:
        even: pixels 0, 2, ..., 2n.
        odd: pixels -1, 1, ..., 2n + 1.
        axis: the axis, of n + 1 and n + 2 pixels.
        parity: which half of the result is wanted.

    Returns:
        Of the 2n pixels that lie between, every second one from ``parity`` on.
    """
    size = even.shape[axis] - 1
    pixels = (odd, 0), (even, 0), (odd, 1), (even, 1), (odd, 2)
    taps = [2.0 * float(tap) for tap in FIR_FILTER]  # the gain of 4, half of it along each axis
    views = (
        lax.slice_in_dim(image, at, at + size, 1, axis)
        for image, at in pixels[parity : parity + len(taps)]
    )
    return functools.reduce(jnp.add, (tap * view for tap, view in zip(taps, views, strict=True)))


def _grow_smooth_backward(
    kept: tuple[Array, Array], y: Float[Array, "b h2 w2 o"]
) -> tuple[Float[Array, "b h w i"], Float[Array, "3 3 i o"]]:
    x, weight = kept
    # The filter is symmetric, so its transpose is itself, padded to the size before filtering.
    spread = upfirdn2d(y, FIR_FILTER, padding=(2, 2, 2, 2), gain=4.0)
    swapped = weight.swapaxes(2, 3)
    return _shrink(spread, swapped), _correlate(spread, x).swapaxes(2, 3)


_grow_smooth.defvjp(_keep_arguments(_grow_smooth), _grow_smooth_backward)


def upsample_conv2d(
    x: Float[Array, "b h w i"], weight: Float[Array, "k k i o"]
) -> Float[Array, "b h2 w2 o"]:
    """Doubles the resolution and convolves; 1x1 or 3x3, held as transposed convolutions do."""
    # A kernel of one pixel and a resampling commute: the product is cheaper on the small image.
    return upsample2d(conv2d(x, weight)) if weight.shape[0] == 1 else _grow_smooth(x, weight)


def downsample_conv2d(
    x: Float[Array, "b h w i"], weight: Float[Array, "k k i o"]
) -> Float[Array, "b h2 w2 o"]:
    """Convolves and halves the resolution, low-pass filtered first; 1x1 or 3x3."""
    if weight.shape[0] == 1:
        return conv2d(downsample2d(x), weight)  # they commute: the product on the small image
    return _shrink(upfirdn2d(x, FIR_FILTER, padding=(2, 2, 2, 2)), weight)


def leaky_relu(
    x: Float[Array, "*shape"], gain: Number = 1.0, clamp: Number | None = None
) -> Float[Array, "*shape"]:
    """Leaky ReLU of slope 0.2 times sqrt(2), times ``gain``, clamped to +-``clamp * gain``."""
    # The clamp is meant for what the layer gives at gain 1, so it grows with the gain.
    return clip(jax.nn.leaky_relu(x, LEAKY_SLOPE) * (LEAKY_GAIN * gain), clamp, gain)


def clip(
    x: Float[Array, "*shape"], clamp: Number | None, gain: Number = 1.0
) -> Float[Array, "*shape"]:
    """Clamps to +-``clamp * gain``; None leaves all as it is."""
    return x if clamp is None else jnp.clip(x, -clamp * gain, clamp * gain)


def normalize_2nd_moment(
    x: Float[Array, "*batch d"], epsilon: Number = 1e-8
) -> Float[Array, "*batch d"]:
    """Scales every vector to a mean square of 1."""
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon)


def minibatch_stddev(
    x: Float[Array, "b h w c"],
    group_size: int | None,
    num_channels: int = 1,
    num_blocks: int = 1,
) -> Float32[Array, "b h w n"]:
    """Standard deviations across groups of samples, as maps that are flat over the image.

    The batch is cut into ``num_blocks`` fixed blocks of neighbours and each block into groups, so
    that the result depends on the batch alone, never on how many devices share it.  Inside a
    block of m samples, sample j is in group j mod (m / group_size).

    Args:
        x: features.
        group_size: samples in a group, at most a block; None is the whole block.
        num_channels: into how many channel ranges the statistic is split.
        num_blocks: number of blocks in the batch.

    Returns:
        ``num_channels`` maps in float32.

    Raises:
        UserError: if blocks, groups or channel ranges do not divide evenly.
    """
    batch, height, width, channels = x.shape
    if batch % num_blocks or channels % num_channels:
        raise UserError(
            f"got a batch of {batch} with {channels} channels; expected multiples of "
            f"mbstd_blocks={num_blocks} and mbstd_num_channels={num_channels}; change one of them"
        )
    block = batch // num_blocks
    group = block if group_size is None else min(group_size, block)
    if block % group:
        raise UserError(
            f"got {block} samples a block; expected a multiple of mbstd_group_size={group}; "
            "change the batch size, mbstd_blocks or mbstd_group_size"
        )
    # Members of a group lie block // group samples apart, as in the reference.
    shape = (num_blocks, group, block // group, height, width, num_channels, -1)
    # In float32: a variance is a small difference of large squares.
    grouped = x.astype(jnp.float32).reshape(shape)
    variance = jnp.mean(jnp.square(grouped - grouped.mean(axis=1, keepdims=True)), axis=1)
    # The root has no finite slope at 0, where all samples of a group are equal.
    stddev = jnp.sqrt(variance + 1e-8).mean(axis=(2, 3, 5))
    maps = jnp.tile(stddev[:, None], (1, group, 1, 1)).reshape(batch, 1, 1, num_channels)
    return jnp.broadcast_to(maps, (batch, height, width, num_channels))
