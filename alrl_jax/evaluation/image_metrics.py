"""How near one image is to another, whole or inside a region.

Images are ``b h w 3`` in [-1, 1]; regions are weights ``b h w 1`` in [0, 1]. Every function takes a
batch and gives one number an image; the number is NaN where a region holds no pixel, so that the
caller can leave that image out of the mean.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.types import AnyArray

DATA_RANGE = 2.0
PSNR_CAP = 100.0
"""Decibels given to equal images, in place of infinity."""
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5

Images = Float[AnyArray, "b h w 3"]
Region = Float[AnyArray, "b h w 1"]


def region_mean(values: Float[Array, "b h w c"], region: Region | None) -> Float[Array, " b"]:
    """Means of ``values`` over the pixels and channels of a region (all pixels without one)."""
    if region is None:
        return jnp.mean(values, axis=(1, 2, 3))
    # To all channels, so that the weights' sum counts them as the values' does.
    weights = jnp.broadcast_to(jnp.asarray(region), values.shape)
    total = jnp.sum(weights, axis=(1, 2, 3))
    mean = jnp.sum(values * weights, axis=(1, 2, 3)) / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, mean, jnp.nan)


@jax.jit
def psnr(images: Images, references: Images, region: Region | None = None) -> Float[Array, " b"]:
    """Peak signal-to-noise ratios in dB, at most ``PSNR_CAP``."""
    error = region_mean(jnp.square(jnp.asarray(images) - jnp.asarray(references)), region)
    # The error at the cap: a smaller one would give more dB, and none at all infinitely many.
    floor = DATA_RANGE**2 / 10 ** (PSNR_CAP / 10)
    return 10 * jnp.log10(DATA_RANGE**2 / jnp.maximum(error, floor))


def _gaussian_window() -> Float[Array, " n"]:
    offsets = jnp.arange(SSIM_WINDOW, dtype=jnp.float32) - SSIM_WINDOW // 2
    weights = jnp.exp(-jnp.square(offsets / SSIM_SIGMA) / 2)
    return weights / jnp.sum(weights)


def _window_means(images: Float[Array, "n h w c"]) -> Float[Array, "n i j c"]:
    """Gaussian means of every window that lies wholly inside its image."""
    n, h, w, c = images.shape
    # Channels as images of their own: a plain convolution instead of a grouped one.
    planes = jnp.moveaxis(images, 3, 1).reshape(n * c, h, w, 1)
    window = _gaussian_window()
    layout = ("NHWC", "HWIO", "NHWC")
    # The window is separable: 22 products a pixel instead of 121.
    for kernel in (window[:, None, None, None], window[None, :, None, None]):
        planes = jax.lax.conv_general_dilated(
            planes,
            kernel,
            (1, 1),
            "VALID",
            dimension_numbers=layout,
            # Variances are small differences of these means.
            precision=jax.lax.Precision.HIGHEST,
        )
    return jnp.moveaxis(planes.reshape(n, c, *planes.shape[1:3]), 1, 3)


def ssim_map(images: Images, references: Images) -> Float[Array, "b i j 3"]:
    """Structural similarity of every whole window; the map is 10 pixels smaller than the images.

    Wang et al. 2004: Gaussian 11 x 11 window (sigma 1.5), K1 = 0.01, K2 = 0.03, population
    moments, channel by channel, data range 2.

    Raises:
        ValueError: an image is smaller than the window.
    """
    if min(images.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(f"got images {images.shape}; SSIM needs sides of at least {SSIM_WINDOW}")
    x, y = jnp.asarray(images), jnp.asarray(references)
    moments = _window_means(jnp.concatenate([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = jnp.split(moments, 5)
    # Population moments, without the factor n / (n - 1): as in the paper's own code.
    variance_x = mean_xx - mean_x * mean_x
    variance_y = mean_yy - mean_y * mean_y
    covariance = mean_xy - mean_x * mean_y
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


@jax.jit
def ssim(images: Images, references: Images, region: Region | None = None) -> Float[Array, " b"]:
    """Mean structural similarities; with a region, over the windows centred in it."""
    # The map has no pixel for windows that stick out of the image.
    border = SSIM_WINDOW // 2
    inner = None if region is None else region[:, border:-border, border:-border]
    return region_mean(ssim_map(images, references), inner)


@jax.jit
def mask_iou(masks: Region, regions: Region) -> Float[Array, " b"]:
    """Intersection over union of masks cut at 0.5; 1 where both are empty."""
    a, b = jnp.asarray(masks) >= 0.5, jnp.asarray(regions) >= 0.5
    both = jnp.sum((a & b).astype(jnp.float32), axis=(1, 2, 3))
    either = jnp.sum((a | b).astype(jnp.float32), axis=(1, 2, 3))
    return jnp.where(either > 0, both / jnp.maximum(either, 1.0), 1.0)


def dilate(region: Region, radius: int) -> Float[Array, "b h w 1"]:
    """Grows a region by ``radius`` pixels in rows, columns and diagonals."""
    size = 2 * radius + 1
    # Nothing grows in from beyond the border.
    return jax.lax.reduce_window(
        jnp.asarray(region), -jnp.inf, jax.lax.max, (1, size, size, 1), (1, 1, 1, 1), "SAME"
    )
