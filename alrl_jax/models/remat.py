"""Rematerialisation: blocks that the backward pass computes again rather than keep in memory."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

REMAT_POLICIES: dict[str, Callable[..., Any] | None] = {
    "none": None,
    "convolutions": jax.checkpoint_policies.dots_saveable,
    "blocks": jax.checkpoint_policies.nothing_saveable,
}
"""What of a block is kept: ``none`` computes nothing again and keeps all; ``convolutions`` keeps
the results of convolutions and products alone; ``blocks`` keeps only what enters a block."""


def remat(module: type[nn.Module], policy: str, static_argnums: tuple[int, ...] = ()) -> Any:
    """A module class that keeps what an entry of ``REMAT_POLICIES`` says; weights stay the same.

    Args:
        module: class of the block.
        policy: name of the entry.
        static_argnums: places of the arguments that are no arrays; ``self`` is number 0.
    """
    saved = REMAT_POLICIES[policy]
    if saved is None:
        return module
    return nn.remat(module, policy=saved, static_argnums=static_argnums)
