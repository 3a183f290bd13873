"""What a selection of codes sees, and what may be asked of it."""

from collections.abc import Mapping

import flax.struct
from jaxtyping import Array, Float, Key

from alrl_jax.types import AnyArray, LatentCodes

LEARNED, FROM_TARGET, FROM_SOURCE = -1, 0, 1
"""The module decides over an attribute group, or the caller does."""


@flax.struct.dataclass
class PairCodes:
    """What a selection sees of pairs of faces.

    Attributes:
        source: codes of the faces that give the identity.
        target: codes of the faces that give everything else.
        identity: unit identity embeddings of the sources.
    """

    source: LatentCodes
    target: LatentCodes
    identity: Float[Array, "b e"]


@flax.struct.dataclass
class GateNoise:
    """Noise of the relaxed gates in training.

    Attributes:
        temperature: of the gates; they approach hard decisions as it falls to 0.
        key: draws the logistic noise.
    """

    temperature: Float[Array, ""]
    key: Key[Array, ""]


@flax.struct.dataclass
class FrozenGates:
    """Decisions that are the same for all pairs, in place of a model's own.

    Attributes:
        codes: gates of the channel groups of the pose code, then of every layer; None leaves the
            module to decide over codes.
        space: by resolution, gates of every class and distance (see ``silhouette_cells``); None
            leaves the module to decide in space.
    """

    codes: Float[AnyArray, "l g"] | None = None
    space: Mapping[int, Float[AnyArray, "c s n"]] | None = None
