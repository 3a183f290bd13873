"""Losses against values worked out by hand."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.training.losses.gan import discriminator_loss, path_lengths, r1_penalty
from alrl_jax.training.losses.parts import OUTSIDE_WEIGHT
from alrl_jax.training.losses.table import (
    ANGLE_UNIT_DEGREES,
    LOSSES,
    PERCEPTUAL_SHARE,
    REGULARISERS,
    AnalyserForward,
    SwapForward,
    arcface_logits,
    total_loss,
)
from tests.support import tiny


def _forward(**fields: Any) -> SwapForward:
    """A forward pass of which only some fields are known."""
    forward = object.__new__(SwapForward)
    for name, value in fields.items():
        object.__setattr__(forward, name, value)
    return forward


def test_r1_of_a_linear_critic_is_half_its_squared_weight() -> None:
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 3)), jnp.float32)
    critic = lambda x: jnp.sum(x * weight, axis=(1, 2, 3))[:, None]  # noqa: E731
    penalty = r1_penalty(critic, jnp.zeros((5, 4, 4, 3)))
    assert float(penalty) == pytest.approx(0.5 * float(jnp.sum(weight**2)), rel=1e-5)


def test_path_length_of_a_linear_generator() -> None:
    scale = 3.0
    draw = lambda ws: scale * jnp.reshape(ws, (2, 2, 2, 3))  # noqa: E731
    noise = jnp.ones((2, 2, 2, 3))
    lengths = path_lengths(draw, jnp.zeros((2, 4, 3)), noise)
    # The gradient is scale / sqrt(4) everywhere; squared, summed over 3 channels, mean over layers.
    np.testing.assert_allclose(lengths, np.full(2, np.sqrt(3 * (scale / 2) ** 2)), rtol=1e-6)


def test_arcface_widens_only_the_own_angle() -> None:
    centres = jnp.eye(3)
    logits = arcface_logits(0.6 * centres[:1], centres, jnp.zeros((1,), jnp.int32), 1.0, 0.3)
    assert float(logits[0, 0]) == pytest.approx(np.cos(np.arccos(0.6) + 0.3), rel=1e-5)
    np.testing.assert_allclose(logits[0, 1:], 0.0, atol=1e-6)


def test_discriminator_loss_at_zero_logits() -> None:
    zero = jnp.zeros((3, 1))
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * np.log(2), rel=1e-6)


def test_a_loss_without_weight_is_not_called() -> None:
    weights = dict.fromkeys(LOSSES["swap"], 0.0)
    total, values = total_loss("swap", None, weights)
    assert float(total) == 0.0 and values == {}


@pytest.mark.parametrize("name", ["reconstruction", "self_reconstruction"])
def test_reconstruction_looks_at_the_face_first(name: str) -> None:
    left = jnp.zeros((1, 4, 4, 1)).at[:, :, :2].set(1.0)
    black = jnp.zeros((1, 4, 4, 3))

    def loss(drawn: jax.Array) -> float:
        drawn = jnp.broadcast_to(drawn, black.shape)
        forward = _forward(
            swapped=SimpleNamespace(mask=left, generated=drawn),
            truth=black,
            same_identity=jnp.ones((1,), bool),
            source=SimpleNamespace(image=black),
            source_encoding=SimpleNamespace(region_logits=100.0 * (2.0 * left - 1.0)),
            reconstructed=drawn,
        )
        return float(LOSSES["swap"][name](forward))

    inside = 1.0 / (1.0 + OUTSIDE_WEIGHT)
    assert loss(left) == pytest.approx(inside)
    assert loss(1.0 - left) == pytest.approx(1.0 - inside)


def test_only_one_persons_faces_are_reconstructed() -> None:
    """The swap of a disguised target should be the face as it was."""
    truth = jnp.stack([jnp.zeros((4, 4, 3)), jnp.ones((4, 4, 3))])
    forward = _forward(
        swapped=SimpleNamespace(mask=jnp.ones((2, 4, 4, 1)), generated=jnp.zeros((2, 4, 4, 3))),
        truth=truth,
        target=SimpleNamespace(image=truth + 5.0),
        same_identity=jnp.asarray([True, False]),
    )
    assert float(LOSSES["swap"]["reconstruction"](forward)) == 0.0


def test_gates_that_see_nothing_tell_nothing() -> None:
    """Two gates, four pairs: one that is sure and differs, one that is sure and does not."""
    both = jnp.asarray([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    told = lambda p: float(  # noqa: E731
        LOSSES["swap"]["gate_information"](
            _forward(swapped=SimpleNamespace(gates=SimpleNamespace(probabilities=p[:, None])))
        )
    )
    assert told(both) == pytest.approx(-np.log(2) / 2, abs=1e-3)
    assert told(jnp.full((4, 2), 0.5)) == pytest.approx(0.0, abs=1e-6)


def test_unknown_factors_teach_nothing() -> None:
    """Neither they nor their gradients reach the loss."""
    target = dataclasses.replace(
        tiny.random_faces(1),
        identity_factors=jnp.asarray([[jnp.nan]]),
        attribute_factors=jnp.asarray([[1.0, 2.0]]),
    )
    loss = lambda read: LOSSES["swap"]["attribute_groups"](  # noqa: E731
        _forward(target=target, factors=read)
    )
    value, gradient = jax.value_and_grad(loss)(jnp.asarray([[5.0, 1.0, 0.0]]))
    assert float(value) == pytest.approx(2.0)
    np.testing.assert_allclose(gradient, [[0.0, 0.0, -2.0]])


def test_a_caricature_has_other_factors() -> None:
    """Its embedding is the person's, as only the direction counts there."""
    read = lambda gain: FaceFactors(  # noqa: E731
        identity_vector=gain * jnp.ones((2, 4)),
        attribute_vector=jnp.zeros((2, 4)),
        pose_degrees=jnp.zeros((2, 3)),
        landmarks=jnp.zeros((2, 1, 2)),
    )
    unit = jnp.full((2, 4), 0.5)
    forward = _forward(
        person_factors=read(1.0),
        swap_factors=read(3.0),
        person_embedding=unit,
        swap_embedding=unit,
    )
    assert float(LOSSES["swap"]["identity"](forward)) == pytest.approx(0.0)
    assert float(LOSSES["swap"]["identity_factors"](forward)) == pytest.approx(4.0)


