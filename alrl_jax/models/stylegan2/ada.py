"""Adaptive discriminator augmentation: GANs on few images.

After Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020,
from the paper's description: the discriminator sees real and generated images through one random
pipeline, of which every transform happens with probability p, and p follows from how sure it is of
the real images. As long as p stays well below 1, the generated images do not show the transforms.

The pipeline is blitting (mirroring, turns by 90 degrees, shifts by whole pixels), geometry (scale,
rotation, scale along one axis, shifts) and colour (brightness, contrast, inversion of luma, hue,
saturation). All that moves pixels is one affine map an image, drawn by bilinear samples of the
image, which is reflected at its borders. The paper filters with wavelets before and after; here
nothing is filtered, so that images which are shrunk (few by more than a third) are aliased a
little, real and generated ones alike.

Draws belong to a sample's place in the global batch, so that they do not depend on the number of
devices, and nothing crosses samples.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from alrl_jax.models.resize import sample_bilinear

USES = ("generator", "real", "fake")
"""What a discriminator sees in a step: images that the generator is to improve, and its own two."""

PARTS = len(USES)

_STREAM = 0xADA
"""Keeps the draws apart from others of a step's key, which has fewer children than this."""

INTERVAL = 4
"""Steps whose signs are averaged before the probability moves."""

SHIFT = 0.125
"""Largest shift by whole pixels, and deviation of the other one, as a share of the image."""

SCALE = 0.2 * math.log(2)
CONTRAST = 0.5 * math.log(2)
SATURATION = math.log(2)
"""Deviations of the logarithms of factors."""

BRIGHTNESS = 0.2
"""Deviation of what is added to pixels."""

Probability = Float[Array, ""]
Vector = Float[Array, " b"]
Maps = Float[Array, "b 3 3"]
Colours = Float[Array, "b 4 4"]


# --- affine maps of the plane, in pixels from the middle of the image


