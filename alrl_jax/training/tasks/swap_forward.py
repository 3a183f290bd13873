"""What flows through a step of the task ``swap``: small structs, whose parts the losses name.

All images are as large as the losses see them, but those that are called whole. A part is None
where no loss with a weight reads it.
"""

import flax.struct
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.training.losses.face_parts import FaceParts
from alrl_jax.training.losses.parts import Scalar
from alrl_jax.training.tasks.attribute_control import AttributeControl
from alrl_jax.types import FaceBatch, LatentCodes, ParsingLabels, SwapGates


@flax.struct.dataclass
class SwapPairs:
    """The batch as it enters a step.

    Attributes:
        source: faces that give the identity.
        target: faces that give everything else, as the networks see them.
        truth: the targets as they are, where the networks see them warped or swapped.
        same_identity: where both show one person, so that the swap should be the target.
        whole_source: the sources as large as the networks draw.
        whole_target: the targets as large as the networks draw, as the networks see them.
        witness: another picture of the source's person, where the data have one.
        true_swap: the true swaps, which only ``supervised`` may read.
        keeps_background: pairs that want what lies outside the face as the target has it.
        control: what pairs ask of their sources; None where the run lets none ask.
    """

    source: FaceBatch
    target: FaceBatch
    truth: Float[Array, "b r r 3"]
    same_identity: Bool[Array, " b"]
    whole_source: Float[Array, "b h h 3"]
    whole_target: Float[Array, "b h h 3"]
    witness: Float[Array, "b r r 3"] | None
    true_swap: Float[Array, "b r r 3"] | None
    keeps_background: Bool[Array, " b"]
    control: AttributeControl | None


@flax.struct.dataclass
class Encoded:
    """What the encoder says of both faces and of the generated one, and who the source is.

    Attributes:
        source: of the faces that give the identity.
        target: of the faces that give everything else.
        generated: of the generated faces.
        identity: unit identity embeddings of the sources.
    """

    source: FaceEncoding
    target: FaceEncoding
    generated: FaceEncoding
    identity: Float[Array, "b e"]


@flax.struct.dataclass
class Drawn:
    """What the generator drew, and from what.

    Attributes:
        image: the generated faces, blended into the targets.
        generated: the generated faces.
        mask: share of the generated face in every pixel of the blend.
        codes: the swapped codes.
        gates: which code came from which face.
        reconstructed: what the generator draws from the sources' own codes.
    """

    image: Float[Array, "b h w 3"]
    generated: Float[Array, "b h w 3"]
    mask: Float[Array, "b h w 1"]
    codes: LatentCodes
    gates: SwapGates
    reconstructed: Float[Array, "b h w 3"] | None


@flax.struct.dataclass
class Wanted:
    """What should be read from the swaps and from the encodings; knows no trained network.

    Attributes:
        embedding: unit identity embedding of the source's person.
        person: factors that the identity net reads from a picture of that person.
        attributes: factors as from the target, but for what pairs ask of their sources.
        source_labels: what the source's pixels show.
        target_labels: what the target's pixels show.
        pose_degrees: yaw, pitch, roll of the target, or of the source where a pair asks for that.
        parts: eyes, brows, nose and lips of the target.
        keeps: pairs that take all but identity from the target.
    """

    embedding: Float[Array, "b e"]
    person: FaceFactors | None
    attributes: FaceFactors | None
    source_labels: ParsingLabels | None
    target_labels: ParsingLabels | None
    pose_degrees: Float[Array, "b 3"] | None
    parts: FaceParts | None
    keeps: Bool[Array, " b"]


@flax.struct.dataclass
class Read:
    """What the frozen loss networks read from what was drawn.

    Attributes:
        embedding: unit identity embedding of the generated face.
        factors: factors of the generated face.
        distance: perceptual distance of generated face and target.
        self_distance: perceptual distance of reconstruction and source.
        true_distance: perceptual distance of generated face and true swap.
        blended_embedding: unit identity embedding of the swap.
        blended_distance: perceptual distance of swap and target.
        pose_degrees: yaw, pitch, roll of the generated face.
        parts: eyes, brows, nose and lips of the generated face.
    """

    embedding: Float[Array, "b e"] | None
    factors: FaceFactors | None
    distance: Float[Array, " b"] | None
    self_distance: Float[Array, " b"] | None
    true_distance: Float[Array, " b"] | None
    blended_embedding: Float[Array, "b e"] | None
    blended_distance: Float[Array, " b"] | None
    pose_degrees: Float[Array, "b 3"] | None
    parts: FaceParts | None


@flax.struct.dataclass
class Constants:
    """What is the same for all pairs.

    Attributes:
        face_classes: parsing classes that a swap replaces.
        w_avg: centre of the generator's W space.
        budget: share of codes that should come from the source.
    """

    face_classes: Int[Array, " n"]
    w_avg: Float[Array, " d"]
    budget: Scalar


@flax.struct.dataclass
class SwapForward:
    """All that the losses of a step can read.

    Attributes:
        pairs: the batch.
        encoded: of the encoder.
        drawn: of the generator.
        wanted: what the losses compare with.
        read: of the loss networks.
        probe_factors: the target's known factors, as the probe reads them from its codes.
        fake_logits: the discriminator's logits of the generated faces.
        constants: the same for all pairs.
    """

    pairs: SwapPairs
    encoded: Encoded
    drawn: Drawn
    wanted: Wanted
    read: Read
    probe_factors: Float[Array, "b f"] | None
    fake_logits: Float[Array, "b 1"] | None
    constants: Constants