def test_the_ceiling_is_compared_with_the_true_swap() -> None:
    mask = jnp.ones((2, 4, 4, 1))
    forward = _forward(
        swapped=SimpleNamespace(mask=mask, generated=jnp.zeros((2, 4, 4, 3))),
        truth_swap=jnp.full((2, 4, 4, 3), 0.5),
        truth_distance=jnp.asarray([0.2, 0.6]),
    )
    expected = 0.5 + PERCEPTUAL_SHARE * 0.4
    assert float(LOSSES["swap"]["supervised"](forward)) == pytest.approx(expected)
    with pytest.raises(AssertionError, match="left out"):
        LOSSES["swap"]["supervised"](_forward(swapped=forward.swapped, truth_swap=None))


def test_attributes_are_compared_with_the_targets() -> None:
    read = lambda shift: FaceFactors(  # noqa: E731
        identity_vector=jnp.zeros((2, 3)),
        attribute_vector=jnp.full((2, 4), shift),
        pose_degrees=jnp.full((2, 3), ANGLE_UNIT_DEGREES * shift),
        landmarks=jnp.zeros((2, 1, 2)),
    )
    forward = _forward(swap_factors=read(3.0), target_factors=read(1.0))
    assert float(LOSSES["swap"]["attributes"](forward)) == pytest.approx(4.0 + 4.0)


def test_poses_that_are_not_known_teach_nothing() -> None:
    """Neither of faces without labels nor of faces of which only the mask is known (NaN)."""
    unknown = np.full(3, np.nan, np.float32)
    truth = np.stack([np.float32([30, 0, 0]), unknown, np.zeros(3, np.float32)])

    def loss(read: jnp.ndarray) -> jnp.ndarray:
        forward = object.__new__(AnalyserForward)
        faces = SimpleNamespace(pose_degrees=truth, labelled=np.array([True, True, False]))
        for name, value in {"factors": SimpleNamespace(pose_degrees=read), "truth": faces}.items():
            object.__setattr__(forward, name, value)
        return LOSSES["identity"]["pose_regression"](forward)

    value, slope = jax.value_and_grad(loss)(jnp.full((3, 3), 60.0))
    assert float(value) == pytest.approx((1 + 4 + 4) / 3)
    assert np.isfinite(slope).all() and not np.asarray(slope)[1:].any()


@pytest.mark.parametrize("name", tiny.CONFIG_NAMES)
def test_every_config_weighs_every_loss(name: str) -> None:
    config = tiny.tiny_config(name)
    assert set(config.losses) == {*LOSSES[config.task], *REGULARISERS[config.task]}
