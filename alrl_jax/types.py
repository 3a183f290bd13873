"""The structs that pass between the parts of the package, with their shapes.

Axis letters: ``b`` batch, ``h w`` pixels, ``l`` W+ layers (2*log2(resolution) - 2), ``d`` width of
a W+ code, ``c`` channels of the pose code, ``g`` channel groups of a code, ``k`` attribute groups.
Images are NHWC float32 in [-1, 1]; masks lie in [0, 1].
"""

from typing import Any

import flax.struct
from jaxtyping import Array, Bool, Float, Int

AnyArray = Any
"""An array of JAX or of NumPy: shape and dtype are what counts."""

UNLABELLED = 255
"""Parsing label of a pixel whose class is unknown."""


@flax.struct.dataclass
class FaceBatch:
    """Faces and their labels.

    Attributes:
        image: pixels in [-1, 1].
        parsing: CelebAMask-HQ class of every pixel, ``UNLABELLED`` where unknown.
        identity: number of the person; equal numbers are the same person.
        identity_factors: standardised factors that make the person (no columns where the data have
            none, NaN where a face's are unknown).
        attribute_factors: standardised factors of pose, expression, light and so on.
        pose_degrees: yaw, pitch, roll; NaN where a labelled face's are unknown.
        landmarks: x, y in pixels.
        labelled: whether the parsing, factors, pose and landmarks of this face are known, so far as
            the data set has them.
    """

    image: Float[AnyArray, "b h w 3"]
    parsing: Int[AnyArray, "b h w"]
    identity: Int[AnyArray, " b"]
    identity_factors: Float[AnyArray, "b i"]
    attribute_factors: Float[AnyArray, "b a"]
    pose_degrees: Float[AnyArray, "b 3"]
    landmarks: Float[AnyArray, "b m 2"]
    labelled: Bool[AnyArray, " b"]


@flax.struct.dataclass
class ParsingLabels:
    """Classes of the pixels of faces, from a data set or a frozen parser.

    Attributes:
        classes: CelebAMask-HQ class of every pixel, ``UNLABELLED`` where unknown.
        known: whether the classes of a face are known.
    """

    classes: Int[AnyArray, "b h w"]
    known: Bool[AnyArray, " b"]


@flax.struct.dataclass
class PairBatch:
    """Source and target faces of a swap.

    Attributes:
        source: faces that give the identity.
        target: faces that give everything else.
        same_identity: where both show one person.
        truth: the true swap, which only the stated ceiling may learn from; else None.
        witness: another image of the source's person, where the data are asked for one: the target
            of a pair of one person. The source itself where there is no other.
    """

    source: FaceBatch
    target: FaceBatch
    same_identity: Bool[AnyArray, " b"]
    truth: Float[AnyArray, "b h w 3"] | None = None
    witness: Float[AnyArray, "b h w 3"] | None = None


@flax.struct.dataclass
class LatentCodes:
    """The codes of a face in the two spaces.

    Attributes:
        pose: spatial code that is added to StyleGAN2's constant input.
        attributes: W+ codes, one a layer.
    """

    pose: Float[Array, "b 4 4 c"]
    attributes: Float[Array, "b l d"]


@flax.struct.dataclass
class SwapGates:
    """Which codes come from the source (1) and which from the target (0).

    Of a learned transfer, which selects nothing: how far each code has moved to the source's.

    Attributes:
        pose: gates of the channel groups of the pose code.
        attributes: gates of the channel groups of every W+ layer.
        probabilities: of taking a group from the source, before the decision.
        owners: share of every attribute group in the decision over a code; a single column where
            nothing is decided by group.
        space: by resolution, how much of the target's features every pixel keeps (1: all); empty
            where the generator takes none.
    """

    pose: Float[Array, "b g"]
    attributes: Float[Array, "b l g"]
    probabilities: Float[Array, "b l g"]
    owners: Float[Array, "l g k"]
    space: dict[int, Float[Array, "b r r n"]] = flax.struct.field(default_factory=dict)


@flax.struct.dataclass
class SwapOutput:
    """A swapped face and its parts.

    Attributes:
        image: the generated face blended into the target.
        generated: the output of the generator.
        mask: share of the generated face in every pixel.
        gates: which code came from which face.
        codes: the swapped codes.
    """

    image: Float[Array, "b h w 3"]
    generated: Float[Array, "b h w 3"]
    mask: Float[Array, "b h w 1"]
    gates: SwapGates
    codes: LatentCodes
