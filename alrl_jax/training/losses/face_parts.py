"""Eyes, brows, nose and lips of a face by the moments of soft parsing maps.

A parser's decision has no gradient, and its maps move with the shape of a face. Centre, size
and bend of each part are landmarks without a landmark network: they carry expression, and their
gradient reaches the image that was parsed.
"""

from collections.abc import Sequence

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from alrl_jax.data.parsing_classes import CELEBAMASK_LABELS

PARTS: dict[str, tuple[str, ...]] = {
    "l_eye": ("l_eye",),
    "r_eye": ("r_eye",),
    "l_brow": ("l_brow",),
    "r_brow": ("r_brow",),
    "nose": ("nose",),
    "lips": ("u_lip", "l_lip", "mouth"),
}
"""Parsing classes of every part; ``mouth`` is what open lips show."""

EYES = ("l_eye", "r_eye")
NAMES = tuple(PARTS)

SMALLEST_AREA = 2e-4
"""Share of the image above which a part is seen at all; an open eye of an upright crop covers far
more."""
SMALLEST_DEVIATION = 1e-3
"""Of a part's size, as a share of the image's side: a root has an infinite slope at 0."""

SMALLEST_SPREAD = 0.1
"""Of a face's parts, by which errors are divided. A parser that is wrong may see all parts in one
place, where a small spread would make an error of any size."""

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue (ITU-R BT.709)."""


@flax.struct.dataclass
class FaceParts:
    """Where the parts of a face are and how they look, in the order of ``PARTS``.

    Lengths are shares of the image's side; x and y point to the right and downwards.

    Attributes:
        area: share of the image that shows the part.
        centre: x, y.
        height: standard deviation along y.
        bend: how far the ends lie below the middle.
        gaze: from the centre of each eye to the centre of what is dark in it.
        opening: share of the lips that shows the inside of the mouth.
    """

    area: Float[Array, "b p"]
    centre: Float[Array, "b p 2"]
    height: Float[Array, "b p"]
    bend: Float[Array, "b p"]
    gaze: Float[Array, "b 2 2"]
    opening: Float[Array, " b"]


def face_parts(maps: Float[Array, "b h w k"], images: Float[Array, "b h w 3"]) -> FaceParts:
    """Reads the parts of faces.

    Args:
        maps: share of each CelebAMask-HQ class in every pixel.
        images: the same faces, pixels in [-1, 1].
    """
    parts = jnp.stack([_sum(maps, classes) for classes in PARTS.values()], axis=-1)
    dark = 0.5 - 0.5 * luminance(images)
    # Squared: the iris is to outweigh the white of the eye, which is larger.
    eyes = places(EYES)
    _, dark_centre = _centre(parts[..., eyes] * jnp.square(dark)[..., None])
    area, centre = _centre(parts)
    height, bend = _shape(parts, centre)
    inside = jnp.mean(_sum(maps, ("mouth",)), axis=(1, 2))
    return FaceParts(
        area=area,
        centre=centre,
        height=height,
        bend=bend,
        gaze=dark_centre - centre[:, eyes],
        opening=inside / (area[:, NAMES.index("lips")] + SMALLEST_AREA),
    )


def places(names: Sequence[str]) -> Array:
    """Places of parts in ``PARTS``."""
    return jnp.asarray([NAMES.index(name) for name in names])


def luminance(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w"]:
    """Luminance in [-1, 1] of pixels in [-1, 1]."""
    return jnp.sum(images * jnp.asarray(LUMINANCE), axis=-1)


def seen_in_both(first: FaceParts, second: FaceParts) -> Bool[Array, "b p"]:
    """Parts that both faces show: the centre of what is not there means nothing."""
    return (first.area > SMALLEST_AREA) & (second.area > SMALLEST_AREA)


def layout(
    parts: FaceParts, seen: Bool[Array, "b p"]
) -> tuple[Float[Array, "b p 2"], Float[Array, " b"]]:
    """Centres of the parts relative to their mean, and how far they lie from it.

    That is the root of the mean squared distance, ``SMALLEST_SPREAD`` at least.

    Args:
        parts: of faces.
        seen: parts that count for mean and distance.
    """
    counts = seen.astype(jnp.float32)
    share = counts / jnp.maximum(jnp.sum(counts, axis=1, keepdims=True), 1.0)
    mean = jnp.sum(share[..., None] * parts.centre, axis=1, keepdims=True)
    relative = parts.centre - mean
    spread = jnp.sum(share * jnp.sum(jnp.square(relative), axis=-1), axis=1)
    return relative, jnp.maximum(_root(spread), SMALLEST_SPREAD)


def _sum(maps: Float[Array, "b h w k"], classes: Sequence[str]) -> Float[Array, "b h w"]:
    return sum((maps[..., CELEBAMASK_LABELS.index(name)] for name in classes), jnp.zeros(()))


def _centre(parts: Float[Array, "b h w p"]) -> tuple[Float[Array, "b p"], Float[Array, "b p 2"]]:
    """Share of the image that each part covers, and where it is."""
    area = jnp.mean(parts, axis=(1, 2))
    along_y, along_x = jnp.mean(parts, axis=2), jnp.mean(parts, axis=1)
    x = jnp.einsum("bwp,w->bp", along_x, _middles(parts.shape[2])) / parts.shape[2]
    y = jnp.einsum("bhp,h->bp", along_y, _middles(parts.shape[1])) / parts.shape[1]
    return area, jnp.stack([x, y], axis=-1) / _positive(area)[..., None]


def _shape(
    parts: Float[Array, "b h w p"], centre: Float[Array, "b p 2"]
) -> tuple[Float[Array, "b p"], Float[Array, "b p"]]:
    """Height and bend of each part about its centre."""
    share = parts / _positive(jnp.sum(parts, axis=(1, 2), keepdims=True))
    x = _middles(parts.shape[2])[None, None, :, None] - centre[:, None, None, :, 0]
    y = _middles(parts.shape[1])[None, :, None, None] - centre[:, None, None, :, 1]
    mean = lambda values: jnp.sum(share * values, axis=(1, 2))  # noqa: E731
    xx = mean(jnp.square(x))
    bend = mean(y * (jnp.square(x) - xx[:, None, None])) / (xx + SMALLEST_DEVIATION**2)
    return _root(mean(jnp.square(y))), bend


def _middles(side: int) -> Float[Array, " n"]:
    """Places of the pixels of a side, as shares of it."""
    return (jnp.arange(side, dtype=jnp.float32) + 0.5) / side


def _positive(area: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """An area to divide by; of a part that is not there, nothing but zeros is divided."""
    return jnp.maximum(area, 1e-9)


def _root(square: Float[Array, "*n"]) -> Float[Array, "*n"]:
    return jnp.sqrt(square + SMALLEST_DEVIATION**2)
