"""Losses of the task ``swap`` that keep the target where no face says what the swap should be.

Of two different people, the identity is the source's and everything else the target's: pose, where
the parts of the face are, expression, gaze and light. Each loss compares the generated face with
the target as it is; pairs that ask the source for its pose or the like are left out of those that
contradict what they ask for (``keeps``).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from alrl_jax.training.losses.face_parts import (
    EYES,
    NAMES,
    FaceParts,
    layout,
    luminance,
    places,
    seen_in_both,
)
from alrl_jax.training.losses.parts import Scalar, mean_where

Images = Float[Array, "b h w 3"]
Mask = Float[Array, "b h w 1"]

ANGLE_UNIT_DEGREES = 10.0
"""Of an error of pose."""
LAYOUT_UNIT = 0.1
GAZE_UNIT = 0.04
EYE_HEIGHT_UNIT = 0.025
LIPS_HEIGHT_UNIT = 0.05
BEND_UNIT = 0.03
BROW_UNIT = 0.3
"""Of errors of lengths, as shares of the spread of the target's parts: by about so much the
expressions of the world ``primitives`` differ. Brows count less, as their distance from the eyes is
the person's as well."""
OPENING_UNIT = 0.2
"""Of an error of the mouth's opening; likewise."""
LIGHT_UNIT = 0.4
"""Of an error of luminance, of whose range of 2 it is a fifth."""
LIGHT_CELLS = 8
"""Cells along a side in which luminance is averaged: shading is what is left of a face."""

BROWS, LIPS = ("l_brow", "r_brow"), NAMES.index("lips")


def pose(read: Float[Array, "b 3"], wanted: Float[Array, "b 3"]) -> Scalar:
    """Squared error of yaw, pitch and roll in units of 10 degrees.

    Args:
        read: degrees that the pose net reads from the generated face.
        wanted: degrees of the target, but of the source where a pair asks for that.
    """
    return jnp.mean(jnp.square((read - wanted) / ANGLE_UNIT_DEGREES))


def landmarks(read: FaceParts, wanted: FaceParts, keeps: Bool[Array, " b"]) -> Scalar:
    """Squared error of the places of eyes, brows, nose and lips relative to their mean.

    Args:
        read: of the generated face.
        wanted: of the target.
        keeps: pairs that take all but identity from the target.
    """
    seen = seen_in_both(read, wanted) & keeps[:, None]
    drawn, _ = layout(read, seen)
    places_wanted, unit = layout(wanted, seen)
    error = (drawn - places_wanted) / (LAYOUT_UNIT * unit[:, None, None])
    return mean_where(jnp.square(error), seen[..., None])


def expression(read: FaceParts, wanted: FaceParts, keeps: Bool[Array, " b"]) -> Scalar:
    """Squared errors of open eyes, of raised brows, and of height, bend and opening of the lips.

    How wide these parts are is left out: that is the person's more than the expression's. The
    arguments are those of ``landmarks``.
    """
    seen = seen_in_both(read, wanted) & keeps[:, None]
    _, unit = layout(wanted, seen)
    eyes, brows = places(EYES), places(BROWS)

    def numbers(parts: FaceParts) -> Float[Array, "b 7"]:
        raised = parts.centre[:, eyes, 1] - parts.centre[:, brows, 1]
        lips = [x[:, LIPS, None] for x in (parts.height, parts.bend)]
        lengths = jnp.concatenate([parts.height[:, eyes], raised, *lips], axis=1) / unit[:, None]
        return jnp.concatenate([lengths, parts.opening[:, None]], axis=1)

    units = [EYE_HEIGHT_UNIT] * 2 + [BROW_UNIT] * 2 + [LIPS_HEIGHT_UNIT, BEND_UNIT, OPENING_UNIT]
    error = (numbers(read) - numbers(wanted)) / jnp.asarray(units)
    lips = jnp.repeat(seen[:, LIPS, None], 3, axis=1)
    known = jnp.concatenate([seen[:, eyes], seen[:, eyes] & seen[:, brows], lips], axis=1)
    return mean_where(jnp.square(error), known)


def gaze(read: FaceParts, wanted: FaceParts, keeps: Bool[Array, " b"]) -> Scalar:
    """Squared error of where the dark of each eye lies within it; arguments as of ``landmarks``."""
    seen = seen_in_both(read, wanted) & keeps[:, None]
    _, unit = layout(wanted, seen)
    error = (read.gaze - wanted.gaze) / (GAZE_UNIT * unit[:, None, None])
    return mean_where(jnp.square(error), seen[:, places(EYES), None])


def light(
    generated: Images,
    target: Images,
    generated_region: Mask,
    target_region: Mask,
    keeps: Bool[Array, " b"],
) -> Scalar:
    """Squared error of the shading: luminance averaged over the face in cells of the image.

    Args:
        generated: the generated faces.
        target: the targets as they are.
        generated_region: logits of the face in the generated images.
        target_region: likewise in the targets.
        keeps: pairs that take all but identity from the target.
    """
    # Without a gradient of the regions: else they would shrink to where luminances agree.
    drawn, share = _shading(generated, jax.lax.stop_gradient(jax.nn.sigmoid(generated_region)))
    wanted, share_wanted = _shading(target, jax.lax.stop_gradient(jax.nn.sigmoid(target_region)))
    weight = share * share_wanted * keeps.astype(jnp.float32)[:, None, None]
    error = jnp.square((drawn - wanted) / LIGHT_UNIT)
    return jnp.sum(weight * error) / jnp.maximum(jnp.sum(weight), 1.0)


def _shading(images: Images, region: Mask) -> tuple[Float[Array, "b n n"], Float[Array, "b n n"]]:
    """Mean luminance of the face in every cell, and how much of a cell the face fills."""
    cells = min(LIGHT_CELLS, images.shape[1])
    share = _cells(region[..., 0], cells)
    lit = _cells(luminance(images) * region[..., 0], cells)
    # Of a cell without a face, nothing counts.
    return lit / jnp.maximum(share, 1e-6), share


def _cells(values: Float[Array, "b h w"], count: int) -> Float[Array, "b n n"]:
    """Means of square cells, so many along a side."""
    b, side, _ = values.shape
    size = side // count
    return jnp.mean(values.reshape(b, count, size, count, size), axis=(2, 4))
