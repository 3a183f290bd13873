"""Losses of every task that trains against a discriminator: both players', and the regulariser R1.

Non-saturating (Goodfellow et al. 2014): softplus(-x) is -log sigmoid(x), computed without overflow.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.training.losses.parts import Scalar

Images = Float[Array, "b h w 3"]
Logits = Float[Array, "b 1"]


def adversarial(fake_logits: Logits) -> Scalar:
    """Loss of what draws: generated images should look real to the discriminator."""
    return jnp.mean(jax.nn.softplus(-fake_logits))


def discriminator_loss(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """Loss of the discriminator: real images have logits above 0, generated ones below."""
    return jnp.mean(jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits))


def r1_penalty(discriminate: Callable[[Images], Logits], real: Images) -> Scalar:
    """Half the squared gradient of the logits at real images (Mescheder et al. 2018)."""
    # Of the sum over the batch: an image's logit depends on the others through the minibatch
    # statistics alone, which StyleGAN2 neglects here as well.
    gradient = jax.grad(lambda images: jnp.sum(discriminate(images)))(real)
    return 0.5 * jnp.mean(jnp.sum(jnp.square(gradient), axis=(1, 2, 3)))
