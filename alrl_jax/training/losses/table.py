"""Losses: a function and a row in ``LOSSES`` each.

Every loss of a task reads one struct that holds what the forward pass made (``SwapForward``,
``GeneratorForward``, ``AnalyserForward``) and returns a mean over the global batch. Weights are in
the config; a loss of weight 0 is never called, and what only it needed is never computed.

None of them sees the true swap of two different people: reconstruction looks at pairs of one person
only. ``supervised`` alone does, and only where a config asks the data for true swaps
(``data.true_swaps``): what is trained with it is a stated ceiling, not a method.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.training.losses.parts import (
    Scalar,
    entropy,
    face_l1,
    factor_error,
    mean_where,
    region_error,
)
from alrl_jax.types import FaceBatch, ParsingLabels, SwapOutput

Made = TypeVar("Made")

ANGLE_UNIT_DEGREES = 10.0
"""Of the pose in ``attributes``."""
PERCEPTUAL_SHARE = 0.125
"""Of the perceptual distance in ``supervised``."""


@flax.struct.dataclass
class SwapForward:
    """What one forward pass of the swapper made; None where no loss with a weight reads it.

    Attributes:
        source: faces that give the identity.
        target: faces that give everything else, as the networks saw them.
        truth: the targets as they are, where the networks saw them warped or swapped.
        same_identity: where both show one person, so that the swap should be the target.
        source_encoding: encoding of the source.
        target_encoding: encoding of the target.
        generated_encoding: encoding of the generated face.
        swapped: the swap.
        reconstructed: what the generator draws from the source's own codes.
        person_embedding: unit identity embedding of the source's person.
        swap_embedding: unit identity embedding of the generated face.
        person_factors: what the identity net reads from a picture of that person.
        swap_factors: what the identity net reads from the generated face.
        target_factors: what it should read beside: as from the target, but for controlled groups.
        generated_distance: perceptual distance of generated face and target.
        reconstructed_distance: perceptual distance of reconstruction and source.
        source_labels: what the source's pixels show.
        target_labels: what the target's pixels show.
        factors: the target's known factors, as the probe reads them from its codes.
        swap_logits: the discriminator's opinion of the generated face.
        face_labels: parsing classes that a swap replaces.
        w_avg: centre of the generator's W space.
        gate_budget: share of codes that should come from the source.
        truth_swap: the true swaps, for ``supervised``.
        truth_distance: perceptual distance of generated face and true swap.
    """

    source: FaceBatch
    target: FaceBatch
    truth: Float[Array, "b h w 3"]
    same_identity: Bool[Array, " b"]
    source_encoding: FaceEncoding
    target_encoding: FaceEncoding
    generated_encoding: FaceEncoding
    swapped: SwapOutput
    reconstructed: Float[Array, "b h w 3"]
    person_embedding: Float[Array, "b e"]
    swap_embedding: Float[Array, "b e"] | None
    person_factors: FaceFactors | None
    swap_factors: FaceFactors | None
    target_factors: FaceFactors | None
    generated_distance: Float[Array, " b"] | None
    reconstructed_distance: Float[Array, " b"] | None
    source_labels: ParsingLabels | None
    target_labels: ParsingLabels | None
    factors: Float[Array, "b f"]
    swap_logits: Float[Array, "b 1"]
    face_labels: Int[Array, " n"]
    w_avg: Float[Array, " d"]
    gate_budget: Scalar
    truth_swap: Float[Array, "b h w 3"] | None = None
    truth_distance: Float[Array, " b"] | None = None


@flax.struct.dataclass
class GeneratorForward:
    """The discriminator's logits of generated faces."""

    fake_logits: Float[Array, "b 1"]


@flax.struct.dataclass
class AnalyserForward:
    """What a face analyser read, what is true, and the class logits of ArcFace.

    Attributes:
        factors: the net's reading.
        truth: the faces.
        class_logits: scaled cosines to every person's centre, with the margin; no columns when
            the ArcFace loss is off.
    """

    factors: FaceFactors
    truth: FaceBatch
    class_logits: Float[Array, "b n"]


def total_loss(
    task: str, forward: Any, weights: Mapping[str, float]
) -> tuple[Scalar, dict[str, Scalar]]:
    """Weighted sum of a task's losses, and every loss that has a weight.

    Args:
        task: key of ``LOSSES``.
        forward: the struct that the task's losses read.
        weights: weight by name; names of the discriminator's losses are left to the task.
    """
    table = LOSSES[task]
    values = {name: table[name](forward) for name, w in weights.items() if w and name in table}
    total = sum((weights[name] * value for name, value in values.items()), jnp.zeros(()))
    return total, values