def scaling(x: Vector, y: Vector) -> Maps:
    """Makes images wider by ``x`` and taller by ``y``."""
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def rotation(cosine: Vector, sine: Vector) -> Maps:
    """Turns images clockwise, as the y axis points downwards."""
    return _matrix([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def translation(x: Vector, y: Vector) -> Maps:
    """Moves images to the right by ``x`` and down by ``y``."""
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


# --- affine maps of colours


def brightening(offset: Vector) -> Colours:
    """Adds an offset to all channels."""
    return _matrix([[1, 0, 0, offset], [0, 1, 0, offset], [0, 0, 1, offset], [0, 0, 0, 1]])


def contrasting(factor: Vector) -> Colours:
    """Multiplies all channels."""
    return _matrix([[factor, 0, 0, 0], [0, factor, 0, 0], [0, 0, factor, 0], [0, 0, 0, 1]])


def luma_scaling(factor: Vector) -> Colours:
    """Multiplies what channels have in common; -1 inverts luma and keeps the rest."""
    return _split(factor, jnp.ones_like(factor))


def saturating(factor: Vector) -> Colours:
    """Multiplies what channels do not have in common."""
    return _split(jnp.ones_like(factor), factor)


def hue_rotation(angle: Vector) -> Colours:
    """Turns colours about the grey axis (Rodrigues' formula)."""
    # The axis is (1, 1, 1) / sqrt(3), so the matrix of its cross product holds +-1 / sqrt(3).
    cosine, sine = jnp.cos(angle), jnp.sin(angle) / math.sqrt(3)
    grey = (1 - cosine) / 3
    same, minus, plus = cosine + grey, grey - sine, grey + sine
    rows = [[same, minus, plus, 0], [plus, same, minus, 0], [minus, plus, same, 0]]
    return _matrix([*rows, [0, 0, 0, 1]])


def _split(luma: Vector, chroma: Vector) -> Colours:
    """Scales the component along the grey axis and those across it."""
    # With G = 1/3 everywhere, which keeps grey alone: luma G + chroma (I - G).
    common = (luma - chroma) / 3
    own = common + chroma
    rows = [[own, common, common, 0], [common, own, common, 0], [common, common, own, 0]]
    return _matrix([*rows, [0, 0, 0, 1]])


def _matrix(rows: list[list[Any]]) -> Float[Array, "b n n"]:
    """A matrix a sample, of numbers and of vectors over the batch."""
    numbers = [x for row in rows for x in row]
    # Most entries are the same for all; any of the others knows how many samples there are.
    count = next(x.shape[0] for x in numbers if isinstance(x, jax.Array))
    full = [jnp.broadcast_to(jnp.asarray(x, jnp.float32), (count,)) for x in numbers]
    return jnp.stack(full, axis=-1).reshape(count, len(rows), len(rows))


# --- the pipeline: what each row makes of its random numbers


@dataclasses.dataclass(frozen=True)
class Draw:
    """Random numbers of one transform for a batch, and the size of the images.

    Attributes:
        uniform: two a sample, from 0 to below 1.
        normal: two a sample.
        side: of the images in pixels.
    """

    uniform: Float[Array, "2 b"]
    normal: Float[Array, "2 b"]
    side: int

    def integer(self, below: int) -> Vector:
        """One of 0, 1, ... a sample."""
        return jnp.floor(self.uniform[0] * below)

    def angle(self) -> Vector:
        """From -pi to pi."""
        return math.pi * (2.0 * self.uniform[0] - 1.0)

    def factor(self, deviation: float) -> Vector:
        """A factor whose logarithm is normal."""
        return jnp.exp(deviation * self.normal[0])


def _mirror(draw: Draw) -> Maps:
    # Either way is as likely: mirroring all images would be another data set, not augmentation.
    sign = 1.0 - 2.0 * draw.integer(2)
    return scaling(sign, jnp.ones_like(sign))


def _quarter_turn(draw: Draw) -> Maps:
    turns = draw.integer(4)
    # Exact, which cosines of multiples of pi / 2 are not.
    cosine = (turns == 0).astype(jnp.float32) - (turns == 2).astype(jnp.float32)
    sine = (turns == 1).astype(jnp.float32) - (turns == 3).astype(jnp.float32)
    return rotation(cosine, sine)


def _pixel_shift(draw: Draw) -> Maps:
    # Whole pixels: nothing is interpolated, and images stay as sharp as they were.
    x, y = jnp.round(SHIFT * draw.side * (2.0 * draw.uniform - 1.0))
    return translation(x, y)


def _scale(draw: Draw) -> Maps:
    factor = draw.factor(SCALE)
    return scaling(factor, factor)


def _rotate(draw: Draw) -> Maps:
    angle = draw.angle()
    return rotation(jnp.cos(angle), jnp.sin(angle))


def _stretch(draw: Draw) -> Maps:
    factor = draw.factor(SCALE)
    # The area stays: sizes are drawn by ``_scale`` alone.
    return scaling(factor, 1.0 / factor)


def _shift(draw: Draw) -> Maps:
    x, y = SHIFT * draw.side * draw.normal
    return translation(x, y)


def _once_of_two(p: Probability) -> Probability:
    """So that at least one of two rotations happens with probability p."""
    return 1.0 - jnp.sqrt(1.0 - p)


def _as_it_is(p: Probability) -> Probability:
    return p


Make = Callable[[Draw], Float[Array, "b n n"]]
Chance = Callable[[Probability], Probability]
Table = Mapping[str, tuple[Make, Chance]]

GEOMETRY: Table = {
    "mirror": (_mirror, _as_it_is),
    "quarter_turn": (_quarter_turn, _as_it_is),
    "pixel_shift": (_pixel_shift, _as_it_is),
    "scale": (_scale, _as_it_is),
    # Turned before and after, the stretch acts along any axis.
    "rotation_before": (_rotate, _once_of_two),
    "stretch": (_stretch, _as_it_is),
    "rotation_after": (_rotate, _once_of_two),
    "shift": (_shift, _as_it_is),
}
"""What moves pixels, in order: its map, and how likely it is at probability p."""

COLOUR: Table = {
    "brightness": (lambda draw: brightening(BRIGHTNESS * draw.normal[0]), _as_it_is),
    "contrast": (lambda draw: contrasting(draw.factor(CONTRAST)), _as_it_is),
    "luma_flip": (lambda draw: luma_scaling(1.0 - 2.0 * draw.integer(2)), _as_it_is),
    "hue": (lambda draw: hue_rotation(draw.angle()), _as_it_is),
    "saturation": (lambda draw: saturating(draw.factor(SATURATION)), _as_it_is),
}
"""What changes colours, in order."""


def compose(
    table: Table, size: int, count: int, side: int, p: Probability, key: Key[Array, ""]
) -> Float[Array, "b n n"]:
    """One map a sample out of the rows of a table, each with its chance.

    Args:
        table: ``GEOMETRY``, ``COLOUR`` or a part of one.
        size: of the matrices, 3 or 4.
        count: samples.
        side: of the images in pixels.
        p: probability of every transform.
        key: seeds all draws.
    """
    # All at once: a generator of random numbers is long to compile.
    keys = jax.random.split(key, 3)
    gates = jax.random.uniform(keys[0], (len(table), count, 1, 1))
    uniform = jax.random.uniform(keys[1], (len(table), 2, count))
    normal = jax.random.normal(keys[2], (len(table), 2, count))
    neutral = jnp.broadcast_to(jnp.eye(size), (count, size, size))
    total = neutral
    for row, (make, chance) in enumerate(table.values()):
        drawn = make(Draw(uniform[row], normal[row], side))
        # Gates are below 1: nothing happens at p = 0, and everything does at p = 1.
        drawn = jnp.where(gates[row] < chance(p), drawn, neutral)
        # From the left: maps act on columns. Products in half precision would shift whole pixels.
        total = jnp.matmul(drawn, total, precision="highest")
    return total


def warp(images: Float[Array, "b h h c"], maps: Maps) -> Float[Array, "b h h c"]:
    """Moves the pixels of each image by its map.

    Bilinear between pixels and reflected at the borders; exact where pixels land on pixels.
    """
    side = images.shape[1]
    # The centre of the image, between pixels where the side is even: mirrors land on pixels.
    middle = (side - 1) / 2
    places = jnp.arange(side, dtype=jnp.float32) - middle
    # Each pixel of the result asks where it comes from; pushed forward, pixels would leave holes.
    back = _inverse(maps)[..., None, None]

    def origins(axis: int) -> Float[Array, "b h h"]:
        """Where the pixels of the result come from, along an axis."""
        moved = back[:, axis, 0] * places + back[:, axis, 1] * places[:, None]
        return _reflect(moved + (back[:, axis, 2] + middle), side)

    return jax.vmap(sample_bilinear)(images, origins(1), origins(0))


def _inverse(maps: Maps) -> Maps:
    """The way back; exact for mirrors and turns by 90 degrees."""
    (a, b, x), (c, d, y) = (jnp.unstack(maps[:, row], axis=-1) for row in (0, 1))
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return _matrix([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)], [0, 0, 1]])


