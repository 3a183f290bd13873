"""Both players' losses and their regularisers against values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.training.losses.gan import adversarial, discriminator_loss, r1_penalty
from alrl_jax.training.losses.generator import path_length_penalty, path_lengths
from alrl_jax.training.losses.table import LOSSES, evaluate
from alrl_jax.training.tasks.generator import GeneratorForward

SURE = jnp.asarray([[2.0], [-1.0]])


def test_the_generator_wants_its_images_to_look_real() -> None:
    expected = np.mean(np.log1p(np.exp([-2.0, 1.0])))
    assert float(adversarial(SURE)) == pytest.approx(expected, rel=1e-6)
    assert (np.asarray(jax.grad(adversarial)(SURE)) < 0).all(), "higher logits are better"
    loss = LOSSES["generator"]["adversarial"]
    assert float(evaluate(loss, GeneratorForward(SURE))) == pytest.approx(expected, rel=1e-6)
    assert LOSSES["generator"].keys() == {"adversarial"}


def test_the_discriminator_wants_the_opposite() -> None:
    zero, real = jnp.zeros((2, 1)), jnp.asarray([[3.0], [0.5]])
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * np.log(2), rel=1e-6)
    expected = np.mean(np.log1p(np.exp([-3.0, -0.5])) + np.log1p(np.exp([2.0, -1.0])))
    assert float(discriminator_loss(real, SURE)) == pytest.approx(expected, rel=1e-6)
    slopes = jax.grad(discriminator_loss, (0, 1))(real, SURE)
    assert (np.asarray(slopes[0]) < 0).all() and (np.asarray(slopes[1]) > 0).all()


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


def test_path_lengths_are_held_to_their_moving_average() -> None:
    lengths, before = jnp.asarray([1.0, 3.0]), jnp.asarray(4.0)
    penalty, average = path_length_penalty(lengths, before)
    assert float(average) == pytest.approx(0.99 * 4.0 + 0.01 * 2.0)
    assert float(penalty) == pytest.approx(((1 - 3.98) ** 2 + (3 - 3.98) ** 2) / 2, rel=1e-5)
    slope = jax.grad(lambda x: path_length_penalty(x, before)[0])(lengths)
    np.testing.assert_allclose(slope, [1 - 3.98, 3 - 3.98], rtol=1e-5)
