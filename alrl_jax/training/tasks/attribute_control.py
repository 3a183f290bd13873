"""Attribute control: some swaps of two people take one attribute group from the source as well.

The truth of these is not known, but what the identity net should read from them is: the group that
was asked for as from the source, all else as from the target. So a caller who asks for the source's
pose or expression asks for what training has seen. Where the identity net reads no factors, a pose
net says whether a pose has come, and pairs ask for that alone.
"""

import dataclasses
from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.selection import FROM_SOURCE
from alrl_jax.types import LatentCodes, SwapGates
from alrl_jax.worlds import primitives

CONTROLLED_GROUPS = ("pose", "expression", "gaze", "light", "skin")
"""What can be asked of a face; hair and background lie outside of what a swap replaces."""

MEMBERS = np.array(
    [
        [factor in primitives.ATTRIBUTE_GROUPS[group] for factor in primitives.ATTRIBUTE_FACTORS]
        for group in CONTROLLED_GROUPS
    ]
)
"""Which factors belong to which of these groups."""


SEEN_BY = {"attributes": CONTROLLED_GROUPS, "pose": ("pose",)}
"""Losses that see whether a request is met: groups by name of the loss."""

Swapped = tuple[LatentCodes, SwapGates]


@flax.struct.dataclass
class AttributeControl:
    """Which pairs ask, and for what.

    Attributes:
        asks: pairs that do.
        group: index into ``CONTROLLED_GROUPS``, one for all pairs of a step.
    """

    asks: Bool[Array, " b"]
    group: Int[Array, ""]


def groups_seen(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Groups that pairs can ask for, as a loss with a weight sees whether they come.

    Args:
        weights: of the losses, by name.
    """
    found = {group for name, groups in SEEN_BY.items() if weights.get(name) for group in groups}
    return tuple(group for group in CONTROLLED_GROUPS if group in found)


def draw_attribute_control(
    key: Key[Array, ""],
    same_identity: Bool[Array, " b"],
    share: float,
    groups: tuple[str, ...] = CONTROLLED_GROUPS,
) -> AttributeControl:
    """Draws which pairs ask, and for what.

    Args:
        key: seeds the draw.
        same_identity: pairs of one person, whose truth is known and which therefore never ask.
        share: of the other pairs.
        groups: what can be asked for; see ``groups_seen``.
    """
    asks_key, group_key = jax.random.split(key)
    asks = ~same_identity & (jax.random.uniform(asks_key, same_identity.shape) < share)
    # One group for all: two selections a step serve every pair, where groups of their own would
    # take one for each.
    places = jnp.asarray([CONTROLLED_GROUPS.index(name) for name in groups])
    return AttributeControl(asks, places[jax.random.randint(group_key, (), 0, len(groups))])


def asks_for(control: AttributeControl, group: str) -> Bool[Array, " b"]:
    """Pairs that ask for one of ``CONTROLLED_GROUPS``."""
    return control.asks & (control.group == CONTROLLED_GROUPS.index(group))


def select(
    choose: Callable[[Int[Array, " k"]], Swapped],
    overrides: Int[Array, " k"],
    attribute_groups: tuple[str, ...],
    control: AttributeControl | None,
) -> Swapped:
    """Codes and gates of every pair, whether it asks or not.

    Args:
        choose: swaps codes, given the overrides of every attribute group.
        overrides: of pairs that do not ask.
        attribute_groups: names of the groups.
        control: None where no pair asks.
    """
    if control is None:
        return choose(overrides)
    places = jnp.asarray([attribute_groups.index(name) for name in CONTROLLED_GROUPS])
    asks = control.asks
    given, gates_given = choose(overrides.at[places[control.group]].set(FROM_SOURCE))
    codes, gates = choose(overrides)
    gates = dataclasses.replace(
        gates,
        pose=_rows(asks, gates_given.pose, gates.pose),
        attributes=_rows(asks, gates_given.attributes, gates.attributes),
    )
    return jax.tree.map(lambda a, b: _rows(asks, a, b), given, codes), gates


def controlled_factors(
    control: AttributeControl, source: FaceFactors, target: FaceFactors
) -> FaceFactors:
    """What should be read from the swaps: as from the targets, but for what pairs ask for."""
    members = control.asks[:, None] & jnp.asarray(MEMBERS)[control.group]
    turned = asks_for(control, "pose")
    return dataclasses.replace(
        target,
        attribute_vector=jnp.where(members, source.attribute_vector, target.attribute_vector),
        pose_degrees=_rows(turned, source.pose_degrees, target.pose_degrees),
    )


def _rows(
    where: Bool[Array, " b"], first: Float[Array, "b *n"], second: Float[Array, "b *n"]
) -> Float[Array, "b *n"]:
    return jnp.where(where.reshape(-1, *[1] * (first.ndim - 1)), first, second)
