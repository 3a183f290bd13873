"""From a swapped crop back into its photo, at the photo's own size and depth.

What is added is the *difference* between the swapped and the original crop, warped through the
inverse of the crop's matrix: where the model changed nothing, the photo stays bit for bit as it is,
whatever was lost on the way into the crop. The photo's own fine detail stays under the difference,
as far as ``PasteOptions.detail`` lets it.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from alrl_jax.photos.alignment import Alignment, Crop, apply, bilinear

EDGE_RAMP = 0.06
"""Width of the soft edge of a crop that ends inside the photo, as a share of its side."""
STRIP_ROWS = 256
COARSEST_BAND = 16
"""Side in px below which multi-band blending makes no further band."""
GAIN_LIMITS = (0.5, 2.0)
"""How far colour matching may flatten or stretch a channel."""

DeepPixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Mask = Float[np.ndarray, "r r 1"]


@dataclasses.dataclass(frozen=True)
class PasteOptions:
    """How a crop is brought back.

    Attributes:
        blend: one of ``BLENDS``.
        colour_match: give the swapped face the mean and contrast of the original one, channel by
            channel within the mask.
        feather: width of a soft edge that is added to the mask, inward, as a share of the crop's
            side; 0 takes the model's mask, which has a soft edge of its own, as it is.
        detail: share of the photo's fine detail, what is too fine for the crop, that stays under
            the swapped face; below 1 even a model that changes nothing takes detail away.
    """

    blend: str = "feather"
    colour_match: bool = False
    feather: float = 0.0
    detail: float = 1.0


def paste_face(
    image: DeepPixels,
    alignment: Alignment,
    crop: Crop,
    generated: Crop,
    mask: Mask,
    options: PasteOptions = PasteOptions(),
    room: Float[np.ndarray, "h w 1"] | None = None,
) -> DeepPixels:
    """Adds ``mask * (generated - crop)`` to a photo, warped into its place.

    Pixels whose mask is 0, and all outside the crop, stay equal bit for bit. Where the crop ends
    inside the photo the mask fades out towards the edge.

    Args:
        image: pixels of the untouched photo, or of one with other faces pasted in; 8 or 16 bits.
        alignment: where the crop was cut.
        crop: what was cut, as the model got it, in [-1, 1].
        generated: what the generator drew, in [-1, 1], not blended yet.
        mask: share of the generated face in every pixel of the crop.
        options: how.
        room: share of what is added that shows in every pixel of the photo, in [0, 1]: less than 1
            where another face lies over this one. None for all of it.
    """
    share = _edged(mask, image.shape[1], image.shape[0], alignment, options)
    if options.colour_match:
        generated = match_colour(generated, crop, share)
    change = BLENDS[options.blend](generated - crop, share)
    change, reduction = _reduced(change, alignment)
    result = image.copy()
    for part, (u, v), weight in _parts(share, alignment, image.shape[1], image.shape[0]):
        added = bilinear(change, u / reduction, v / reduction)
        if options.detail < 1:
            fine = _detail(image[part], bilinear(crop, u, v))
            added = added - (1 - options.detail) * weight * fine
        if room is not None:
            added = added * room[part]
        result[part] = np.where(weight > 0, _added(image[part], added), image[part])
    return result


def face_share(
    width: int, height: int, alignment: Alignment, mask: Mask, options: PasteOptions
) -> UInt8[np.ndarray, "h w 1"]:
    """How much of every pixel of a photo ``paste_face`` takes from the generated face.

    In units of 1 / 255, rounded up: 0 exactly where the photo stays as it is. Multi-band blending
    joins coarse bands over wider edges inside of this; it is the share of the finest one.

    Args:
        width: of the photo, px.
        height: of the photo, px.
        alignment: where the crop was cut.
        mask: share of the generated face in every pixel of the crop.
        options: how the face is pasted.
    """
    share = _edged(mask, width, height, alignment, options)
    result = np.zeros((height, width, 1), np.uint8)
    for part, _, weight in _parts(share, alignment, width, height):
        result[part] = np.ceil(255 * np.minimum(weight, 1)).astype(np.uint8)
    return result


def _edged(
    mask: Mask, width: int, height: int, alignment: Alignment, options: PasteOptions
) -> Mask:
    """A mask with all soft edges that it gets in a photo of this size."""
    feathered = _feathered(mask, round(options.feather * alignment.resolution))
    return feathered * _ramp(width, height, alignment)


def _parts(
    share: Mask, alignment: Alignment, width: int, height: int
) -> Iterator[
    tuple[tuple[slice, slice], tuple[np.ndarray, np.ndarray], Float[np.ndarray, "h w 1"]]
]:
    """Parts of a photo of this size that a mask may touch.

    In strips, so that a photo of many megapixels needs little memory.

    Returns:
        Rows and columns; the places u, v of their pixels in the crop; their share, 0 outside it.
    """
    left, top, right, bottom = _bounds(share, alignment, width, height)
    for start in range(top, bottom, STRIP_ROWS):
        rows = slice(start, min(start + STRIP_ROWS, bottom))
        x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(start, rows.stop) + 0.5)
        u, v = apply(alignment.matrix, x, y)
        side = alignment.resolution
        inside = (u >= 0) & (u <= side) & (v >= 0) & (v <= side)
        yield (rows, slice(left, right)), (u, v), inside[..., None] * bilinear(share, u, v)


def _added(old: DeepPixels, change: Float[np.ndarray, "h w 3"]) -> DeepPixels:
    """Pixels with a change in units of [-1, 1] added, rounded and cut off at black and white."""
    white = np.iinfo(old.dtype).max
    return np.clip(np.rint(old + change * np.float32(white / 2)), 0, white).astype(old.dtype)


def _detail(old: DeepPixels, soft: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """What a part of a photo has that its crop, warped back, has not; in units of [-1, 1]."""
    return old / np.float32(np.iinfo(old.dtype).max / 2) - 1 - soft


def match_colour(generated: Crop, crop: Crop, share: Mask) -> Crop:
    """The generated face with the original's mean and standard deviation within the mask.

    A face that equals the original stays equal bit for bit.
    """
    total = float(share.sum())
    if total == 0.0:
        return generated
    weights = share.astype(np.float64) / total

    def moments(image: Crop) -> tuple[np.ndarray, np.ndarray]:
        mean = (weights * image).sum(axis=(0, 1))
        return mean, np.sqrt((weights * (image - mean) ** 2).sum(axis=(0, 1)))

    (mean, deviation), (wanted_mean, wanted_deviation) = moments(generated), moments(crop)
    flat = deviation < 1e-6
    gain = np.clip(
        np.where(flat, 1.0, wanted_deviation / np.where(flat, 1.0, deviation)), *GAIN_LIMITS
    )
    moved = (gain - 1.0) * (generated - mean) + (wanted_mean - mean)
    return (generated + moved).astype(np.float32)


def _weighted(difference: Crop, share: Mask) -> Crop:
    """The difference by the mask."""
    return difference * share


def _multiband(difference: Crop, share: Mask) -> Crop:
    """The difference by the mask, coarse bands over a wider edge than fine ones.

    The mask of every band is eroded before it is smoothed, so that the wide edges too lie inside
    the mask. Source: Burt and Adelson 1983, A multiresolution spline; blending is linear, so the
    pyramid of the difference alone will do.
    """
    band, weight, bands = difference, share, []
    while band.shape[0] > COARSEST_BAND:
        coarse = _halved(band)
        bands.append((band - _doubled(coarse, band.shape[0]), weight))
        band, share = coarse, _halved(share)
        weight = _smooth(_eroded(share, 1), 1)
    result = band * weight
    for detail, its_weight in reversed(bands):
        result = _doubled(result, detail.shape[0]) + detail * its_weight
    return result


BLENDS: dict[str, Callable[[Crop, Mask], Crop]] = {"feather": _weighted, "multiband": _multiband}
"""How the difference between two crops and a mask become what is added."""


def _halved(image: Float[np.ndarray, "r r c"]) -> Float[np.ndarray, "s s c"]:
    """Box-averaged to half the side, rounded up."""
    return _box_reduced(image, 2)


def _box_reduced(image: Float[np.ndarray, "r r c"], factor: int) -> Float[np.ndarray, "s s c"]:
    """Means of blocks; at the far edges the last pixel goes on to fill the block."""
    more = -image.shape[0] % factor
    image = np.pad(image, ((0, more), (0, more), (0, 0)), mode="edge")
    side = image.shape[0] // factor
    return image.reshape(side, factor, side, factor, -1).mean(axis=(1, 3))


def _doubled(image: Float[np.ndarray, "s s c"], side: int) -> Float[np.ndarray, "r r c"]:
    """Bilinear at twice the side, cut to a side."""
    grid = (np.arange(side) + 0.5) / 2
    return bilinear(image, *np.meshgrid(grid, grid))


def _feathered(mask: Mask, width: int) -> Mask:
    """A mask with a soft edge of a width in px, inward."""
    half = width // 2
    return mask if half == 0 else np.minimum(mask, _smooth(_eroded(mask, half), half))


def _eroded(mask: Mask, by: int) -> Mask:
    """The least value within a distance in px, along both axes."""
    return _windows(_windows(mask, by, 0).min(axis=-1), by, 1).min(axis=-1)


def _smooth(mask: Mask, by: int) -> Mask:
    """The mean within a distance in px, along both axes."""
    return _windows(_windows(mask, by, 0).mean(axis=-1), by, 1).mean(axis=-1)


def _windows(mask: Mask, by: int, axis: int) -> Float[np.ndarray, "r r 1 k"]:
    edges = [(0, 0)] * 3
    edges[axis] = (by, by)
    padded = np.pad(mask, edges, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis=axis)


def _reduced(change: Crop, alignment: Alignment) -> tuple[Float[np.ndarray, "s s 3"], int]:
    """A change much finer than its photo, box-averaged so that nothing aliases; and by how much."""
    finer = int(np.linalg.norm(alignment.matrix[:2, 0]))
    factor = min(max(1, finer), alignment.resolution)
    return (change, 1) if factor == 1 else (_box_reduced(change, factor), factor)


def _bounds(
    share: Mask, alignment: Alignment, width: int, height: int
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the photo's pixels that the mask may touch."""
    rows, columns = (np.flatnonzero(share[..., 0].any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        return 0, 0, 0, 0
    (u0, u1), (v0, v1) = ((found[0] - 0.5, found[-1] + 1.5) for found in (columns, rows))
    inverse = np.linalg.inv(alignment.matrix)
    corners = np.array([[u0, u0, u1, u1], [v0, v1, v0, v1]])
    x, y = inverse[:2, :2] @ corners + inverse[:2, 2:]
    left, top = max(0, int(np.floor(x.min()))), max(0, int(np.floor(y.min())))
    right, bottom = min(width, int(np.ceil(x.max()))), min(height, int(np.ceil(y.max())))
    return left, top, max(left, right), max(top, bottom)


def _ramp(width: int, height: int, alignment: Alignment) -> Mask:
    """1 inside the crop, falling to 0 at those edges that lie inside a photo of this size."""
    r, inverse = alignment.resolution, np.linalg.inv(alignment.matrix)
    centres = np.arange(r) + 0.5
    rising = np.clip((centres - 0.5) / max(1.0, EDGE_RAMP * r), 0, 1)
    weights = np.ones((r, r))
    middles = ((0.0, r / 2), (float(r), r / 2), (r / 2, 0.0), (r / 2, float(r)))
    fades = (rising[None, :], rising[None, ::-1], rising[:, None], rising[::-1, None])
    for (u, v), fade in zip(middles, fades, strict=True):
        x, y = inverse[:2] @ np.array([u, v, 1.0])
        if 0.5 < x < width - 0.5 and 0.5 < y < height - 0.5:
            weights = weights * fade
    return weights[..., None].astype(np.float32)