# --- swap -----------------------------------------------------------------------------------------


def identity(f: SwapForward) -> Scalar:
    """1 - cosine of the identity embeddings of generated face and source's person."""
    return jnp.mean(1.0 - jnp.sum(_made(f.swap_embedding) * f.person_embedding, axis=-1))


def identity_factors(f: SwapForward) -> Scalar:
    """Squared error of the standardised identity factors that the identity net reads.

    ``identity`` asks for the direction of these alone, which a caricature has as well.
    """
    read, wanted = _made(f.swap_factors), _made(f.person_factors)
    return jnp.mean(jnp.square(read.identity_vector - wanted.identity_vector))


def attributes(f: SwapForward) -> Scalar:
    """The identity net should read the target's attributes and pose from the generated face,
    but for what a pair asks of the source.

    Squared error of standardised attributes, and of angles in units of 10 degrees.
    """
    read, wanted = _made(f.swap_factors), _made(f.target_factors)
    error = jnp.square(read.attribute_vector - wanted.attribute_vector)
    turned = jnp.square((read.pose_degrees - wanted.pose_degrees) / ANGLE_UNIT_DEGREES)
    return jnp.mean(error) + jnp.mean(turned)


def reconstruction(f: SwapForward) -> Scalar:
    """Where both faces are one person's, the generated face should be the target (L1)."""
    return mean_where(face_l1(f.swapped.generated, f.truth, f.swapped.mask), f.same_identity)


def perceptual(f: SwapForward) -> Scalar:
    """Perceptual distance of generated face and target, where both faces are one person's."""
    return mean_where(_made(f.generated_distance), f.same_identity)


def self_reconstruction(f: SwapForward) -> Scalar:
    """A face's own codes should draw it again (L1); the source's, as that is never altered."""
    region = jax.nn.sigmoid(f.source_encoding.region_logits)
    return jnp.mean(face_l1(f.reconstructed, f.source.image, region))


def self_perceptual(f: SwapForward) -> Scalar:
    """Perceptual distance of a face and what its own codes draw."""
    return jnp.mean(_made(f.reconstructed_distance))


def region(f: SwapForward) -> Scalar:
    """Cross-entropy and Dice of the face region against parsing labels, on both faces."""
    source = region_error(f.source_encoding, _made(f.source_labels), f.face_labels)
    return source + region_error(f.target_encoding, _made(f.target_labels), f.face_labels)


def parsing(f: SwapForward) -> Scalar:
    """Cross-entropy of the 19 classes against parsing labels, on the target."""
    logits, truth = f.target_encoding.parsing_logits, _made(f.target_labels)
    known = (truth.classes < logits.shape[-1]) & truth.known[:, None, None]
    labels = jnp.where(known, truth.classes, 0)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return mean_where(cross_entropy, known)


def background(f: SwapForward) -> Scalar:
    """L1 between the generated face and the target outside the blend's mask."""
    outside = jax.lax.stop_gradient(1.0 - f.swapped.mask)
    difference = jnp.abs(f.swapped.generated - f.target.image) * outside
    return jnp.mean(difference)


def pose_consistency(f: SwapForward) -> Scalar:
    """The generated face should be encoded to the pose code that drew it."""
    wanted = jax.lax.stop_gradient(f.swapped.codes.pose)
    return jnp.mean(jnp.square(f.generated_encoding.codes.pose - wanted))


def attribute_consistency(f: SwapForward) -> Scalar:
    """The generated face should be encoded to the W+ codes that drew it."""
    wanted = jax.lax.stop_gradient(f.swapped.codes.attributes)
    return jnp.mean(jnp.square(f.generated_encoding.codes.attributes - wanted))


def latent(f: SwapForward) -> Scalar:
    """Mean squared offset of the W+ codes from ``w_avg``."""
    return jnp.mean(jnp.square(f.target_encoding.codes.attributes - f.w_avg))


def gate_budget(f: SwapForward) -> Scalar:
    """Squared distance of the mean gate from its budget."""
    return jnp.square(jnp.mean(f.swapped.gates.probabilities) - f.gate_budget)


def gate_entropy(f: SwapForward) -> Scalar:
    """Entropy of the gates in nats: decisions should be clear."""
    return jnp.mean(entropy(f.swapped.gates.probabilities))


def gate_information(f: SwapForward) -> Scalar:
    """Minus what the gates tell about the pair, in nats: they should decide by what they see.

    The mutual information of a gate and the pair: entropy of its mean less its mean entropy.
    """
    p = f.swapped.gates.probabilities
    return jnp.mean(entropy(p)) - jnp.mean(entropy(jnp.mean(p, axis=0)))


