"""What a selection of codes sees, and what may be asked of it."""

import functools
from collections.abc import Mapping

import flax.struct
import jax
from jaxtyping import Array, Float, Int, Key

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
        part: of ``parts``, where a batch is looked at in parts: rows ``part``, ``part + parts`` and
            so on have the noise that they would have in the whole batch.
        parts: how many there are.
    """

    temperature: Float[Array, ""]
    key: Key[Array, ""]
    part: Int[Array, ""] | int = 0
    parts: int = flax.struct.field(pytree_node=False, default=1)

    def uniform(self, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Draws between 0 and 1, away from both; the first axis of ``shape`` counts rows."""
        draw = functools.partial(jax.random.uniform, self.key, minval=1e-4, maxval=1.0 - 1e-4)
        if self.parts == 1:
            return draw(shape)
        # A row's noise is that of its place in the whole batch.
        rows = draw((shape[0] * self.parts, *shape[1:])).reshape(shape[0], self.parts, *shape[1:])
        return jax.lax.dynamic_index_in_dim(rows, self.part, axis=1, keepdims=False)


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