def _reflect(points: Float[Array, "..."], side: int) -> Float[Array, "..."]:
    """Brings coordinates back into the image as mirrors at its outer pixels would."""
    last = side - 1
    # A triangle wave of this period: the outer pixels are mirrors and are not repeated.
    return last - jnp.abs(jnp.mod(points, 2.0 * last) - last)


def recolour(images: Float[Array, "b h w 3"], colours: Colours) -> Float[Array, "b h w 3"]:
    """Maps the colours of each image; may leave [-1, 1], as nothing is clipped."""
    turned = jnp.einsum("bhwi,boi->bhwo", images, colours[:, :3, :3], precision="highest")
    return turned + colours[:, None, None, :3, 3]


def augment(
    images: Float[Array, "b h h 3"], p: Probability, key: Key[Array, ""], part: int = 0
) -> Float[Array, "b h h 3"]:
    """Sends images through the pipeline.

    Args:
        images: square, pixels in [-1, 1].
        p: probability of every transform; at 0 the images stay as they are.
        key: seeds all draws of the batch.
        part: which draws of the key, from 0 to below ``PARTS``; those of all parts are one and the
            same computation, so that a program which needs several compiles it once.
    """
    count, side = images.shape[:2]
    geometry, colour = jax.random.split(key)
    maps = compose(GEOMETRY, 3, count * PARTS, side, p, geometry)
    colours = compose(COLOUR, 4, count * PARTS, side, p, colour)
    maps = maps.reshape(count, PARTS, 3, 3)[:, part]
    return recolour(warp(images, maps), colours.reshape(count, PARTS, 4, 4)[:, part])


