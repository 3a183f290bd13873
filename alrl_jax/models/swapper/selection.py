"""Swapping latent codes: the adaptive module, and the fixed selections of earlier work.

Codes are split into channel groups. A gate of 1 takes a group of a layer from the source, 0 leaves
the target's. ``AdaptiveSwap`` decides per pair: learned attribute queries attend to the codes of
both faces and vote on the codes they own. The other ``SELECTORS`` decide once and for all; a model
that is trained with one of them has a ``FixedSwap``. ``transfers.py`` has those that learn to move
codes instead.
"""

import itertools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from alrl_jax.models.swapper.pair_codes import (
    FROM_SOURCE,
    FROM_TARGET,
    LEARNED,
    FrozenGates,
    GateNoise,
    PairCodes,
)
from alrl_jax.models.swapper.refinement import (
    hidden_units,
    normalise,
    pair_context,
    refine_pose,
    refine_source,
)
from alrl_jax.types import LatentCodes, SwapGates

GATE_MODES = ("hard", "soft", "pair_independent", "fixed")
"""How ``AdaptiveSwap`` decides."""

GATE_TABLES = ("owners", "bias", "queries", "places", "learned_faces")
"""Parameters of ``AdaptiveSwap`` that are no matrices, and move the gates."""

VOTE_MODULES = (
    "code_tokens",
    "pose_tokens",
    "token_norm",
    "identity_query",
    "keys",
    "values",
    "opinion_norm",
    "opinion",
)
"""Its modules that move the gates as well."""


