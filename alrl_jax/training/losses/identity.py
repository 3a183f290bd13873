"""Losses of the task ``identity``: regressions of what is known about faces, and ArcFace.

Those of the standardised factors are ``parts.factor_error`` as it is.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.training.losses.parts import Scalar, mean_where

POSE_UNIT_DEGREES = 30.0
"""Of an error of pose: about one standard deviation of yaw, as the factors have one."""
COSINE_MARGIN = 1e-6
"""How near to -1 and 1 a cosine comes: the slope of arccos is infinite at both."""


def pose(
    read: Float[Array, "b 3"], truth: Float[Array, "b 3"], labelled: Bool[Array, " b"]
) -> Scalar:
    """Squared error of yaw, pitch and roll in units of 30 degrees, where they are known.

    Args:
        read: degrees.
        truth: degrees; NaN where a labelled face's are unknown.
        labelled: faces about which anything is known.
    """
    known = labelled[:, None] & jnp.isfinite(truth)
    # NaN has to go before the difference, see ``factor_error``.
    error = jnp.square((read - jnp.where(known, truth, 0.0)) / POSE_UNIT_DEGREES)
    return mean_where(error, known)


def landmarks(
    read: Float[Array, "b m 2"],
    truth: Float[Array, "b n 2"],
    labelled: Bool[Array, " b"],
    images: Float[Array, "b h w 3"],
) -> Scalar:
    """L1 error of landmarks in percent of the image's width; 0 for data that have none.

    Args:
        read: as a share of the image's width.
        truth: in pixels.
        labelled: faces whose landmarks are known.
        images: the faces, for their width.
    """
    if not truth.shape[1]:
        return jnp.zeros(())
    error = 100.0 * jnp.abs(read - truth / images.shape[1])
    return mean_where(error, labelled[:, None, None])


def arcface(class_logits: Float[Array, "b n"], identity: Int[Array, " b"]) -> Scalar:
    """Cross-entropy of the person under an additive angular margin (Deng et al. 2019)."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(class_logits, identity))


def arcface_logits(
    embeddings: Float[Array, "b e"],
    centres: Float[Array, "n e"],
    identity: Int[Array, " b"],
    scale: float = 32.0,
    margin: float = 0.4,
) -> Float[Array, "b n"]:
    """Scaled cosines to every person's centre; the true person's angle is widened by the margin.

    Args:
        embeddings: unit embeddings.
        centres: unit centres of the people.
        identity: number of the true person.
        scale: factor of the cosines.
        margin: in radians.
    """
    # In full on accelerators too: near 1, an arccos makes much of little.
    cosines = jnp.matmul(embeddings, centres.T, precision=jax.lax.Precision.HIGHEST)
    cosines = jnp.clip(cosines, -1.0 + COSINE_MARGIN, 1.0 - COSINE_MARGIN)
    widened = jnp.cos(jnp.arccos(cosines) + margin)
    own = jax.nn.one_hot(identity, centres.shape[0], dtype=bool)
    return scale * jnp.where(own, widened, cosines)
