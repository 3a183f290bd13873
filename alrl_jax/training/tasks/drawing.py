"""What the faces of task ``generator`` are drawn from, a row a face."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from alrl_jax.training.state import PyTree

STYLE_MIXING_STREAMS = (1, 2)
"""Folded into the key of latents for second latents, and for where their codes begin."""


@flax.struct.dataclass
class Drawing:
    """What faces are drawn from, one row a face.

    Attributes:
        z: latents.
        other: latents whose codes are mixed in; None where styles are not mixed.
        replaced: layers that have the codes of ``other``.
        pose: latents of the pose codes, where there are such.
        label: one-hot classes, where the generator knows some.
        noise_key: draws the noise maps; None where ``noise`` has them.
        noise: noise maps of every row, for faces that are drawn in parts.
    """

    z: Float[Array, "b z"]
    other: Float[Array, "b z"] | None
    replaced: Bool[Array, "b l"] | None
    pose: Float[Array, "b p"] | None
    label: Float[Array, "b n"] | None
    noise_key: Key[Array, ""] | None
    noise: PyTree


class PoseCodeSampler(nn.Module):
    """Draws 4x4 pose codes for the training of a generator without an encoder.

    Attributes:
        channels: of the pose code.
    """

    channels: int

    @nn.compact
    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b 4 4 {self.channels}"]:
        hidden = nn.silu(nn.Dense(64)(z))
        return nn.Dense(16 * self.channels)(hidden).reshape(-1, 4, 4, self.channels)


def noise_maps(constants: PyTree, key: Key[Array, ""], count: int) -> PyTree:
    """Noise maps for every face, in the tree of those that all faces share.

    They are what the synthesis network draws by this key for as many faces.

    Args:
        constants: of the synthesis network, by block and layer.
        key: of a draw with random noise.
        count: number of faces.
    """
    blocks = sorted(constants, key=lambda name: int(name[1:]))  # b4, b8, ...
    layers = [(block, layer) for block in blocks for layer in sorted(constants[block])]
    keys = iter(jax.random.split(key, 2 * len(blocks)))
    found: dict[str, Any] = {block: {} for block in blocks}
    for (block, layer), own in zip(layers, keys, strict=False):
        side = constants[block][layer]["noise_const"].shape[1]
        found[block][layer] = {"noise_const": jax.random.normal(own, (count, side, side, 1))}
    return found


def draw_replaced(
    key: Key[Array, ""], count: int, layers: int, probability: float
) -> Bool[Array, "b l"]:
    """Style mixing: layers that have the codes of a second latent (Karras et al. 2019).

    Neighbouring layers then cannot rely on having the same code. Every sample draws for itself
    whether it is mixed, and from which layer on: any but the first, whose code is never replaced.

    Args:
        key: of the draws.
        count: number of samples.
        layers: codes of a sample.
        probability: that a sample is mixed.
    """
    place, chance = jax.random.split(key)
    crossover = jax.random.randint(place, (count,), 1, layers)
    mixed = jax.random.bernoulli(chance, probability, (count,))
    return mixed[:, None] & (jnp.arange(layers)[None] >= crossover[:, None])
