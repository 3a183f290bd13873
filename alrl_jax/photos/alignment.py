"""Where a face lies in its photo: from landmarks to crops, by matrices that lead both ways.

An affine matrix from photo to crop coordinates describes a crop, and serves both ways.
Coordinates are continuous (x right, y down): pixel i covers [i, i + 1), its centre is i + 0.5.
``photos.landmarks`` finds the points, ``photos.paste`` brings a crop back into its photo.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image

Pixels = UInt8[np.ndarray, "h w 3"]
Crop = Float[np.ndarray, "r r 3"]
Points = Float[np.ndarray, "n 2"]

# Groups of points whose means are, as they are seen in the photo: left eye, right eye, tip of the
# nose, left and right corner of the mouth. 5: in this order. 68: the scheme of dlib and 300-W. 478:
# MediaPipe's face landmarker, and 468, the same without the irises; of the eyes the points that
# correspond to the 68 (corners and lids, so that a glance to the side moves nothing).
_MESH = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (1,), (61,), (291,))
LANDMARK_GROUPS: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    68: ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,)),
    468: _MESH,
    478: _MESH,
}

ARCFACE_SIDE = 112
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""The five points in ArcFace's crop of 112 px; whole numbers are centres of pixels."""


class LandmarkError(ValueError):
    """Points that are no face; the message says why, in a few words."""


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


def centre_square(image: Pixels, resolution: int) -> Alignment:
    """The largest centred square: for photos that are face crops already."""
    height, width = image.shape[:2]
    side = min(height, width)
    return square((width - side) / 2, (height - side) / 2, float(side), resolution)


def five_points(points: Points) -> Float[np.ndarray, "5 2"]:
    """Eyes, tip of the nose and corners of the mouth, each pair left to right in the photo.

    Args:
        points: 5, 68, 468 or 478 landmarks, in the order of ``LANDMARK_GROUPS``.

    Raises:
        LandmarkError: another number, not finite, eyes or mouth in one place, less than a pixel
            apart, or mirrored.
    """
    groups = LANDMARK_GROUPS.get(len(points))
    if groups is None:
        numbers = ", ".join(map(str, LANDMARK_GROUPS))
        raise LandmarkError(f"{len(points)} landmarks; expected one of {numbers}")
    five = np.stack([points[list(group)].mean(axis=0) for group in groups]).astype(np.float64)
    if not np.isfinite(five).all():
        raise LandmarkError("landmarks that are not finite")
    (ex, ey), (mx, my) = axes = _face_axes(five)
    if ex * my - ey * mx <= 0:
        raise LandmarkError(
            "landmarks in a wrong order: the eye and the corner of the mouth that are left in the "
            "photo come first"
        )
    if np.abs(axes).max() < 1.0:
        raise LandmarkError("landmarks less than a pixel apart; expected pixels")
    return five


def _face_axes(five: Float[np.ndarray, "5 2"]) -> Float[np.ndarray, "2 2"]:
    """The ways from the left eye to the right one, and from between the eyes to the mouth."""
    return np.stack([five[1] - five[0], five[3:5].mean(axis=0) - five[:2].mean(axis=0)])


def ffhq(points: Points, resolution: int) -> Alignment:
    """The crop as FFHQ's faces are cut: rotated with the face, a similarity.

    Its horizontal axis is the mean of the eyes' direction and of the normal on the way to the
    mouth; its half side the larger of 2 eye distances and 1.8 ways from eyes to mouth; its centre
    a tenth of that way below the eyes. FFHQ's own files were also padded by blurred reflections
    where the square leaves the photo, which is not done here: the photo's edge goes on.

    Args:
        points: 5, 68, 468 or 478 landmarks in continuous coordinates.
        resolution: side of the crop in px.

    Raises:
        LandmarkError: see ``five_points``.

    Source: Karras et al. 2019 (arXiv 1812.04948), appendix A, as pSp and e4e align their input.
    """
    five = five_points(points)
    eye_to_eye, eye_to_mouth = _face_axes(five)
    x = eye_to_eye + np.array([eye_to_mouth[1], -eye_to_mouth[0]])
    half = max(2.0 * np.linalg.norm(eye_to_eye), 1.8 * np.linalg.norm(eye_to_mouth))
    x *= half / np.linalg.norm(x)
    y = np.array([-x[1], x[0]])
    corner = five[:2].mean(axis=0) + 0.1 * eye_to_mouth - x - y
    to_photo = np.eye(3)
    to_photo[:2] = np.stack([2 * x / resolution, 2 * y / resolution, corner], axis=1)
    return Alignment(np.linalg.inv(to_photo), resolution)


def arcface(points: Points, resolution: int = ARCFACE_SIDE) -> Alignment:
    """The crop that ArcFace networks were trained on: the points brought nearest to the template.

    Args:
        points: 5, 68, 468 or 478 landmarks in continuous coordinates.
        resolution: side of the crop in px; the template is scaled to it.

    Raises:
        LandmarkError: see ``five_points``.

    Source: Deng et al. 2019 (arXiv 1801.07698); the template is insightface's.
    """
    template = (np.array(ARCFACE_TEMPLATE) + 0.5) * (resolution / ARCFACE_SIDE)
    return Alignment(similarity(five_points(points), template), resolution)


def similarity(
    source: Float[np.ndarray, "n 2"], target: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "3 3"]:
    """The rotation, scale and shift that bring points nearest to others (least squares).

    Raises:
        LandmarkError: the source points are all in one place.

    Source: Umeyama 1991, Least-squares estimation of transformation parameters.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    spread = float(np.sum(a**2))
    if spread == 0.0:
        raise LandmarkError("landmarks all in one place")
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])  # no mirroring
    turn = (u * signs) @ vt * (np.sum(singular * signs) / spread)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = target_mean - turn @ source_mean
    return matrix


def crop_face(image: Pixels, alignment: Alignment) -> Crop:
    """Cuts the crop out of a photo; outside the photo its edge goes on.

    A photo much larger than the crop is box-averaged first, so that nothing aliases.

    Returns:
        Pixels in [-1, 1].
    """
    inverse = np.linalg.inv(alignment.matrix)
    reach = float(np.linalg.norm(inverse[:2, 0]))
    factor = max(1, int(reach))
    reduced = image if factor == 1 else np.asarray(Image.fromarray(image).reduce(factor))
    to_reduced = np.diag([1 / factor, 1 / factor, 1.0]) @ inverse
    samples = 2 if reach / factor > 1.05 else 1
    grid = (np.arange(alignment.resolution * samples) + 0.5) / samples
    x, y = np.meshgrid(grid, grid)
    pixels = bilinear(reduced, *apply(to_reduced, x, y))
    r = alignment.resolution
    pixels = pixels.reshape(r, samples, r, samples, 3).mean(axis=(1, 3))
    return (pixels / 127.5 - 1).astype(np.float32)


def apply(
    matrix: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Brings points through an affine matrix."""
    a = matrix[:2]
    return a[0, 0] * x + a[0, 1] * y + a[0, 2], a[1, 0] * x + a[1, 1] * y + a[1, 2]


def bilinear(
    image: Float[np.ndarray, "h w c"] | Integer[np.ndarray, "h w c"],
    x: Float[np.ndarray, "i j"],
    y: Float[np.ndarray, "i j"],
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
