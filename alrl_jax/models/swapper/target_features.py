"""Features of the target that the generator takes over, through gates in space.

The encoder's maps of the target at 1/2 and 1/4 are added, through 1x1 convolutions that start at
zero, to the generator's features of the same resolution. Gates say, pixel by pixel, how much of
them is kept: the light, the hair over a brow, glasses, what covers the face. The gates ``pair``
decide that from the pair; ``mask`` has one learned constant a channel inside the face and keeps all
outside, which is what a selection that does not look at the pair can do.
"""

from collections.abc import Sequence

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alrl_jax.models.activity import silu
from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.swapper.encoder import NUM_PARSING_CLASSES, FaceEncoding
from alrl_jax.models.swapper.pair_codes import FROM_SOURCE, FrozenGates, PairCodes
from alrl_jax.models.swapper.refinement import normalise, pair_context

NUM_DISTANCES = 8
"""Bins of the distance to the face region's edge: 4 and more, 3, 2 and 1 steps outside, and the
same inside."""
NUM_CELLS = NUM_PARSING_CLASSES * NUM_DISTANCES
"""Numbers that ``silhouette_cells`` can give."""

OUTSIDE = 4.0
"""Logit by which gates that look at the pair are more open outside the face, where those that do
not are open. Gates that begin half open everywhere shut everywhere, in the first hundred steps:
inside the face the target's features show the wrong person, and of what no gate lets through the
convolutions learn nothing."""

CONSTANT_SCALE = 5.0
"""Logit by unit of a learned constant. A constant moves by its own rate alone, and the gates that
look at the pair by all weights of a network: without the scale, constants would stay where they
start, and lose for that."""

SPACE_GATES = ("none", "pair", "mask")
"""How the target's features are gated: ``none``, the generator takes none; ``pair``, a gate for
every pixel and group of channels, decided from the pair; ``mask``, a learned constant for every
channel inside the face, and 1 outside."""


@flax.struct.dataclass
class Injection:
    """What the target gives to the generator.

    Attributes:
        maps: by resolution, what is added to the generator's features; already gated.
        gates: by resolution, how much of the target's features every pixel keeps.
    """

    maps: dict[int, Float[Array, "b r r c"]]
    gates: dict[int, Float[Array, "b r r n"]]


