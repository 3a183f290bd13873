"""What trains a GAN besides the losses of ``losses.py``: the discriminator's, and regularisers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def discriminator_loss(
    real_logits: Float[Array, "b 1"], fake_logits: Float[Array, "b 1"]
) -> Scalar:
    """Non-saturating loss of the discriminator."""
    return jnp.mean(jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits))


def r1_penalty(
    discriminate: Callable[[Float[Array, "b h w 3"]], Float[Array, "b 1"]],
    real: Float[Array, "b h w 3"],
) -> Scalar:
    """Half the squared gradient of the logits at real images (Mescheder et al. 2018)."""
    gradient = jax.grad(lambda images: jnp.sum(discriminate(images)))(real)
    return 0.5 * jnp.mean(jnp.sum(jnp.square(gradient), axis=(1, 2, 3)))


def path_lengths(
    synthesize: Callable[[Float[Array, "b l d"]], Float[Array, "b h w 3"]],
    ws: Float[Array, "b l d"],
    noise: Float[Array, "b h w 3"],
) -> Float[Array, " b"]:
    """Length of the image's change along random directions (Karras et al. 2020).

    Args:
        synthesize: draws images from W+ codes.
        ws: W+ codes.
        noise: normal image-shaped directions, scaled here by 1 / sqrt(h * w).
    """
    scale = 1.0 / jnp.sqrt(jnp.asarray(noise.shape[1] * noise.shape[2], noise.dtype))
    gradient = jax.grad(lambda codes: jnp.sum(synthesize(codes) * noise * scale))(ws)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradient), axis=2), axis=1))