def attribute_groups(f: SwapForward) -> Scalar:
    """Squared error of the known factors, read from the codes that own them."""
    truth = jnp.concatenate([f.target.identity_factors, f.target.attribute_factors], axis=-1)
    return factor_error(f.factors, truth, f.target)


def swap_adversarial(f: SwapForward) -> Scalar:
    """Non-saturating loss: the generated face should look real."""
    return jnp.mean(jax.nn.softplus(-f.swap_logits))


def supervised(f: SwapForward) -> Scalar:
    """The generated face should be the true swap, of whomever: L1 and perceptual distance.

    What ``reconstruction`` and ``perceptual`` ask of pairs of one person, in the proportion in
    which the 64 px recipes weigh them.
    """
    error = face_l1(f.swapped.generated, _made(f.truth_swap), f.swapped.mask)
    return jnp.mean(error) + PERCEPTUAL_SHARE * jnp.mean(_made(f.truth_distance))


# --- generator ------------------------------------------------------------------------------------


def generator_adversarial(f: GeneratorForward) -> Scalar:
    """Non-saturating loss of the generator (Goodfellow et al. 2014)."""
    return jnp.mean(jax.nn.softplus(-f.fake_logits))


# --- identity -------------------------------------------------------------------------------------


def identity_regression(f: AnalyserForward) -> Scalar:
    """Squared error of the standardised identity factors."""
    return factor_error(f.factors.identity_vector, f.truth.identity_factors, f.truth)


def attribute_regression(f: AnalyserForward) -> Scalar:
    """Squared error of the standardised attribute factors."""
    return factor_error(f.factors.attribute_vector, f.truth.attribute_factors, f.truth)


def pose_regression(f: AnalyserForward) -> Scalar:
    """Squared error of yaw, pitch and roll in units of 30 degrees, where they are known."""
    truth = f.truth.pose_degrees
    known = f.truth.labelled[:, None] & jnp.isfinite(truth)
    error = jnp.square((f.factors.pose_degrees - jnp.where(known, truth, 0.0)) / 30.0)
    return mean_where(error, known)


def landmark_regression(f: AnalyserForward) -> Scalar:
    """L1 error of landmarks in percent of the image's width."""
    if not f.truth.landmarks.shape[1]:
        return jnp.zeros(())
    size = f.truth.image.shape[1]
    error = 100.0 * jnp.abs(f.factors.landmarks - f.truth.landmarks / size)
    return mean_where(error, f.truth.labelled[:, None, None])


def arcface(f: AnalyserForward) -> Scalar:
    """Cross-entropy of the person under an additive angular margin (Deng et al. 2019)."""
    return jnp.mean(
        optax.softmax_cross_entropy_with_integer_labels(f.class_logits, f.truth.identity)
    )


LOSSES: dict[str, dict[str, Callable[[Any], Scalar]]] = {
    "swap": {
        "identity": identity,
        "identity_factors": identity_factors,
        "attributes": attributes,
        "reconstruction": reconstruction,
        "perceptual": perceptual,
        "self_reconstruction": self_reconstruction,
        "self_perceptual": self_perceptual,
        "region": region,
        "parsing": parsing,
        "background": background,
        "pose_consistency": pose_consistency,
        "attribute_consistency": attribute_consistency,
        "latent": latent,
        "gate_budget": gate_budget,
        "gate_entropy": gate_entropy,
        "gate_information": gate_information,
        "attribute_groups": attribute_groups,
        "adversarial": swap_adversarial,
        "supervised": supervised,
    },
    "generator": {"adversarial": generator_adversarial},
    "identity": {
        "identity_regression": identity_regression,
        "attribute_regression": attribute_regression,
        "pose_regression": pose_regression,
        "landmark_regression": landmark_regression,
        "arcface": arcface,
    },
}
"""Losses by task and name."""

REGULARISERS: dict[str, tuple[str, ...]] = {
    "swap": ("r1",),
    "generator": ("r1", "path_length"),
    "identity": (),
}
"""Lazy regularisers by task; each has a weight beside the losses, and runs every few steps."""


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
    cosines = jnp.clip(embeddings @ centres.T, -1.0 + 1e-6, 1.0 - 1e-6)
    widened = jnp.cos(jnp.arccos(cosines) + margin)
    own = jax.nn.one_hot(identity, centres.shape[0], dtype=bool)
    return scale * jnp.where(own, widened, cosines)


def _made(value: Made | None) -> Made:
    """What a forward pass makes wherever a loss with a weight reads it."""
    assert value is not None, "the forward pass left out what a loss with a weight reads"
    return value
