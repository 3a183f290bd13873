"""Warped targets: faces change shape, and nothing else changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.training.tasks.target_warp import warp_target
from alrl_jax.types import FaceBatch
from alrl_jax.worlds import primitives
from tests.support import tiny

FACE = jnp.asarray(primitives.FACE_LABELS)
EVERYWHERE = jnp.ones((tiny.BATCH,), bool)


def faces() -> FaceBatch:
    """A square of face in the middle of each image."""
    batch = tiny.random_faces(tiny.BATCH)
    middle = slice(tiny.RESOLUTION // 4, -tiny.RESOLUTION // 4)
    parsing = jnp.zeros_like(batch.parsing).at[:, middle, middle].set(FACE[0])
    return dataclasses.replace(batch, parsing=parsing)


def bend(batch: FaceBatch, where: jax.Array = EVERYWHERE, strength: float = 0.05) -> FaceBatch:
    bent = jax.jit(warp_target, static_argnames="strength")
    return bent(batch, where, jax.random.key(1), FACE, strength=strength)


def test_only_the_chosen_faces_and_what_is_near_them_move() -> None:
    batch, where = faces(), jnp.arange(tiny.BATCH) % 2 == 0
    bent = bend(batch, where)
    moved = np.abs(np.asarray(bent.image - batch.image)).max(-1) > 1e-5
    assert moved[where].mean() > 0.2 and not moved[~where].any()
    rim = 2 * tiny.RESOLUTION // 16
    far = np.ones((tiny.RESOLUTION, tiny.RESOLUTION), bool)
    inner = slice(tiny.RESOLUTION // 4 - rim, rim - tiny.RESOLUTION // 4)
    far[inner, inner] = False
    assert not moved[:, far].any()


def test_identity_factors_of_warped_faces_are_unknown() -> None:
    batch, where = faces(), jnp.arange(tiny.BATCH) % 2 == 0
    bent = bend(batch, where)
    assert np.isnan(bent.identity_factors[where]).all()
    np.testing.assert_array_equal(bent.identity_factors[~where], batch.identity_factors[~where])
    np.testing.assert_array_equal(bent.attribute_factors, batch.attribute_factors)


def test_labels_follow_the_pixels() -> None:
    """An image that is its own label map stays one."""
    batch = faces()
    painted = (batch.parsing == FACE[0]).astype(jnp.float32)[..., None]
    bent = bend(dataclasses.replace(batch, image=jnp.repeat(painted, 3, axis=-1)))
    drawn, labels = np.asarray(bent.image[..., 0]) > 0.5, np.asarray(bent.parsing == FACE[0])
    assert (labels != (batch.parsing == FACE[0])).mean() > 0.01
    assert (drawn != labels).mean() < 0.02


def test_faces_without_labels_are_bent_about_the_middle() -> None:
    batch = dataclasses.replace(faces(), labelled=~EVERYWHERE)
    moved = np.abs(np.asarray(bend(batch).image - batch.image)).max(-1)
    assert (moved[:, 8:-8, 8:-8] > 1e-5).mean() > 0.9 and moved[:, 0].max() < 1e-5


def test_the_strength_is_the_deviation_of_the_displacement() -> None:
    """Of a ramp, the change of a pixel is the displacement itself."""
    side = 64
    ramp = jnp.broadcast_to(jnp.linspace(-0.5, 0.5, side)[None, :, None], (side, side, 3))
    count = 64
    batch = FaceBatch(
        image=jnp.broadcast_to(ramp, (count, side, side, 3)),
        parsing=jnp.full((count, side, side), FACE[0]),
        identity=jnp.arange(count),
        identity_factors=jnp.zeros((count, 0)),
        attribute_factors=jnp.zeros((count, 0)),
        pose_degrees=jnp.zeros((count, 3)),
        landmarks=jnp.zeros((count, 0, 2)),
        labelled=jnp.ones((count,), bool),
    )
    bent = bend(batch, jnp.ones((count,), bool), 0.02)
    pixels = (bent.image - batch.image)[:, 16:-16, 16:-16, 0] * (side - 1)
    assert 0.6 < float(jnp.std(pixels)) / (0.02 * side) < 1.6


def test_a_strength_below_nothing_is_refused() -> None:
    values = tiny.tiny_config("synthetic_64").to_dict()
    values["swap"]["target_warp"] = -0.1
    with pytest.raises(UserError, match=r"swap.target_warp is -0.1"):
        Config.from_dict(values)
