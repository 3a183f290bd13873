"""What losses are made of: means over what is known, distances, entropies."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.types import FaceBatch, ParsingLabels

Scalar = Float[Array, ""]

OUTSIDE_WEIGHT = 0.25
"""Weight of a pixel outside the face in a reconstruction: the blend takes those from the target."""


def entropy(probability: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Entropy of yes or no, in nats."""
    p = jnp.clip(probability, 1e-5, 1.0 - 1e-5)
    return -(p * jnp.log(p) + (1.0 - p) * jnp.log1p(-p))


def factor_error(read: Float[Array, "b f"], truth: Float[Array, "b n"], face: FaceBatch) -> Scalar:
    """Mean squared error of the factors that are known; 0 for data that know none."""
    if not truth.shape[-1]:
        return jnp.zeros(())
    known = face.labelled[:, None] & jnp.isfinite(truth)
    return mean_where(jnp.square(read - jnp.where(known, truth, 0.0)), known)


def face_l1(
    image: Float[Array, "b h w 3"], wanted: Float[Array, "b h w 3"], mask: Float[Array, "b h w 1"]
) -> Float[Array, " b"]:
    """Weighted mean of the absolute difference; ``mask`` says where the face is."""
    weight = OUTSIDE_WEIGHT + (1.0 - OUTSIDE_WEIGHT) * jax.lax.stop_gradient(mask)
    difference = jnp.mean(jnp.abs(image - wanted), axis=-1, keepdims=True)
    return jnp.sum(weight * difference, axis=(1, 2, 3)) / jnp.sum(weight, axis=(1, 2, 3))


def mean_where(values: Float[Array, "b *n"], where: Bool[Array, "b *m"]) -> Scalar:
    """Mean over the places that count; 0 where none does."""
    counts = jnp.broadcast_to(where, values.shape).astype(values.dtype)
    return jnp.sum(values * counts) / jnp.maximum(jnp.sum(counts), 1.0)


def region_error(encoding: FaceEncoding, face: ParsingLabels, labels: Int[Array, " n"]) -> Scalar:
    """Cross-entropy and Dice of the face region, over the faces whose pixels are known."""
    truth = jnp.isin(face.classes, labels).astype(jnp.float32)[..., None]
    logits = encoding.region_logits
    crossed = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, truth), axis=(1, 2, 3))
    mask = jax.nn.sigmoid(logits)
    overlap = 2.0 * jnp.sum(mask * truth, axis=(1, 2, 3)) + 1.0
    dice = 1.0 - overlap / (jnp.sum(mask + truth, axis=(1, 2, 3)) + 1.0)
    return mean_where(crossed + dice, face.known)
