"""What losses are made of: means over what is known, distances, entropies."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.types import ParsingLabels

Scalar = Float[Array, ""]

OUTSIDE_WEIGHT = 0.25
"""Weight of a pixel outside the face in a reconstruction: the blend takes those from the target."""

PROBABILITY_MARGIN = 1e-5
"""How near to 0 and 1 an entropy looks: its slope is infinite at both."""


def entropy(probability: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Entropy of yes or no, in nats."""
    p = jnp.clip(probability, PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN)
    # log1p keeps the digits of 1 - p where p is small.
    return -(p * jnp.log(p) + (1.0 - p) * jnp.log1p(-p))


def factor_error(
    read: Float[Array, "b f"], truth: Float[Array, "b n"], labelled: Bool[Array, " b"]
) -> Scalar:
    """Mean squared error of standardised factors, over those that are known.

    Args:
        read: what a network reads.
        truth: NaN where a face's factor is unknown; no columns where the data know none, for which
            the error is 0.
        labelled: faces about which anything is known.
    """
    if not truth.shape[-1]:
        return jnp.zeros(())
    known = labelled[:, None] & jnp.isfinite(truth)
    # NaN has to go before the difference: 0 * NaN is NaN in the value and in its gradient.
    return mean_where(jnp.square(read - jnp.where(known, truth, 0.0)), known)


def face_l1(
    image: Float[Array, "b h w 3"], wanted: Float[Array, "b h w 3"], mask: Float[Array, "b h w 1"]
) -> Float[Array, " b"]:
    """Weighted mean of the absolute difference; ``mask`` says where the face is."""
    # Without a gradient of the mask: else it would shrink to where images agree.
    weight = OUTSIDE_WEIGHT + (1.0 - OUTSIDE_WEIGHT) * jax.lax.stop_gradient(mask)
    difference = jnp.mean(jnp.abs(image - wanted), axis=-1, keepdims=True)
    return jnp.sum(weight * difference, axis=(1, 2, 3)) / jnp.sum(weight, axis=(1, 2, 3))


def mean_where(values: Float[Array, "b *n"], where: Bool[Array, "b *m"]) -> Scalar:
    """Mean over the places that count; 0 where none does."""
    counts = jnp.broadcast_to(where, values.shape).astype(values.dtype)
    return jnp.sum(values * counts) / jnp.maximum(jnp.sum(counts), 1.0)


def region_error(
    logits: Float[Array, "b h w 1"], labels: ParsingLabels, face_classes: Int[Array, " n"]
) -> Scalar:
    """Cross-entropy and Dice of the face region, over the faces whose pixels are known.

    Args:
        logits: of the region.
        labels: what the pixels show.
        face_classes: parsing classes that make up the region.
    """
    truth = jnp.isin(labels.classes, face_classes).astype(jnp.float32)[..., None]
    crossed = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, truth), axis=(1, 2, 3))
    mask = jax.nn.sigmoid(logits)
    # One pixel more on either side of the fraction: a face without a region is not 0 / 0.
    overlap = 2.0 * jnp.sum(mask * truth, axis=(1, 2, 3)) + 1.0
    dice = 1.0 - overlap / (jnp.sum(mask + truth, axis=(1, 2, 3)) + 1.0)
    return mean_where(crossed + dice, labels.known)


def parsing_error(
    logits: Float[Array, "b h w k"], classes: Int[Array, "b h w"], labelled: Bool[Array, " b"]
) -> Scalar:
    """Cross-entropy of the classes of the pixels that are known.

    Args:
        logits: of the classes.
        classes: what the pixels show.
        labelled: faces whose classes are known.
    """
    # Classes beyond the last one, ``UNLABELLED`` among them, are no truth.
    known = (classes < logits.shape[-1]) & labelled[:, None, None]
    truth = jnp.where(known, classes, 0)
    return mean_where(optax.softmax_cross_entropy_with_integer_labels(logits, truth), known)
