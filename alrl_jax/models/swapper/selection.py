"""Swapping latent codes: the adaptive module, and the fixed selections of earlier work.

Codes are split into channel groups. A gate of 1 takes a group of a layer from the source, 0 leaves
the target's. ``AdaptiveSwap`` decides per pair: learned attribute queries attend to the codes of
both faces and vote on the codes they own. The other ``SELECTORS`` decide once and for all; a model
that is trained with one of them has a ``FixedSwap``. ``transfers.py`` has those that learn to move
codes instead.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from alrl_jax.types import LatentCodes, SwapGates

LEARNED, FROM_TARGET, FROM_SOURCE = -1, 0, 1
"""Who decides over an attribute group: the module, or the caller."""

GATE_MODES = ("hard", "soft", "pair_independent")
"""How ``AdaptiveSwap`` decides."""


class AdaptiveSwap(nn.Module):
    """Learns which latent codes to take from which face.

    Attributes:
        attribute_groups: names of the attribute queries, ``identity`` and ``pose`` among them.
        channel_groups: groups that the channels of a code are split into.
        width: width of tokens and queries.
        gate_mode: ``hard`` (discrete), ``soft`` (sigmoid) or ``pair_independent`` (discrete, but
            the same for every pair).
        pose_transfer: whether the target's pose code is refined for the source as well.
        context: width of what the transfers see of all codes of both faces; 0: nothing.
    """

    attribute_groups: tuple[str, ...]
    channel_groups: int
    width: int
    gate_mode: str = "hard"
    pose_transfer: bool = False
    context: int = 0

    @nn.compact
    def __call__(
        self,
        source: LatentCodes,
        target: LatentCodes,
        identity: Float[Array, "b e"],
        overrides: Int[Array, " k"],
        temperature: Float[Array, ""] | None = None,
        noise_key: Key[Array, ""] | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swaps the codes of pairs of faces.

        Args:
            source: codes of the faces that give the identity.
            target: codes of the faces that give everything else.
            identity: unit identity embeddings of the sources.
            overrides: for every attribute group ``LEARNED``, ``FROM_TARGET`` or ``FROM_SOURCE``.
            temperature: of the relaxed gates; needed with ``noise_key``.
            noise_key: draws the logistic noise of training; None decides without noise.

        Returns:
            The swapped codes, and the gates that made them.
        """
        batch, layers, _ = target.attributes.shape
        shape = (layers + 1, self.channel_groups)
        tokens = self._tokens(source, target)
        logits, owners = self._votes(tokens, identity)
        gates = self._gates(logits, temperature, noise_key)
        owner = jnp.argmax(owners, axis=-1)
        forced = jnp.take(overrides, owner)
        gates = jnp.where(forced[None] == LEARNED, gates, forced[None].astype(gates.dtype))
        gates = gates.reshape(batch, *shape)
        who, pose = (self.attribute_groups.index(name) for name in ("identity", "pose"))
        pose_gates = jnp.where(
            overrides[pose] == LEARNED, gates[:, 0], overrides[pose].astype(gates.dtype)
        )
        known = identity
        if self.context:
            context = self._context(source, target, identity, overrides)
            known = jnp.concatenate([identity, context], axis=-1)
        refined = self._transfer(source.attributes, target.attributes, known)
        # What a caller wants of the source beside the identity must not be made the target's.
        as_it_is = ((forced == FROM_SOURCE) & (owner != who)).reshape(shape)[None, 1:]
        as_it_is = jnp.repeat(as_it_is, refined.shape[-1] // self.channel_groups, axis=-1)
        refined = jnp.where(as_it_is, source.attributes, refined)
        posed = target.pose
        if self.pose_transfer:
            moved = self._transfer_pose(source.pose, target.pose, known)
            posed += jnp.where(overrides[who] != FROM_TARGET, moved, 0.0)
        codes = LatentCodes(
            pose=_select(pose_gates[:, None, None], source.pose, posed),
            attributes=_select(gates[:, 1:], refined, target.attributes),
        )
        return codes, SwapGates(
            pose=pose_gates,
            attributes=gates[:, 1:],
            probabilities=jax.nn.sigmoid(logits).reshape(batch, *shape)[:, 1:],
            owners=owners.reshape(*shape, -1)[1:],
        )

    def _tokens(self, source: LatentCodes, target: LatentCodes) -> Float[Array, "b t {self.width}"]:
        """One token for every channel group of the pose code and of every layer."""
        both = jnp.stack([source.attributes, target.attributes], axis=2)
        batch, layers, _, width = both.shape
        group = width // self.channel_groups
        parts = both.reshape(batch, layers, 2, self.channel_groups, group)
        parts = parts.transpose(0, 1, 3, 2, 4).reshape(
            batch, layers * self.channel_groups, 2 * group
        )
        tokens = nn.Dense(self.width, name="code_tokens")(parts)
        pose = jnp.concatenate([source.pose, target.pose], axis=-1).reshape(batch, -1)
        pose_tokens = nn.Dense(self.channel_groups * self.width, name="pose_tokens")(pose)
        pose_tokens = pose_tokens.reshape(batch, self.channel_groups, self.width)
        tokens = jnp.concatenate([pose_tokens, tokens], axis=1)
        places = self.param(
            "places", nn.initializers.normal(0.5), (tokens.shape[1], self.width), jnp.float32
        )
        return nn.LayerNorm(name="token_norm")(tokens + places[None])

    def _votes(
        self, tokens: Float[Array, "b t w"], identity: Float[Array, "b e"]
    ) -> tuple[Float[Array, "b t"], Float[Array, "t k"]]:
        """Gate logits, and every query's share in each token."""
        num_tokens, num_queries = tokens.shape[1], len(self.attribute_groups)
        queries = self.param(
            "queries", nn.initializers.normal(0.5), (num_queries, self.width), jnp.float32
        )
        asked = queries[None] + nn.Dense(self.width, name="identity_query")(identity)[:, None]
        scores = jnp.einsum("bkw,btw->bkt", asked, nn.Dense(self.width, name="keys")(tokens))
        attention = jax.nn.softmax(scores / jnp.sqrt(float(self.width)), axis=-1)
        seen = jnp.einsum("bkt,btw->bkw", attention, nn.Dense(self.width, name="values")(tokens))
        opinion = nn.Dense(self.width, name="opinion")(nn.silu(seen + asked))
        votes = jnp.einsum("bkw,btw->btk", opinion, tokens) / jnp.sqrt(float(self.width))
        owners = jax.nn.softmax(
            self.param(
                "owners", nn.initializers.normal(1.0), (num_tokens, num_queries), jnp.float32
            )
        )
        bias = self.param("bias", _initial_bias(self.channel_groups), (num_tokens,), jnp.float32)
        if self.gate_mode == "pair_independent":
            votes = jnp.zeros_like(votes)
        return bias[None] + jnp.sum(votes * owners[None], axis=-1), owners

    def _gates(
        self,
        logits: Float[Array, "b t"],
        temperature: Float[Array, ""] | None,
        noise_key: Key[Array, ""] | None,
    ) -> Float[Array, "b t"]:
        """Binary concrete gates, straight through; without noise, the sign decides."""
        if noise_key is not None and temperature is not None:
            uniform = jax.random.uniform(noise_key, logits.shape, minval=1e-4, maxval=1.0 - 1e-4)
            logits = (logits + jnp.log(uniform) - jnp.log1p(-uniform)) / temperature
        soft = jax.nn.sigmoid(logits)
        if self.gate_mode == "soft":
            return soft
        hard = (logits > 0).astype(soft.dtype)
        return soft + jax.lax.stop_gradient(hard - soft)

    def _context(
        self,
        source: LatentCodes,
        target: LatentCodes,
        identity: Float[Array, "b e"],
        overrides: Int[Array, " k"],
    ) -> Float[Array, "b {self.context}"]:
        """What all codes of both faces say together, and what is asked of the source.

        A layer's code tells who a face is and how it looks at once; how the target looks, so that
        it can take the place of how the source does, stands in the other codes as well.
        """
        asked = (overrides == FROM_SOURCE).astype(identity.dtype)
        asked = jnp.broadcast_to(asked, (identity.shape[0], overrides.shape[0]))
        parts = [source.pose, target.pose, source.attributes, target.attributes, identity, asked]
        x = jnp.concatenate([part.reshape(identity.shape[0], -1) for part in parts], axis=-1)
        x = nn.silu(nn.Dense(self.context, name="context_in")(x))
        return nn.silu(nn.Dense(self.context, name="context_out")(x))

    def _transfer(
        self,
        source: Float[Array, "b l d"],
        target: Float[Array, "b l d"],
        known: Float[Array, "b e"],
    ) -> Float[Array, "b l d"]:
        """Source codes, refined layer by layer for the target; starts as the identity function."""
        layers, width = source.shape[1:]
        hidden_width = max(self.width, self.context)
        repeated = jnp.broadcast_to(known[:, None], (*source.shape[:2], known.shape[-1]))
        inputs = jnp.concatenate([source, target, repeated], axis=-1)
        first = self.param(
            "transfer_in",
            nn.initializers.lecun_normal(batch_axis=(0,)),
            (layers, inputs.shape[-1], hidden_width),
            jnp.float32,
        )
        last = self.param(
            "transfer_out", nn.initializers.zeros, (layers, hidden_width, width), jnp.float32
        )
        hidden = nn.silu(jnp.einsum("bli,lih->blh", inputs, first))
        return source + jnp.einsum("blh,lhd->bld", hidden, last)

    def _transfer_pose(
        self,
        source: Float[Array, "b 4 4 c"],
        target: Float[Array, "b 4 4 c"],
        known: Float[Array, "b e"],
    ) -> Float[Array, "b 4 4 c"]:
        """What the target's pose code lacks to lay out the source's head; starts at 0.

        The code says where the outline of the head is, and with it how wide the face.
        """
        seen = jnp.concatenate([source, target], axis=-1).reshape(source.shape[0], -1)
        seen = jnp.concatenate([seen, known], axis=-1)
        hidden_width = max(self.width, self.context)
        hidden = nn.silu(nn.Dense(hidden_width, name="pose_transfer_in")(seen))
        moved = nn.Dense(
            target[0].size, kernel_init=nn.initializers.zeros, name="pose_transfer_out"
        )(hidden)
        return moved.reshape(target.shape)


class FactorProbe(nn.Module):
    """Reads the known factors of faces linearly from the codes that own them; training only.

    Training with this reading makes the names of the attribute groups mean what they say: a
    group's share in a code grows where the code tells the group's factors. Pose is read from the
    pose code.

    Attributes:
        attribute_groups: names of the attribute queries.
        factor_groups: for every factor, the group that it belongs to.
        channel_groups: groups that the channels of a code are split into.
    """

    attribute_groups: tuple[str, ...]
    factor_groups: tuple[str, ...]
    channel_groups: int

    @nn.compact
    def __call__(self, codes: LatentCodes, owners: Float[Array, "l #g k"]) -> Float[Array, "b f"]:
        """Predicted factors of faces with the given codes.

        Where nobody in particular owns a code (one owner in all), every factor is read from all.
        """
        batch, layers, width = codes.attributes.shape
        group = width // self.channel_groups
        parts = codes.attributes.reshape(batch, layers, self.channel_groups, group)
        belongs = [self.attribute_groups.index(name) for name in self.factor_groups]
        if owners.shape[-1] == 1:
            belongs = [0] * len(belongs)
        shares = owners[:, :, jnp.asarray(belongs, jnp.int32)]
        shares = jnp.broadcast_to(shares, (layers, self.channel_groups, len(belongs)))
        shape = (layers, self.channel_groups, group, len(belongs))
        weight = self.param("weight", nn.initializers.normal(0.02), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (len(belongs),), jnp.float32)
        read = jnp.einsum("blgc,lgf,lgcf->bf", parts, shares, weight) + bias[None]
        from_pose = nn.Dense(len(belongs), name="pose")(codes.pose.reshape(batch, -1))
        is_pose = jnp.asarray([name == "pose" for name in self.factor_groups])
        return jnp.where(is_pose[None], from_pose, read)


def _initial_bias(channel_groups: int) -> Callable[..., Array]:
    """Pose code from the target, every other code from either face by the toss of a coin."""

    def draw(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        coins = 0.5 * jax.random.rademacher(key, shape, dtype)
        return jnp.where(jnp.arange(shape[0]) < channel_groups, -2.0 * jnp.ones_like(coins), coins)

    return draw


def _select(
    gates: Float[Array, "b *n g"], source: Float[Array, "b *m d"], target: Float[Array, "b *m d"]
) -> Float[Array, "b *m d"]:
    """Takes each channel group from the face that its gate names."""
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


class FixedSwap(nn.Module):
    """A selection that was decided before training; has no weights.

    Attributes:
        attribute_groups: what a caller can ask for, ``identity`` and ``pose`` alone.
        source_weights: of the source in the pose code and in every layer, see ``SELECTORS``.
    """

    attribute_groups: tuple[str, ...]
    source_weights: tuple[float, ...]

    def __call__(
        self,
        source: LatentCodes,
        target: LatentCodes,
        identity: Float[Array, "b e"],
        overrides: Int[Array, " k"],
        temperature: Float[Array, ""] | None = None,
        noise_key: Key[Array, ""] | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swaps codes of pairs of faces; see ``AdaptiveSwap``. Only codes and overrides count."""
        source_weights = effective_weights(
            jnp.asarray(self.source_weights), overrides, self.attribute_groups
        )
        return fixed_swap(source, target, source_weights)


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
