"""Activations that say whether their units live: a unit that never fires learns nothing.

A network that calls ``silu`` of this module notes, in the collection ``ACTIVITY``, the largest
input that every unit has seen. Nothing is computed unless a caller asks for that collection.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ACTIVITY = "intermediates"
"""The collection that linen leaves out of fresh variables."""

DEAD_BELOW = -4.0
"""A unit whose input stays below is dead: SiLU is -0.07 there, its slope -0.05, and both fade.
Where a layer is normalised just before, it takes a learned bias or a large gain to get there."""


def silu(module: nn.Module, x: Float[Array, "*b c"], name: str) -> Float[Array, "*b c"]:
    """SiLU, noting how far its units are from firing.

    Args:
        module: on whose name the note is taken.
        x: inputs; the last axis counts the units.
        name: of the layer within the module.
    """
    if module.is_mutable_collection(ACTIVITY):
        most = jnp.max(x.reshape(-1, x.shape[-1]), axis=0)
        module.sow(ACTIVITY, f"{name}_most", most, reduce_fn=jnp.maximum, init_fn=lambda: most)
    return nn.silu(x)


def dead_shares(activity: Any) -> dict[str, Float[Array, ""]]:
    """Share of dead units by layer.

    Args:
        activity: the collection, as ``module.apply(..., mutable=[ACTIVITY])`` gives it.
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): jnp.mean(most < DEAD_BELOW)
        for path, most in jax.tree_util.tree_leaves_with_path(activity)
    }