MODES = ("off", "fixed", "adaptive")


@dataclasses.dataclass(frozen=True)
class DiscriminatorAugmentation:
    """What a discriminator sees, and how its opinion steers that.

    Attributes:
        mode: one of ``MODES``.
        probability: of ``fixed``; ``adaptive`` starts at 0.
        target: mean sign of the logits of real images at which ``adaptive`` rests.
        kimg: thousands of images in which the probability can go from 0 to 1.
    """

    mode: str
    probability: float
    target: float
    kimg: float

    def start(self) -> dict[str, Float[Array, ""]]:
        """What a state has to hold: the probability, and the sum of signs since it moved."""
        if self.mode == "off":
            return {}
        start = self.probability if self.mode == "fixed" else 0.0
        return {"ada_p": jnp.asarray(start, jnp.float32), "ada_signs": jnp.zeros(())}

    def augment(
        self,
        images: Float[Array, "b h h 3"],
        mutable: Mapping[str, Any],
        key: Key[Array, ""],
        use: str,
    ) -> Float[Array, "b h h 3"]:
        """The images as the discriminator sees them; where the mode is ``off``, as they are.

        Args:
            images: pixels in [-1, 1].
            mutable: holds what ``start`` gave.
            key: of the step; draws of its own come of it.
            use: one of ``USES``, each with other draws.
        """
        if self.mode == "off":
            return images
        own = jax.random.fold_in(key, _STREAM)
        return augment(images, mutable["ada_p"], own, USES.index(use))

    def adapt(
        self,
        mutable: Mapping[str, Any],
        step: Int[Array, ""],
        sign: Float[Array, ""],
        batch_size: int,
    ) -> tuple[dict[str, Any], dict[str, Float[Array, ""]]]:
        """Moves the probability towards the target, every ``INTERVAL`` steps.

        Args:
            mutable: holds what ``start`` gave, and maybe more.
            step: finished updates.
            sign: mean sign of the logits of this step's real images.
            batch_size: images a step.

        Returns:
            The next ``mutable``, and metrics.
        """
        if self.mode == "off":
            return dict(mutable), {}
        metrics = {"ada/p": mutable["ada_p"], "ada/real_sign": sign}
        if self.mode == "fixed":
            return dict(mutable), metrics
        # ``step`` counts finished updates; this one is the next.
        due = (step + 1) % INTERVAL == 0
        signs = mutable["ada_signs"] + sign
        stride = INTERVAL * batch_size / (1000.0 * self.kimg)
        # By the sign alone: a mean of so few images says where to go, but not how far.
        moved = mutable["ada_p"] + stride * jnp.sign(signs / INTERVAL - self.target)
        p = jnp.where(due, jnp.clip(moved, 0.0, 1.0), mutable["ada_p"])
        return {**mutable, "ada_p": p, "ada_signs": jnp.where(due, 0.0, signs)}, metrics
