"""From a photo to an FFHQ-like square crop, and back.

A crop is told by an affine matrix from photo to crop coordinates; the same matrix serves both ways.
Coordinates are continuous (x right, y down): pixel i covers [i, i + 1). Crops found here are
upright squares; the two ways through the matrix hold for rotated ones as well.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from alrl_jax.errors import UserError

FACE_BOX_TO_CROP = 1.75
"""Side of the FFHQ-like crop over the side of the detector's box."""
FACE_BOX_UP = 0.04
"""How far the crop's centre lies above the box's, as a share of the box's side."""
EDGE_RAMP = 0.06
"""Width of the soft edge of a crop that ends inside the photo, as a share of its side."""
STRIP_ROWS = 256
DETECTION_SIDE = 480
"""The detector looks at photos scaled so that their shorter side has this many pixels."""

Photo = UInt8[np.ndarray, "h w 3"]
Crop = Float[np.ndarray, "r r 3"]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Where a crop lies in its photo.

    Attributes:
        matrix: affine map of homogeneous (x, y, 1), photo to crop.
        resolution: side of the crop in px.
    """

    matrix: Float[np.ndarray, "3 3"]
    resolution: int


def square(left: float, top: float, side: float, resolution: int) -> Alignment:
    """The alignment of an upright square of the photo."""
    scale = resolution / side
    rows = [[scale, 0.0, -left * scale], [0.0, scale, -top * scale], [0.0, 0.0, 1.0]]
    return Alignment(np.array(rows, np.float64), resolution)


def centre_square(photo: Photo, resolution: int) -> Alignment:
    """The largest centred square: for pictures that are face crops already."""
    height, width = photo.shape[:2]
    side = min(height, width)
    return square((width - side) / 2, (height - side) / 2, float(side), resolution)


def find_face(photo: Photo, resolution: int) -> Alignment | None:
    """The crop round the largest frontal face, or None where there is none.

    The detector is the frontal-face cascade of local binary patterns that scikit-image ships. It is
    made for upright, frontal faces; turned ones may be missed.

    Raises:
        UserError: scikit-image is not installed.
    """
    try:
        import skimage.data
        import skimage.feature
    except ImportError:
        raise UserError(
            "got photos without --aligned; expected scikit-image, which finds the faces; "
            "do pip install 'alrl_jax[photos]', or pass --aligned for pictures that are face crops"
        ) from None
    cascade = skimage.feature.Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    padded, offset, scale = _for_detection(photo)
    found = cascade.detect_multi_scale(
        img=padded, scale_factor=1.15, step_ratio=1, min_size=(60, 60), max_size=padded.shape[:2]
    )
    if not found:
        return None
    box = max(found, key=lambda face: face["width"])
    side = box["width"] / scale
    x = (box["c"] - offset[0] + box["width"] / 2) / scale
    y = (box["r"] - offset[1] + box["height"] / 2) / scale - FACE_BOX_UP * side
    crop = FACE_BOX_TO_CROP * side
    return square(x - crop / 2, y - crop / 2, crop, resolution)


def _for_detection(
    photo: Photo,
) -> tuple[UInt8[np.ndarray, "y x 3"], tuple[int, int], float]:
    """The photo at the detector's size with a margin, the margin's size, and the scale.

    The margin lets a face that fills its picture be found: the cascade wants some room round it.
    """
    height, width = photo.shape[:2]
    scale = DETECTION_SIDE / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    margin = DETECTION_SIDE // 4
    padded = np.pad(scaled, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return padded, (margin, margin), scale


def crop_face(photo: Photo, alignment: Alignment) -> Crop:
    """Cuts the crop out of a photo; outside the photo its edge goes on.

    A photo much larger than the crop is box-averaged first, so that nothing aliases.

    Returns:
        Pixels in [-1, 1].
    """
    inverse = np.linalg.inv(alignment.matrix)
    reach = float(np.linalg.norm(inverse[:2, 0]))
    factor = max(1, int(reach))
    reduced = photo if factor == 1 else np.asarray(Image.fromarray(photo).reduce(factor))
    to_reduced = np.diag([1 / factor, 1 / factor, 1.0]) @ inverse
    samples = 2 if reach / factor > 1.05 else 1
    grid = (np.arange(alignment.resolution * samples) + 0.5) / samples
    x, y = np.meshgrid(grid, grid)
    pixels = _bilinear(reduced.astype(np.float32), *_apply(to_reduced, x, y))
    r = alignment.resolution
    pixels = pixels.reshape(r, samples, r, samples, 3).mean(axis=(1, 3))
    return (pixels / 127.5 - 1).astype(np.float32)


def paste_face(
    photo: Photo, alignment: Alignment, generated: Crop, mask: Float[np.ndarray, "r r 1"]
) -> Photo:
    """Blends a generated crop into its photo: ``photo + mask * (generated - photo)``.

    Pixels whose mask is 0, and all outside the crop, stay equal bit for bit. Where the crop ends
    inside the photo the mask fades out towards the edge.

    Args:
        photo: the untouched photo.
        alignment: where the crop was cut.
        generated: what the generator drew, in [-1, 1], not blended yet.
        mask: share of the generated face in every pixel of the crop.
    """
    left, top, right, bottom = _bounds(alignment, photo.shape[1], photo.shape[0])
    share = mask * _ramp(photo, alignment)
    result = photo.copy()
    # In strips, so that a photo of many megapixels needs little memory.
    for start in range(top, bottom, STRIP_ROWS):
        rows, columns = slice(start, min(start + STRIP_ROWS, bottom)), slice(left, right)
        result[rows, columns] = _blend(photo, alignment, generated, share, rows, columns)
    return result


def _blend(
    photo: Photo,
    alignment: Alignment,
    generated: Crop,
    share: Float[np.ndarray, "r r 1"],
    rows: slice,
    columns: slice,
) -> UInt8[np.ndarray, "y x 3"]:
    """One part of a photo with the generated face blended in."""
    old = photo[rows, columns]
    x, y = np.meshgrid(
        np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5
    )
    u, v = _apply(alignment.matrix, x, y)
    inside = (u >= 0) & (u <= alignment.resolution) & (v >= 0) & (v <= alignment.resolution)
    weight = _bilinear(share, u, v) * inside[..., None]
    face = (_bilinear(generated, u, v) + 1) * 127.5
    blended = np.clip(np.rint(old + weight * (face - old)), 0, 255).astype(np.uint8)
    return np.where(weight > 0, blended, old)


def _apply(
    matrix: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    a = matrix[:2]
    return a[0, 0] * x + a[0, 1] * y + a[0, 2], a[1, 0] * x + a[1, 1] * y + a[1, 2]


def _bilinear(
    image: Float[np.ndarray, "h w c"], x: Float[np.ndarray, "i j"], y: Float[np.ndarray, "i j"]
) -> Float[np.ndarray, "i j c"]:
    """Samples at continuous coordinates; beyond the edge, the edge pixel."""
    height, width = image.shape[:2]
    x = np.clip(x - 0.5, 0, width - 1)
    y = np.clip(y - 0.5, 0, height - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = ((x - x0)[..., None].astype(np.float32), (y - y0)[..., None].astype(np.float32))
    upper = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    lower = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return upper * (1 - fy) + lower * fy


def _bounds(alignment: Alignment, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the photo's pixels that the crop may touch."""
    inverse, r = np.linalg.inv(alignment.matrix), float(alignment.resolution)
    corners = np.array([[0.0, 0.0, r, r], [0.0, r, 0.0, r]])
    x, y = inverse[:2, :2] @ corners + inverse[:2, 2:]
    left, top = max(0, int(np.floor(x.min()))), max(0, int(np.floor(y.min())))
    return left, top, min(width, int(np.ceil(x.max()))), min(height, int(np.ceil(y.max())))


def _ramp(photo: Photo, alignment: Alignment) -> Float[np.ndarray, "r r 1"]:
    """1 inside the crop, falling to 0 at those edges that lie inside the photo."""
    r, inverse = alignment.resolution, np.linalg.inv(alignment.matrix)
    height, width = photo.shape[:2]
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
