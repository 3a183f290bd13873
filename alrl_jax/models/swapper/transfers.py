"""Learned transfers of earlier work: they move the target's codes instead of selecting.

Both see the codes of both faces and start from the target's pose code. In a comparison they see
what ``adaptive`` sees as well: the source's identity, the context of all codes, and its refinement
of the pose code (``context``, ``pose_transfer``). Neither decides by attribute: a caller can ask
for the pose of either face and for the whole target, and for no attribute group. What they report
as gates is how far a code has moved, see ``moved_share``.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alrl_jax.models.swapper.pair_codes import (
    FROM_SOURCE,
    FROM_TARGET,
    FrozenGates,
    GateNoise,
    PairCodes,
)
from alrl_jax.models.swapper.refinement import (
    hidden_units,
    normalise,
    pair_context,
    refine_pose,
)
from alrl_jax.models.swapper.selection import Selector
from alrl_jax.types import LatentCodes, SwapGates

COARSE_LAYERS = 4
"""Layers that ``ftm4`` leaves alone: 4x4, 8x8 and the first of 16x16."""
NUM_CELLS = 3
KEEP_BIAS = 3.0
"""A fresh cell of ``ftm4`` keeps sigmoid(3) = 0.95 of a code."""
HIDDEN_LAYERS = 4

Codes = Float[Array, "b l d"]


class LearnedTransfer(Selector):
    """What the transfers have in common: the shape of a selection.

    Attributes:
        attribute_groups: see ``Selector``; ``identity`` and ``pose`` alone.
        channel_groups: groups of channels whose movement is reported.
        width: of hidden layers.
        pose_transfer: see ``AdaptiveSwap``; needs ``context``.
        context: see ``AdaptiveSwap``; with 0 a transfer sees a layer's two codes alone.
    """

    channel_groups: int
    width: int
    pose_transfer: bool = False
    context: int = 0

    @property
    def normalised(self) -> bool:
        """Whether inputs of wide layers are normalised: of all that see more than two codes."""
        return self.context > 0

    def move(self, source: Codes, target: Codes, known: Float[Array, "b l e"]) -> Codes:
        """The target's codes, moved towards the source; ``known`` is of the pair as a whole."""
        raise NotImplementedError

    @nn.compact
    def __call__(
        self,
        faces: PairCodes,
        overrides: Int[Array, " k"],
        noise: GateNoise | None = None,
        frozen: FrozenGates | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swaps the codes of pairs of faces; see ``Selector``; nothing here is noisy or frozen."""
        source, target = faces.source, faces.target
        known, posed = faces.identity[:, :0], target.pose
        if self.context:
            context = pair_context(self, faces, overrides, self.context, normalised=True)
            known = normalise(jnp.concatenate([faces.identity, context], axis=-1))
        if self.pose_transfer:
            posed += refine_pose(self, faces, known, max(self.width, self.context), normalised=True)
        repeated = jnp.broadcast_to(known[:, None], (*target.attributes.shape[:2], known.shape[-1]))
        moved = self.move(source.attributes, target.attributes, repeated)
        # A transfer decides nothing by group: the whole target, or the source's pose, is all that a
        # caller can have.
        untouched = overrides[self.attribute_groups.index("identity")] == FROM_TARGET
        moved = jnp.where(untouched, target.attributes, moved)
        turned = overrides[self.attribute_groups.index("pose")] == FROM_SOURCE
        posed = jnp.where(untouched, target.pose, posed)
        codes = LatentCodes(pose=jnp.where(turned, source.pose, posed), attributes=moved)
        shares = moved_share(source.attributes, target.attributes, moved, self.channel_groups)
        gates = SwapGates(
            pose=jnp.broadcast_to(turned.astype(moved.dtype), shares[:, 0].shape),
            attributes=shares,
            probabilities=shares,
            owners=jnp.ones((*shares.shape[1:], 1)),
        )
        return codes, gates


class FaceTransfer(LearnedTransfer):
    """``ftm4``: transfer cells over all but the coarse layers. After MegaFS (FTM), our own.

    The layers of the target up to the first of 16x16 stay as they are, bit for bit. In the others,
    each of ``NUM_CELLS`` cells reads the codes of both faces, layer by layer, and gives both new
    ones: a sigmoid says what is kept of a code, a tanh by how much it is shifted. A learned share
    a layer and channel mixes the two that come out. A fresh one shifts nothing and mixes by halves.
    """

    def move(self, source: Codes, target: Codes, known: Float[Array, "b l e"]) -> Codes:
        """See the class."""
        first, second = source[:, COARSE_LAYERS:], target[:, COARSE_LAYERS:]
        for cell in range(NUM_CELLS):
            parts = [normalise(x, self.normalised) for x in (first, second)]
            both = jnp.concatenate([*parts, known[:, COARSE_LAYERS:]], axis=-1)
            width = first.shape[-1]
            name = f"cell{cell}_in"
            hidden = layerwise_dense(self, name, both, self.width)
            hidden = hidden_units(self, hidden, name, self.normalised)
            selected = layerwise_dense(self, f"cell{cell}_select", hidden, 2 * width, True)
            # Three fresh cells in a row have to pass codes on, or no gradient reaches the first.
            keep = jax.nn.sigmoid(selected + KEEP_BIAS)
            shift = jnp.tanh(layerwise_dense(self, f"cell{cell}_shift", hidden, 2 * width, True))
            first = keep[..., :width] * first + shift[..., :width]
            second = keep[..., width:] * second + shift[..., width:]
        mix = self.param("mix", nn.initializers.zeros, first.shape[1:], jnp.float32)
        share = jax.nn.sigmoid(mix)
        mixed = share * first + (1.0 - share) * second
        return jnp.concatenate([target[:, :COARSE_LAYERS], mixed], axis=1)


class LatentMixer(LearnedTransfer):
    """``mixer``: the target's codes and what a perceptron a layer adds. After LatentSwap, our own.

    Five fully connected layers with SiLU between them read both codes of a layer of W+. The last
    one starts at zero, so that a fresh one gives the target.
    """

    def move(self, source: Codes, target: Codes, known: Float[Array, "b l e"]) -> Codes:
        """See the class."""
        parts = [normalise(x, self.normalised) for x in (source, target)]
        hidden = jnp.concatenate([*parts, known], axis=-1)
        for number in range(HIDDEN_LAYERS):
            name = f"layer{number}"
            hidden = layerwise_dense(self, name, hidden, self.width)
            hidden = hidden_units(self, hidden, name, self.normalised)
        return target + layerwise_dense(self, "out", hidden, target.shape[-1], True)


TRANSFERS: dict[str, type[LearnedTransfer]] = {"ftm4": FaceTransfer, "mixer": LatentMixer}
"""Learned transfers by name: each a selector that a swapper is trained with."""


def layerwise_dense(
    module: nn.Module,
    name: str,
    x: Float[Array, "b n i"],
    width: int,
    starts_at_zero: bool = False,
) -> Float[Array, "b n o"]:
    """A fully connected layer of its own for every layer of W+.

    Args:
        module: that owns the weights.
        name: of the weights.
        x: what every layer of W+ reads.
        width: of the result.
        starts_at_zero: whether a fresh one gives 0.
    """
    start = (
        nn.initializers.zeros if starts_at_zero else nn.initializers.lecun_normal(batch_axis=(0,))
    )
    shape = (x.shape[1], x.shape[2], width)
    weight = module.param(f"{name}_weight", start, shape, jnp.float32)
    bias = module.param(f"{name}_bias", nn.initializers.zeros, (x.shape[1], width), jnp.float32)
    return jnp.einsum("bni,nio->bno", x, weight) + bias[None]


def moved_share(
    source: Codes, target: Codes, moved: Codes, channel_groups: int
) -> Float[Array, "b l g"]:
    """How far codes have moved from the target's to the source's, as a share of the way.

    The movement is projected on the way, within each group of channels, and cut to [0, 1]; 0 where
    both faces have the same code. It is there to be read: no gradient passes.

    Args:
        source: codes of the source.
        target: codes of the target.
        moved: codes of the swap.
        channel_groups: number of groups of channels.
    """
    grouped = lambda x: x.reshape(*x.shape[:2], channel_groups, -1)  # noqa: E731
    way, done = grouped(source - target), grouped(moved - target)
    length = jnp.sum(way * way, axis=-1)
    # Equal codes leave no way to go: 0 / 1 instead of 0 / 0.
    share = jnp.sum(way * done, axis=-1) / jnp.where(length > 0, length, 1.0)
    return jax.lax.stop_gradient(jnp.clip(share, 0.0, 1.0))
