"""The regulariser of the task ``generator``: path lengths (Karras et al. 2020)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.training.losses.parts import Scalar

PATH_LENGTH_DECAY = 0.01
"""Share of a batch in the moving average of path lengths."""


def path_lengths(
    synthesize: Callable[[Float[Array, "b l d"]], Float[Array, "b h w 3"]],
    ws: Float[Array, "b l d"],
    noise: Float[Array, "b h w 3"],
) -> Float[Array, " b"]:
    """Length of the image's change along random directions.

    Args:
        synthesize: draws images from W+ codes.
        ws: W+ codes.
        noise: normal image-shaped directions, scaled here by 1 / sqrt(h * w).
    """
    # Scaled so that a length does not depend on the resolution.
    scale = 1.0 / jnp.sqrt(jnp.asarray(noise.shape[1] * noise.shape[2], noise.dtype))
    # The product of the Jacobian with a random direction: the Jacobian itself is never made.
    gradient = jax.grad(lambda codes: jnp.sum(synthesize(codes) * noise * scale))(ws)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradient), axis=2), axis=1))


def path_length_penalty(
    lengths: Float[Array, " b"], mean_length: Float[Array, ""]
) -> tuple[Scalar, Scalar]:
    """Squared deviation of path lengths from their moving average.

    Args:
        lengths: of this batch.
        mean_length: the average before it.

    Returns:
        The penalty, and the average with this batch.
    """
    average = mean_length + PATH_LENGTH_DECAY * (jnp.mean(lengths) - mean_length)
    # The average is a goal, not a way to lower the penalty: no gradient passes through it.
    return jnp.mean(jnp.square(lengths - jax.lax.stop_gradient(average))), average
