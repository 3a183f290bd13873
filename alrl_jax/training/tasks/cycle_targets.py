"""Cycle targets: a target in whose face the swapper itself has put somebody else.

Where source and target show one person, the true swap is the target itself. If the networks see
that target with a stranger's face, as the swapper draws it today, they have to undo the swap: who
it is can come from the source alone, everything else from the target, and the face as it was is
known to every pixel. Such triplets of source, cycle target and truth need no true swap of two
people and no labels ("cycle triplets" of ReliableSwap, Yuan et al. 2023). The better the swapper,
the nearer they come to swaps of two real faces; ``warp_target`` bends targets where it draws none
yet.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from alrl_jax.types import UNLABELLED, FaceBatch


def strangers(images: Float[Array, "b h w 3"], num_blocks: int) -> Float[Array, "b h w 3"]:
    """For every face one of another row, nearly always another person's.

    Rows change places inside fixed blocks of the batch, so that devices need not exchange them.

    Args:
        images: faces.
        num_blocks: see ``mbstd_blocks``; each holds two rows or more.
    """
    blocks = images.reshape(num_blocks, -1, *images.shape[1:])
    return jnp.roll(blocks, 1, axis=1).reshape(images.shape)


def put_in(
    face: FaceBatch, where: Bool[Array, " b"], swapped: Float[Array, "b h w 3"]
) -> FaceBatch:
    """Faces some of which somebody else now wears.

    Args:
        face: targets.
        where: which of them become cycle targets.
        swapped: the targets with faces of strangers.

    Returns:
        The faces with another image. Whose it is now and what its pixels show nobody knows; pose,
        expression and surroundings stay.
    """
    rows = where[:, None, None]
    return dataclasses.replace(
        face,
        image=jnp.where(rows[..., None], swapped, face.image),
        parsing=jnp.where(rows, UNLABELLED, face.parsing),
        identity_factors=jnp.where(where[:, None], jnp.nan, face.identity_factors),
    )
