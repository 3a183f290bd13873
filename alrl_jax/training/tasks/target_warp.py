"""Warped targets: a person's own face, bent until it is no longer quite theirs.

Where source and target show one person, the true swap is the target itself, and copying the target
solves the task without a look at the source. A warp closes that way: the networks see the
target with its face smoothly displaced, and have to give back the face as it was, whose shape the
source alone knows. Pose, expression, skin, light and surroundings stay. To learn from warped faces
is the trick of the first face-swapping autoencoders; here it is the target of a pair that is
warped, so that the codes of identity have to come from the source.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from alrl_jax.models.resize import sample_bilinear
from alrl_jax.types import FaceBatch

GRIDS = (2, 4)
"""Independent displacements along a side, one number a field; a face is bent by the sum of the
fields: the first stretches it as a whole, the second its parts."""

MARGIN = 1 / 16
"""Width of the rim around the face over which a warp fades, as a share of the side."""


def warp_target(
    face: FaceBatch,
    where: Bool[Array, " b"],
    key: Key[Array, ""],
    face_labels: Int[Array, " n"],
    strength: float,
) -> FaceBatch:
    """Faces of another shape.

    Args:
        face: upright crops.
        where: which of them to warp.
        key: seeds the draws.
        face_labels: parsing classes of the face; a face without labels is bent about the middle of
            its crop.
        strength: standard deviation of a field's displacements, as a share of the image's side.

    Returns:
        The faces with another image and parsing. The identity factors of the warped are unknown
        (NaN). What else is known of them stays as it was.
    """
    side = face.image.shape[1]
    window = jnp.where(where[:, None, None], _window(face, face_labels), 0.0)
    field = strength * side * window[..., None] * _fields(key, len(where), side)
    places = jnp.arange(side, dtype=jnp.float32)
    # Beyond the rim the last pixels repeat.
    y = jnp.clip(places[:, None] + field[..., 0], 0.0, side - 1.0)
    x = jnp.clip(places[None, :] + field[..., 1], 0.0, side - 1.0)
    # Classes have no mean: labels are those of the nearest pixel.
    rows, columns = (jnp.round(points).astype(jnp.int32) for points in (y, x))
    return dataclasses.replace(
        face,
        image=jax.vmap(sample_bilinear)(face.image, y, x),
        parsing=jax.vmap(lambda labels, row, column: labels[row, column])(
            face.parsing, rows, columns
        ),
        identity_factors=jnp.where(where[:, None], jnp.nan, face.identity_factors),
    )


def _fields(key: Key[Array, ""], count: int, side: int) -> Float[Array, "b h h 2"]:
    """Smooth random displacements along rows and columns."""
    total = jnp.zeros((count, side, side, 2))
    for grid, seed in zip(GRIDS, jax.random.split(key, len(GRIDS)), strict=True):
        coarse = jax.random.normal(seed, (count, grid, grid, 2))
        # A shift of the whole face says nothing about its identity.
        coarse -= jnp.mean(coarse, axis=(1, 2), keepdims=True)
        # Cubic: a field with kinks would leave edges that give the warp away.
        total += jax.image.resize(coarse, total.shape, "cubic")
    return total


def _window(face: FaceBatch, face_labels: Int[Array, " n"]) -> Float[Array, "b h h"]:
    """1 in the face, falling to 0 over a rim around it."""
    side = face.image.shape[1]
    size = 2 * max(1, round(MARGIN * side)) + 1
    inside = jnp.isin(face.parsing, face_labels).astype(jnp.float32)
    slide = functools.partial(
        jax.lax.reduce_window,
        window_dimensions=(1, size, size),
        window_strides=(1, 1, 1),
        padding="SAME",
    )
    # Grown first and smoothed then, so that the whole face has a weight of 1.
    grown = slide(inside, 0.0, jax.lax.max)
    rim = slide(grown, 0.0, jax.lax.add) / size**2
    bump = jnp.cos(0.5 * jnp.pi * jnp.linspace(-1.0, 1.0, side))
    return jnp.where(face.labelled[:, None, None], rim, bump[:, None] * bump[None, :])
