"""Losses of the task ``swap``: each a function of what it reads, and a mean over the batch.

The ``blended_`` losses read what a caller gets, the generated face blended into the target: through
them the mask learns what it is for. The others read the generated face itself, which no mask cuts.

None of them sees the true swap of two different people: reconstruction looks at pairs of one person
only. ``supervised`` alone does, and only where a config asks the data for true swaps
(``data.true_swaps``): what is trained with it is a stated ceiling, not a method.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.training.losses.parts import (
    Scalar,
    entropy,
    face_l1,
    factor_error,
    mean_where,
    parsing_error,
    region_error,
)
from alrl_jax.types import ParsingLabels

Images = Float[Array, "b h w 3"]
Mask = Float[Array, "b h w 1"]

ANGLE_UNIT_DEGREES = 10.0
"""Of the pose in ``attributes``: what an eye notices counts as much as one deviation of a factor.
"""
PERCEPTUAL_WEIGHT = 0.125
"""Of the perceptual distance in ``supervised``."""


def identity(embedding: Float[Array, "b e"], wanted: Float[Array, "b e"]) -> Scalar:
    """1 - cosine of the unit identity embeddings of generated face and source's person."""
    return jnp.mean(1.0 - jnp.sum(embedding * wanted, axis=-1))


def identity_factors(read: FaceFactors, wanted: FaceFactors) -> Scalar:
    """Squared error of the standardised identity factors that the identity net reads.

    ``identity`` asks for the direction of these alone, which a caricature has as well.

    Args:
        read: from the generated face.
        wanted: from an image of the source's person.
    """
    return jnp.mean(jnp.square(read.identity_vector - wanted.identity_vector))


def attributes(read: FaceFactors, wanted: FaceFactors) -> Scalar:
    """Squared error of standardised attributes, and of angles in units of 10 degrees.

    Args:
        read: from the generated face.
        wanted: from the target, but for what a pair asks of the source.
    """
    error = jnp.square(read.attribute_vector - wanted.attribute_vector)
    turned = jnp.square((read.pose_degrees - wanted.pose_degrees) / ANGLE_UNIT_DEGREES)
    return jnp.mean(error) + jnp.mean(turned)


def reconstruction(
    generated: Images, truth: Images, mask: Mask, same_identity: Bool[Array, " b"]
) -> Scalar:
    """Where both faces are one person's, the generated face should be the target (L1).

    Args:
        generated: the generated faces.
        truth: the targets as they are, not as the networks see them.
        mask: of the blend.
        same_identity: pairs of one person.
    """
    return mean_where(face_l1(generated, truth, mask), same_identity)


def perceptual(distance: Float[Array, " b"], same_identity: Bool[Array, " b"]) -> Scalar:
    """Perceptual distance of generated face and target, where both faces are one person's."""
    return mean_where(distance, same_identity)


def blended_reconstruction(
    image: Images, truth: Images, same_identity: Bool[Array, " b"]
) -> Scalar:
    """Where both faces are one person's, the swap should be the target, everywhere alike (L1).

    Args:
        image: the generated faces, blended into the targets as the networks see them.
        truth: the targets as they are.
        same_identity: pairs of one person.
    """
    return mean_where(jnp.mean(jnp.abs(image - truth), axis=(1, 2, 3)), same_identity)


def self_reconstruction(reconstructed: Images, source: Images, region_logits: Mask) -> Scalar:
    """A face's own codes should draw it again (L1); the source's, as that is never altered."""
    return jnp.mean(face_l1(reconstructed, source, jax.nn.sigmoid(region_logits)))


def self_perceptual(distance: Float[Array, " b"]) -> Scalar:
    """Perceptual distance of a face and what its own codes draw."""
    return jnp.mean(distance)


def region(
    source_logits: Mask,
    source_labels: ParsingLabels,
    target_logits: Mask,
    target_labels: ParsingLabels,
    face_classes: Int[Array, " n"],
) -> Scalar:
    """Cross-entropy and Dice of the face region against parsing labels, on both faces."""
    source = region_error(source_logits, source_labels, face_classes)
    return source + region_error(target_logits, target_labels, face_classes)


def parsing(logits: Float[Array, "b h w k"], labels: ParsingLabels) -> Scalar:
    """Cross-entropy of the parsing classes, over the pixels of the target that are known."""
    return parsing_error(logits, labels.classes, labels.known)


def background(
    generated: Images, target: Images, mask: Mask, keeps_background: Bool[Array, " b"]
) -> Scalar:
    """L1 between the generated face and the target outside the blend's mask.

    Args:
        generated: the generated faces.
        target: as the networks see them.
        mask: of the blend.
        keeps_background: pairs that want the target's background and hair; a head that turns with
            the source's pose has hair where the target has none.
    """
    # Without a gradient of the mask: else it would grow over what does not fit.
    outside = jax.lax.stop_gradient(1.0 - mask)
    return mean_where(jnp.abs(generated - target) * outside, keeps_background[:, None, None, None])


def code_consistency(encoded: Float[Array, "b *n"], drew: Float[Array, "b *n"]) -> Scalar:
    """The generated face should be encoded to the codes that drew it; squared error."""
    # Without a gradient of the codes: they are not moved to where they are easy to read.
    return jnp.mean(jnp.square(encoded - jax.lax.stop_gradient(drew)))


def latent(codes: Float[Array, "b l d"], w_avg: Float[Array, " d"]) -> Scalar:
    """Mean squared offset of the W+ codes from ``w_avg``."""
    return jnp.mean(jnp.square(codes - w_avg))


def gate_budget(probabilities: Float[Array, "b l g"], budget: Scalar) -> Scalar:
    """Squared distance of the mean gate from the share of codes that should be the source's."""
    return jnp.square(jnp.mean(probabilities) - budget)


def gate_entropy(probabilities: Float[Array, "b l g"]) -> Scalar:
    """Entropy of the gates in nats: decisions should be clear."""
    return jnp.mean(entropy(probabilities))


def gate_information(probabilities: Float[Array, "b l g"]) -> Scalar:
    """Minus the mutual information of gate and pair, in nats: gates should depend on what they see.

    The information is the entropy of a gate's mean over the pairs, less the mean of its entropy.
    """
    marginal = entropy(jnp.mean(probabilities, axis=0))
    return jnp.mean(entropy(probabilities)) - jnp.mean(marginal)


def attribute_groups(
    read: Float[Array, "b f"],
    identity_factors: Float[Array, "b i"],
    attribute_factors: Float[Array, "b a"],
    labelled: Bool[Array, " b"],
) -> Scalar:
    """Squared error of the target's known factors, read from the codes that own them.

    Args:
        read: of all factors, those of the identity first.
        identity_factors: of the target; no columns or NaN where unknown.
        attribute_factors: likewise.
        labelled: targets about which anything is known.
    """
    truth = jnp.concatenate([identity_factors, attribute_factors], axis=-1)
    return factor_error(read, truth, labelled)


def supervised(
    generated: Images, true_swap: Images, mask: Mask, distance: Float[Array, " b"]
) -> Scalar:
    """The generated face should be the true swap, of any two people: L1 and perceptual distance.

    What ``reconstruction`` and ``perceptual`` ask of pairs of one person, in the proportion in
    which the 64 px recipes weigh them.
    """
    error = face_l1(generated, true_swap, mask)
    return jnp.mean(error) + PERCEPTUAL_WEIGHT * jnp.mean(distance)