class TargetFeatures(nn.Module):
    """The target's features on their way into the generator.

    Attributes:
        attribute_groups: see ``Selector``.
        channels: pairs (resolution, channels of the generator's block), where features enter.
        gates: entry of ``SPACE_GATES``.
        groups: groups of channels that have a gate each, of gates that look at the pair.
        width: of the hidden layers of such gates.
    """

    attribute_groups: tuple[str, ...]
    channels: tuple[tuple[int, int], ...]
    gates: str
    groups: int = 4
    width: int = 32

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the parameters that stand for gates; none where gates look at the pair."""
        sides = (side for side, _ in self.channels) if self.gates == "mask" else ()
        return tuple(f"constant{side}" for side in sides)

    @nn.compact
    def __call__(
        self,
        faces: PairCodes,
        target: FaceEncoding,
        overrides: Int[Array, " k"],
        frozen: FrozenGates | None = None,
    ) -> Injection:
        """Features of the target, gated.

        Args:
            faces: codes and identities of the pair.
            target: what the encoder says of the target, with ``features``.
            overrides: see ``Selector``. Who takes the source's pose takes no features, as they lie
                where the target's head was.
            frozen: decisions that are the same for all pairs.
        """
        features = {x.shape[1]: x for x in target.features}
        context = None
        if self.gates == "pair":
            context = pair_context(self, faces, overrides, 2 * self.width, normalised=True)
        turned = overrides[self.attribute_groups.index("pose")] == FROM_SOURCE
        maps, gates = {}, {}
        for resolution, channels in self.channels:
            seen = features[resolution].astype(jnp.float32)
            if frozen is not None and frozen.space is not None:
                cells = silhouette_cells(target, resolution)
                table = jnp.asarray(frozen.space[resolution])
                gate = table[cells // NUM_DISTANCES, cells % NUM_DISTANCES]
            elif context is not None:
                gate = self._pair_gate(seen, target, context, resolution)
            else:
                gate = self._mask_gate(target, resolution, channels)
            gate = jnp.where(turned, 0.0, gate)
            start = nn.initializers.zeros
            passed = nn.Dense(channels, use_bias=False, kernel_init=start, name=f"map{resolution}")
            wide = jnp.repeat(gate, channels // gate.shape[-1], axis=-1)
            maps[resolution], gates[resolution] = wide * passed(normalise(seen)), gate
        return Injection(maps, gates)

    def _pair_gate(
        self,
        seen: Float[Array, "b r r c"],
        target: FaceEncoding,
        context: Float[Array, "b e"],
        resolution: int,
    ) -> Float[Array, "b r r n"]:
        """Decided from the target's features and silhouette, and from both faces as a whole."""
        where = silhouette(target, resolution)
        here = jnp.concatenate([normalise(seen), where], axis=-1)
        x = nn.Dense(self.width, name=f"gate{resolution}_here")(here)
        x += nn.Dense(self.width, name=f"gate{resolution}_pair")(context)[:, None, None]
        x = silu(self, nn.LayerNorm(name=f"gate{resolution}_norm0")(x), f"gate{resolution}_0")
        x = nn.Conv(self.width, (3, 3), padding=1, name=f"gate{resolution}_around")(x)
        x = silu(self, nn.LayerNorm(name=f"gate{resolution}_norm1")(x), f"gate{resolution}_1")
        logits = nn.Dense(self.groups, name=f"gate{resolution}")(x)
        return jax.nn.sigmoid(logits + OUTSIDE * (1.0 - where[..., :1]))

    def _mask_gate(
        self, target: FaceEncoding, resolution: int, channels: int
    ) -> Float[Array, "b r r c"]:
        start = nn.initializers.zeros
        constant = self.param(f"constant{resolution}", start, (channels,), jnp.float32)
        mask = silhouette(target, resolution)[..., :1]
        return mask * jax.nn.sigmoid(CONSTANT_SCALE * constant) + (1.0 - mask)


def injected_channels(
    generator_channels: Sequence[tuple[int, int]], encoder_side: int
) -> tuple[tuple[int, int], ...]:
    """Pairs (resolution, channels) at which the target's features enter: 1/4 and 1/2.

    Args:
        generator_channels: resolution and channels of every block.
        encoder_side: side of the images that the encoder sees.
    """
    table = dict(generator_channels)
    sides = (encoder_side // 4, encoder_side // 2)
    return tuple((side, table[side]) for side in sides if side in table)


def silhouette(face: FaceEncoding, resolution: int) -> Float[Array, "b r r 20"]:
    """Probabilities of the face region and of every parsing class, in coarse pixels."""
    region = jax.nn.sigmoid(face.region_logits)
    classes = jax.nn.softmax(face.parsing_logits, axis=-1)
    # Gates read the masks as they are: these have labels, and the blend, to learn from.
    both = jax.lax.stop_gradient(jnp.concatenate([region, classes], axis=-1))
    return resize_bilinear(both, resolution, resolution, align_corners=False)


def silhouette_cells(face: FaceEncoding, resolution: int) -> Int[Array, "b r r"]:
    """Parsing class and distance to the edge of the face region, as one number a pixel.

    Args:
        face: what the encoder says of a face.
        resolution: side of the result.

    Returns:
        ``class * NUM_DISTANCES + distance``; distances as ``NUM_DISTANCES`` lists them.
    """
    seen = silhouette(face, resolution)
    inside = seen[..., :1] > 0.5
    steps = jnp.where(inside, 4, 3)
    grown, shrunk = inside, inside
    for step in range(1, 4):
        grown, shrunk = _grow(grown), ~_grow(~shrunk)
        steps = jnp.where(shrunk, 4 + step, jnp.where(grown, steps, 3 - step))
    return jnp.argmax(seen[..., 1:], axis=-1) * NUM_DISTANCES + steps[..., 0]


def _grow(where: Array) -> Array:
    return nn.max_pool(where.astype(jnp.float32), (3, 3), padding="SAME") > 0.5
