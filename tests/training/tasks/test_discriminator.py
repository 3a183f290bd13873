"""The discriminator's step: both losses, R1 when it is due, and no gradient into what drew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.stylegan2.ada import DiscriminatorAugmentation
from alrl_jax.training.losses.gan import discriminator_loss, r1_penalty
from alrl_jax.training.tasks.discriminator import DiscriminatorTraining

SIDE, BATCH, WEIGHT, INTERVAL = 8, 4, 0.5, 6
VALUES = {
    "resolution": SIDE,
    "channel_base": 32,
    "channel_max": 4,
    "mbstd_group_size": 2,
    "mbstd_blocks": 2,
}


@pytest.fixture(scope="module")
def discriminator() -> DiscriminatorTraining:
    off = DiscriminatorAugmentation("off", 0.0, 0.6, 500.0)
    return DiscriminatorTraining(VALUES, off, WEIGHT, INTERVAL)


def test_r1_comes_every_interval(discriminator: DiscriminatorTraining) -> None:
    assert [step for step in range(14) if discriminator.due(step)] == [0, 6, 12]
    without = DiscriminatorTraining(VALUES, discriminator.augmentation, 0.0, INTERVAL)
    assert not without.due(0)


def test_its_gradient_is_that_of_its_losses(discriminator: DiscriminatorTraining) -> None:
    params = discriminator.init(jax.random.key(0))
    real, fake = jax.random.normal(jax.random.key(1), (2, BATCH, SIDE, SIDE, 3))
    key, step = jax.random.key(2), jnp.asarray(0)
    logits = lambda p, x: discriminator.logits(p, x, {}, key, "generator")  # noqa: E731

    def expected(p: dict, r1_weight: float) -> jax.Array:
        loss = discriminator_loss(logits(p, real), logits(p, fake))
        return loss + r1_weight * r1_penalty(lambda x: logits(p, x), real)

    for with_r1 in (False, True):
        gradient, mutable, metrics = discriminator.gradient(
            params, real, fake, {"other": 1}, key, step, with_r1
        )
        wanted = jax.grad(expected)(params, WEIGHT * INTERVAL * with_r1)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradient, wanted
        )
        assert mutable == {"other": 1} and ("loss/r1" in metrics) == with_r1
        assert float(metrics["loss/discriminator"]) == pytest.approx(float(expected(params, 0.0)))
        assert float(metrics["logits/real"]) == pytest.approx(float(logits(params, real).mean()))
        assert float(metrics["logits/fake"]) == pytest.approx(float(logits(params, fake).mean()))


def test_what_drew_gets_no_gradient(discriminator: DiscriminatorTraining) -> None:
    params = discriminator.init(jax.random.key(0))
    real, fake = jax.random.normal(jax.random.key(1), (2, BATCH, SIDE, SIDE, 3))

    def loss(fake: jax.Array) -> jax.Array:
        key, step = jax.random.key(2), jnp.asarray(0)
        return discriminator.gradient(params, real, fake, {}, key, step, False)[2][
            "loss/discriminator"
        ]

    assert not np.asarray(jax.grad(loss)(fake)).any()


def test_frozen_blocks_get_no_gradient(discriminator: DiscriminatorTraining) -> None:
    held = DiscriminatorTraining(
        VALUES, discriminator.augmentation, WEIGHT, INTERVAL, frozen_blocks=1
    )
    params = held.init(jax.random.key(0))
    real, fake = jax.random.normal(jax.random.key(1), (2, BATCH, SIDE, SIDE, 3))
    gradient, _, _ = held.gradient(params, real, fake, {}, jax.random.key(2), jnp.asarray(0), True)
    moved = {
        name: any(np.asarray(leaf).any() for leaf in jax.tree.leaves(tree))
        for name, tree in gradient.items()
    }
    assert moved == {"b8": False, "b4": True}