class Selector(nn.Module):
    """What every selection of codes offers: ``AdaptiveSwap``, ``FixedSwap``, ``LearnedTransfer``.

    Attributes:
        attribute_groups: names of what a caller can take from either face, ``identity`` and
            ``pose`` among them.
    """

    attribute_groups: tuple[str, ...]

    def __call__(
        self,
        faces: PairCodes,
        overrides: Int[Array, " k"],
        noise: GateNoise | None = None,
        frozen: FrozenGates | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swaps the codes of pairs of faces.

        Args:
            faces: codes and identities.
            overrides: for every attribute group ``LEARNED``, ``FROM_TARGET`` or ``FROM_SOURCE``.
            noise: of training; None decides without noise.
            frozen: decisions that are the same for all pairs. Only the adaptive module has gates
                that noise can move, and that can be frozen.

        Returns:
            The swapped codes, and the gates that made them.
        """
        raise NotImplementedError


class AdaptiveSwap(Selector):
    """Learns which latent codes to take from which face.

    Attributes:
        attribute_groups: see ``Selector``; each has a query of its own.
        channel_groups: groups that the channels of a code are split into.
        width: width of tokens and queries.
        gate_mode: ``hard`` (discrete), ``soft`` (sigmoid), ``pair_independent`` (discrete, learned
            by the same votes, which see ``learned_faces`` in place of the pair) or ``fixed``
            (``source_weights``).
        pose_transfer: whether the target's pose code is refined for the source as well.
        context: width of what the transfers see of all codes of both faces; 0: nothing.
        normalised: whether inputs of wide layers are normalised.
        owner_deviation: of the logits of a fresh ownership. The smaller, the less of it is chance.
        source_weights: of ``fixed``: of the source in the pose code and in every layer.
    """

    channel_groups: int
    width: int
    gate_mode: str = "hard"
    pose_transfer: bool = False
    context: int = 0
    normalised: bool = False
    owner_deviation: float = 1.0
    source_weights: tuple[float, ...] = ()

    @nn.compact
    def __call__(
        self,
        faces: PairCodes,
        overrides: Int[Array, " k"],
        noise: GateNoise | None = None,
        frozen: FrozenGates | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swaps the codes of pairs of faces; see ``Selector``."""
        source, target = faces.source, faces.target
        batch, layers, _ = target.attributes.shape
        shape = (layers + 1, self.channel_groups)
        logits, owners = self._logits(faces)
        gates, probabilities = self._gates(logits, noise), jax.nn.sigmoid(logits)
        if self.gate_mode == "fixed":
            weights = jnp.repeat(jnp.asarray(self.source_weights), self.channel_groups)
            gates = probabilities = jnp.broadcast_to(weights, gates.shape)
        if frozen is not None and frozen.codes is not None:
            gates = jnp.broadcast_to(frozen.codes.reshape(-1), gates.shape)
        # The query with the largest share owns a code outright where a caller overrides: a gate
        # that obeyed each group by its share would be neither face's.
        owner = jnp.argmax(owners, axis=-1)
        forced = jnp.take(overrides, owner)
        gates = jnp.where(forced[None] == LEARNED, gates, forced[None].astype(gates.dtype))
        gates = gates.reshape(batch, *shape)
        identity, pose = (self.attribute_groups.index(name) for name in ("identity", "pose"))
        # The pose code obeys ``pose`` alone, whichever query owns its channel groups.
        pose_gates = jnp.where(
            overrides[pose] == LEARNED, gates[:, 0], overrides[pose].astype(gates.dtype)
        )
        refined, posed = self._refined(faces, overrides)
        # What a caller wants of the source beside the identity must not be made the target's.
        as_it_is = ((forced == FROM_SOURCE) & (owner != identity)).reshape(shape)[None, 1:]
        as_it_is = jnp.repeat(as_it_is, refined.shape[-1] // self.channel_groups, axis=-1)
        refined = jnp.where(as_it_is, source.attributes, refined)
        codes = LatentCodes(
            pose=_select(pose_gates[:, None, None], source.pose, posed),
            attributes=_select(gates[:, 1:], refined, target.attributes),
        )
        return codes, SwapGates(
            pose=pose_gates,
            attributes=gates[:, 1:],
            # Of the votes alone: the losses of gates see neither noise nor overrides.
            probabilities=probabilities.reshape(batch, *shape)[:, 1:],
            owners=owners.reshape(*shape, -1)[1:],
        )

    def _refined(
        self, faces: PairCodes, overrides: Int[Array, " k"]
    ) -> tuple[Float[Array, "b l d"], Float[Array, "b 4 4 c"]]:
        """W+ codes of the source and the pose code of the target, refined for the other face."""
        source, target, known = faces.source, faces.target, faces.identity
        if self.context:
            context = pair_context(self, faces, overrides, self.context, self.normalised)
            known = jnp.concatenate([known, context], axis=-1)
        width = max(self.width, self.context)
        refined = refine_source(
            self, source.attributes, target.attributes, known, width, self.normalised
        )
        if not self.pose_transfer:
            return refined, target.pose
        moved = refine_pose(self, faces, known, width, self.normalised)
        # A caller who keeps the target's identity keeps the outline of its head as well.
        keeps = overrides[self.attribute_groups.index("identity")] == FROM_TARGET
        return refined, target.pose + jnp.where(keeps, 0.0, moved)

    def _tokens(self, source: LatentCodes, target: LatentCodes) -> Float[Array, "b t {self.width}"]:
        """One token for every channel group of the pose code and of every layer."""
        codes = [normalise(x.attributes, self.normalised) for x in (source, target)]
        both = jnp.stack(codes, axis=2)
        batch, layers, _, width = both.shape
        group = width // self.channel_groups
        parts = both.reshape(batch, layers, 2, self.channel_groups, group)
        parts = parts.transpose(0, 1, 3, 2, 4).reshape(
            batch, layers * self.channel_groups, 2 * group
        )
        tokens = nn.Dense(self.width, name="code_tokens")(parts)
        flat = [normalise(x.pose.reshape(batch, -1), self.normalised) for x in (source, target)]
        poses = [x.reshape(source.pose.shape) for x in flat]
        pose = jnp.concatenate(poses, axis=-1).reshape(batch, -1)
        pose_tokens = nn.Dense(self.channel_groups * self.width, name="pose_tokens")(pose)
        pose_tokens = pose_tokens.reshape(batch, self.channel_groups, self.width)
        tokens = jnp.concatenate([pose_tokens, tokens], axis=1)
        # The tokens of an attention have no order: each learns its layer and group here.
        places = self.param(
            "places", nn.initializers.normal(0.5), (tokens.shape[1], self.width), jnp.float32
        )
        return nn.LayerNorm(name="token_norm")(tokens + places[None])

    def _logits(self, faces: PairCodes) -> tuple[Float[Array, "b t"], Float[Array, "t k"]]:
        """Logits of the gates, and every query's share in each token."""
        batch, layers, _ = faces.target.attributes.shape
        num_tokens = (layers + 1) * self.channel_groups
        # What a query owns is learned and the same for all pairs; only votes depend on the pair.
        start = nn.initializers.normal(self.owner_deviation)
        shape = (num_tokens, len(self.attribute_groups))
        owners = jax.nn.softmax(self.param("owners", start, shape, jnp.float32))
        bias = self.param("bias", _initial_bias(self.channel_groups), (num_tokens,), jnp.float32)
        logits = jnp.broadcast_to(bias[None], (batch, num_tokens))
        if self.gate_mode != "fixed":
            seen = self._learned_faces(faces) if self.gate_mode == "pair_independent" else faces
            votes = self._votes(self._tokens(seen.source, seen.target), seen.identity)
            logits += jnp.sum(votes * owners[None], axis=-1)
        return logits, owners

    def _learned_faces(self, faces: PairCodes) -> PairCodes:
        """One pair that is learned, of the shape and scale of normalised ones.

        Votes on it can travel as far and as fast as votes on pairs. A bias of every gate alone
        could not: its constant gates would lose for want of movement.
        """
        leaves, structure = jax.tree.flatten(faces)
        shapes = [(1, *leaf.shape[1:]) for leaf in leaves]
        ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
        start = nn.initializers.normal(1.0)
        values = self.param("learned_faces", start, (ends[-1],), jnp.float32)
        parts = zip(jnp.split(values, ends[:-1]), shapes, strict=True)
        pair = jax.tree.unflatten(structure, [part.reshape(shape) for part, shape in parts])
        unit = pair.identity / jnp.linalg.norm(pair.identity, axis=-1, keepdims=True)
        return pair.replace(identity=unit)

    def _votes(
        self, tokens: Float[Array, "b t w"], identity: Float[Array, "b e"]
    ) -> Float[Array, "b t k"]:
        """What every query thinks of each token."""
        queries = self.param(
            "queries",
            nn.initializers.normal(0.5),
            (len(self.attribute_groups), self.width),
            jnp.float32,
        )
        asked = queries[None] + nn.Dense(self.width, name="identity_query")(identity)[:, None]
        scores = jnp.einsum("bkw,btw->bkt", asked, nn.Dense(self.width, name="keys")(tokens))
        # Divided by the root of the width, as in any attention: products of more terms would
        # saturate the softmax.
        attention = jax.nn.softmax(scores / jnp.sqrt(float(self.width)), axis=-1)
        seen = jnp.einsum("bkt,btw->bkw", attention, nn.Dense(self.width, name="values")(tokens))
        thought = hidden_units(self, seen + asked, "opinion", self.normalised)
        opinion = nn.Dense(self.width, name="opinion")(thought)
        return jnp.einsum("bkw,btw->btk", opinion, tokens) / jnp.sqrt(float(self.width))

    def _gates(self, logits: Float[Array, "b t"], noise: GateNoise | None) -> Float[Array, "b t"]:
        """Binary concrete gates (Maddison et al. 2017), straight through; without noise, the sign
        decides."""
        if noise is not None:
            # Away from 0 and 1, where the logarithms would be infinite.
            uniform = noise.uniform(logits.shape)
            # log u - log(1 - u) is logistic noise: the sum's sign is a draw of the Bernoulli
            # variable whose logit the gate is, and the sigmoid a relaxation of that draw.
            logits = (logits + jnp.log(uniform) - jnp.log1p(-uniform)) / noise.temperature
        soft = jax.nn.sigmoid(logits)
        if self.gate_mode == "soft":
            return soft
        hard = (logits > 0).astype(soft.dtype)
        # Straight through: the value is the hard gate's, the gradient the soft one's.
        return soft + jax.lax.stop_gradient(hard - soft)


def _initial_bias(channel_groups: int) -> Callable[..., Array]:
    """Pose code from the target, every other code from either face by the toss of a coin."""

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        # Half a logit either way: decided without noise, yet open to both faces with it, so that
        # training sees every code from both.
        coins = 0.5 * jax.random.rademacher(key, shape, dtype)
        return jnp.where(jnp.arange(shape[0]) < channel_groups, -2.0 * jnp.ones_like(coins), coins)

    return draw


def _select(
    gates: Float[Array, "b *n g"], source: Float[Array, "b *m d"], target: Float[Array, "b *m d"]
) -> Float[Array, "b *m d"]:
    """Takes each channel group from the face that its gate names."""
    # A sum instead of a choice, so that the gradient of a gate is the difference of the faces.
    wide = jnp.repeat(gates, target.shape[-1] // gates.shape[-1], axis=-1)
    return target + wide * (source - target)


def _from_source(first: int, last: int | None) -> Callable[[int], list[float]]:
    """Selection of a run of layers, counted from the coarsest code; the pose code is the target's.

    W+ starts at 4x4 whatever the resolution, so an index names the same feature resolution in
    every generator: 0 is 4x4; 1, 2 are 8x8; 3, 4 are 16x16, and so on.
    """
    end = last if last is not None else 10**6
    return lambda layers: [0.0, *(float(first <= i < end) for i in range(layers))]


BEST_FIXED = "best_fixed"
"""Name of the fixed selection that is no rule: its weights were searched for one model."""

SELECTORS: dict[str, Callable[[int], list[float]] | None] = {
    "adaptive": None,
    "all_target": _from_source(0, 0),
    "all_source": lambda layers: [1.0] * (layers + 1),
    "mean": lambda layers: [0.0] + [0.5] * layers,
    "lcr4": _from_source(4, None),
    "fslsd7": _from_source(0, 7),
    "psp_middle": _from_source(3, 7),
}
"""Rules that select codes; a fixed one gives, for a number of layers, the share of the source: in
the pose code first, then in every W+ layer. ``adaptive`` is the learned module's.

``lcr4``: selection rule after MegaFS (LCR), our implementation. ``fslsd7``: after FSLSD, without
its landmark residual, our implementation. ``psp_middle``: after pSp's layer grouping, our
implementation. ``mean`` averages; ``all_target`` and ``all_source`` are bounds.
"""


class FixedSwap(Selector):
    """A selection that was decided before training; has no weights.

    Attributes:
        attribute_groups: see ``Selector``; ``identity`` and ``pose`` alone.
        source_weights: of the source in the pose code and in every layer, see ``SELECTORS``.
    """

    source_weights: tuple[float, ...]

    def __call__(
        self,
        faces: PairCodes,
        overrides: Int[Array, " k"],
        noise: GateNoise | None = None,
        frozen: FrozenGates | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swaps codes of pairs of faces; see ``Selector``. Only codes and overrides count."""
        weights = effective_weights(
            jnp.asarray(self.source_weights), overrides, self.attribute_groups
        )
        return fixed_swap(faces.source, faces.target, weights)


def effective_weights(
    source_weights: Float[Array, " n"],
    overrides: Int[Array, " k"],
    attribute_groups: tuple[str, ...],
) -> Float[Array, " n"]:
    """Fixed weights as a caller wants them.

    Nothing comes from the source where the identity shall be the target's, and all of the pose
    code where the pose shall be the source's. No other attribute group can be asked for: a fixed
    rule does not know which codes make it.

    Args:
        source_weights: of the source in the pose code and in every layer.
        overrides: for every attribute group ``LEARNED``, ``FROM_TARGET`` or ``FROM_SOURCE``.
        attribute_groups: their names.
    """
    untouched = overrides[attribute_groups.index("identity")] == FROM_TARGET
    turned = overrides[attribute_groups.index("pose")] == FROM_SOURCE
    # Identity first: a caller can keep the target's and still turn the head to the source's pose.
    source_weights = jnp.where(untouched, 0.0, source_weights)
    return source_weights.at[0].set(jnp.where(turned, 1.0, source_weights[0]))


def fixed_swap(
    source: LatentCodes, target: LatentCodes, source_weights: Float[Array, " n"]
) -> tuple[LatentCodes, SwapGates]:
    """Swaps codes the same way for every pair; gates have one channel group.

    Args:
        source: codes of the faces that give the identity.
        target: codes of the faces that give everything else.
        source_weights: of the source in the pose code and in every layer, see ``SELECTORS``.
    """
    batch, layers, _ = target.attributes.shape
    pose_gates = jnp.broadcast_to(source_weights[:1], (batch, 1))
    gates = jnp.broadcast_to(source_weights[None, 1:, None], (batch, layers, 1))
    codes = LatentCodes(
        pose=_select(pose_gates[:, None, None], source.pose, target.pose),
        attributes=_select(gates, source.attributes, target.attributes),
    )
    owners = jnp.ones((layers, 1, 1))
    return codes, SwapGates(pose=pose_gates, attributes=gates, probabilities=gates, owners=owners)
