"""Losses of the face analyser against NumPy: every entry of the table, then by hand."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.training.losses import identity
from alrl_jax.training.losses.table import LOSSES, evaluate
from alrl_jax.training.tasks.identity import AnalyserForward
from alrl_jax.types import FaceBatch

BATCH, SIDE, PEOPLE = 3, 8, 5
RNG = np.random.default_rng(1)
KNOWN = [0, 2]


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


# Of the second face nothing is known, and of the first not all.
FORWARD = AnalyserForward(
    factors=FaceFactors(
        normal(BATCH, 2), normal(BATCH, 4), 20.0 * normal(BATCH, 3), normal(BATCH, 2, 2)
    ),
    faces=FaceBatch(
        image=normal(BATCH, SIDE, SIDE, 3),
        parsing=jnp.asarray(RNG.integers(0, 5, (BATCH, SIDE, SIDE)), jnp.int32),
        identity=jnp.asarray([4, 0, 2]),
        identity_factors=normal(BATCH, 2).at[0, 1].set(jnp.nan),
        attribute_factors=normal(BATCH, 4).at[0, 3].set(jnp.nan),
        pose_degrees=(20.0 * normal(BATCH, 3)).at[2, 1].set(jnp.nan),
        landmarks=SIDE * jnp.abs(normal(BATCH, 2, 2)),
        labelled=jnp.asarray([True, False, True]),
    ),
    class_logits=normal(BATCH, PEOPLE),
    pose_degrees=20.0 * normal(BATCH, 3),
    parsing_logits=normal(BATCH, SIDE, SIDE, 4),  # of four classes; the fifth is unknown
)


def squares(read: Any, truth: Any) -> float:
    """Mean over what is known of the labelled faces."""
    error = (np.asarray(read) - np.asarray(truth))[KNOWN]
    return np.nanmean(error**2)


def arcface(f: AnalyserForward) -> float:
    logits = np.asarray(f.class_logits, np.float64)
    own = logits[np.arange(BATCH), np.asarray(f.faces.identity)]
    return np.mean(np.log(np.exp(logits).sum(1)) - own)


def parsing(f: AnalyserForward) -> float:
    logits = np.asarray(f.parsing_logits, np.float64)
    values = [
        np.log(np.exp(logits[b, y, x]).sum()) - logits[b, y, x, f.faces.parsing[b, y, x]]
        for b, y, x in np.ndindex(BATCH, SIDE, SIDE)
        if b in KNOWN and f.faces.parsing[b, y, x] < 4
    ]
    return float(np.mean(values))


def landmarks(f: AnalyserForward) -> float:
    error = np.asarray(f.factors.landmarks) - np.asarray(f.faces.landmarks) / SIDE
    return 100 * np.abs(error[KNOWN]).mean()


ORACLES: dict[str, Callable[[AnalyserForward], Any]] = {
    "identity_regression": lambda f: squares(f.factors.identity_vector, f.faces.identity_factors),
    "attribute_regression": lambda f: squares(
        f.factors.attribute_vector, f.faces.attribute_factors
    ),
    "pose_regression": lambda f: squares(f.pose_degrees, f.faces.pose_degrees) / 900,
    "landmark_regression": landmarks,
    "arcface": arcface,
    "parsing": parsing,
}


def test_every_loss_has_an_oracle() -> None:
    assert ORACLES.keys() == LOSSES["identity"].keys()


@pytest.mark.parametrize("name", ORACLES)
def test_every_loss_is_its_oracle(name: str) -> None:
    value = float(evaluate(LOSSES["identity"][name], FORWARD))
    assert value == pytest.approx(float(ORACLES[name](FORWARD)), rel=1e-5)


def test_unknown_poses_have_no_loss() -> None:
    """Neither of faces without labels nor of faces of which only the mask is known (NaN)."""
    unknown = np.full(3, np.nan, np.float32)
    truth = jnp.asarray(np.stack([np.float32([30, 0, 0]), unknown, np.zeros(3, np.float32)]))
    labelled = jnp.asarray([True, True, False])
    loss = lambda read: identity.pose(read, truth, labelled)  # noqa: E731
    value, slope = jax.value_and_grad(loss)(jnp.full((3, 3), 60.0))
    assert float(value) == pytest.approx((1 + 4 + 4) / 3)
    assert np.isfinite(slope).all() and not np.asarray(slope)[1:].any()


def test_data_without_landmarks_have_no_loss() -> None:
    read, labelled = jnp.ones((2, 4, 2)), jnp.ones((2,), bool)
    images = jnp.zeros((2, SIDE, SIDE, 3))
    assert float(identity.landmarks(read, jnp.zeros((2, 0, 2)), labelled, images)) == 0.0


def test_arcface_widens_only_the_own_angle() -> None:
    centres = jnp.eye(3)
    logits = identity.arcface_logits(
        0.6 * centres[:1], centres, jnp.zeros((1,), jnp.int32), 1.0, 0.3
    )
    assert float(logits[0, 0]) == pytest.approx(np.cos(np.arccos(0.6) + 0.3), rel=1e-5)
    np.testing.assert_allclose(logits[0, 1:], 0.0, atol=1e-6)
    scaled = identity.arcface_logits(0.6 * centres[:1], centres, jnp.zeros((1,), jnp.int32))
    assert float(scaled[0, 0]) == pytest.approx(32 * np.cos(np.arccos(0.6) + 0.4), rel=1e-5)


def test_arcface_has_a_slope_where_a_face_lies_on_its_centre() -> None:
    centres = jnp.eye(3)
    loss = lambda x: jnp.sum(identity.arcface_logits(x, centres, jnp.zeros((1,), int)))  # noqa: E731
    assert np.isfinite(np.asarray(jax.grad(loss)(centres[:1]))).all()
