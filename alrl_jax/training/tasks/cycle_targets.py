"""Cycle targets: a target to which the swapper itself has given another person's face.

Where source and target show one person, the true swap is the target itself. If the networks see
that target with a stranger's face, as the swapper draws it today, they have to undo the swap: the
identity can come from the source alone, everything else from the target, and the face as it was is
known to every pixel. Such triplets of source, cycle target and truth need no true swap of two
people and no labels ("cycle triplets" of ReliableSwap, Yuan et al. 2023). The better the swapper,
the nearer they come to swaps of two real faces; ``warp_target`` bends targets where no cycle target
is drawn yet.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from alrl_jax.types import UNLABELLED, FaceBatch, PairBatch

Images = Float[Array, "b h w 3"]


def draw_cycle_targets(
    batch: PairBatch,
    swap: Callable[[Images, Images], Images],
    key: Key[Array, ""],
    share: float,
    num_blocks: int,
) -> tuple[FaceBatch, Bool[Array, " b"]]:
    """Targets, some of which have a stranger's face.

    Args:
        batch: pairs.
        swap: ``(source, target) -> swapped``, as the swapper stands; gets no gradient.
        key: seeds the draw.
        share: of the pairs of one person.
        num_blocks: see ``strangers``.

    Returns:
        The targets, and which of them are cycle targets.
    """
    draws = jax.random.uniform(key, batch.same_identity.shape)
    chosen = batch.same_identity & (draws < share)
    # All pairs are swapped, as shapes are static; those that are not chosen go unused.
    swapped = swap(strangers(batch.source.image, num_blocks), batch.target.image)
    return put_in(batch.target, chosen, jax.lax.stop_gradient(swapped)), chosen


def strangers(images: Float[Array, "b h w 3"], num_blocks: int) -> Float[Array, "b h w 3"]:
    """For every face one of another row, nearly always another person's.

    Rows change places inside fixed blocks of the batch, so that devices need not exchange them.

    Args:
        images: faces.
        num_blocks: see ``mbstd_blocks``; each holds two rows or more.
    """
    blocks = images.reshape(num_blocks, -1, *images.shape[1:])
    return jnp.roll(blocks, 1, axis=1).reshape(images.shape)


def put_in(face: FaceBatch, where: Bool[Array, " b"], swapped: Images) -> FaceBatch:
    """Faces some of which are swapped.

    Args:
        face: targets.
        where: which of them become cycle targets.
        swapped: the targets with faces of strangers.

    Returns:
        The faces with another image. Its identity factors and parsing are unknown; pose, expression
        and surroundings stay.
    """
    rows = where[:, None, None]
    return dataclasses.replace(
        face,
        image=jnp.where(rows[..., None], swapped, face.image),
        parsing=jnp.where(rows, UNLABELLED, face.parsing),
        identity_factors=jnp.where(where[:, None], jnp.nan, face.identity_factors),
    )
