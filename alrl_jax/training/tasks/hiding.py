"""The pairs of a batch as the swapper sees them: targets of the source's person are hidden."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from alrl_jax.training.tasks import attribute_control, cycle_targets, pooling
from alrl_jax.training.tasks.swap_forward import SwapPairs
from alrl_jax.training.tasks.target_warp import warp_target
from alrl_jax.types import PairBatch
from alrl_jax.worlds import primitives

TARGET_WARP_STREAM, CYCLE_TARGET_STREAM, ATTRIBUTE_CONTROL_STREAM = 1, 2, 3
"""Folded into a step's key for the draws of target warps, cycle targets and attribute control."""

Images = Float[Array, "b h w 3"]


@dataclasses.dataclass(frozen=True)
class Hiding:
    """How targets are changed, and what pairs ask for.

    Attributes:
        cycle_share: share of one person's pairs whose targets get a stranger's face.
        warp_strength: how far the other targets of these pairs are bent, as a share of the side.
        control_share: share of the other pairs that ask for something of their sources.
        controlled: groups that they can ask for.
        blocks: of the batch, within which strangers are found.
        loss_side: side to which images are pooled for the losses.
    """

    cycle_share: float
    warp_strength: float
    control_share: float
    controlled: tuple[str, ...]
    blocks: int
    loss_side: int

    def pairs(
        self, batch: PairBatch, swap: Callable[[Images, Images], Images], key: Key[Array, ""]
    ) -> SwapPairs:
        """The batch as networks and losses see it.

        Args:
            batch: as the data have it.
            swap: draws cycle targets.
            key: of the step.
        """
        fold_in = functools.partial(jax.random.fold_in, key)
        target, hidden = batch.target, batch.same_identity
        if self.cycle_share:
            target, chosen = cycle_targets.draw_cycle_targets(
                batch, swap, fold_in(CYCLE_TARGET_STREAM), self.cycle_share, self.blocks
            )
            hidden = hidden & ~chosen
        if self.warp_strength:
            target = warp_target(
                target,
                hidden,
                fold_in(TARGET_WARP_STREAM),
                jnp.asarray(primitives.FACE_LABELS),
                self.warp_strength,
            )
        control = None
        if self.control_share:
            control = attribute_control.draw_attribute_control(
                fold_in(ATTRIBUTE_CONTROL_STREAM),
                batch.same_identity,
                self.control_share,
                self.controlled,
            )
        return pooling.pool_pairs(batch, target, control, self.loss_side)
