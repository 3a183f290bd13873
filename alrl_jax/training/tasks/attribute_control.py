"""Attribute control: some swaps of two people take one attribute group from the source as well.

The truth of these is not known, but what the identity net should read from them is: the group that
was asked for as from the source, all else as from the target. So a caller who asks for the source's
pose or expression asks for what training has seen. Where the identity net reads no factors, a pose
net says whether a pose has come, and pairs ask for that alone.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.pair_codes import FROM_SOURCE
from alrl_jax.models.swapper.swapper import Selected
from alrl_jax.training.state import PyTree
from alrl_jax.worlds import FACTOR_GROUPS

CONTROLLED_GROUPS = ("pose", "expression", "gaze", "light", "skin")
"""What can be asked of a face; hair and background lie outside of what a swap replaces."""

SEEN_BY = {"attributes": CONTROLLED_GROUPS, "pose": ("pose",)}
"""Losses that see whether what a pair asks for comes: groups by name of the loss."""


@flax.struct.dataclass
class AttributeControl:
    """Which pairs ask, and for what.

    Attributes:
        asks: pairs that do.
        group: index into ``CONTROLLED_GROUPS``, one for all pairs of a step.
    """

    asks: Bool[Array, " b"]
    group: Int[Array, ""]


def members(factors: Sequence[str]) -> Bool[np.ndarray, "g f"]:
    """Which factors belong to which of ``CONTROLLED_GROUPS``.

    Args:
        factors: names of the columns of an attribute vector, those of a world.
    """
    found = [[FACTOR_GROUPS[name] == group for name in factors] for group in CONTROLLED_GROUPS]
    return np.asarray(found, bool)


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
    choose: Callable[[Int[Array, " k"]], Selected],
    overrides: Int[Array, " k"],
    attribute_groups: tuple[str, ...],
    control: AttributeControl | None,
) -> Selected:
    """What is selected for every pair, whether it asks or not.

    Args:
        choose: selects, given the overrides of every attribute group.
        overrides: of pairs that do not ask.
        attribute_groups: names of the groups.
        control: None where no pair asks.
    """
    if control is None:
        return choose(overrides)
    places = jnp.asarray([attribute_groups.index(name) for name in CONTROLLED_GROUPS])
    asked = choose(overrides.at[places[control.group]].set(FROM_SOURCE))
    usual = choose(overrides)

    def merge(given: PyTree, otherwise: PyTree) -> PyTree:
        return jax.tree.map(lambda a, b: _rows(control.asks, a, b), given, otherwise)

    # Votes and ownership stay: the losses of gates see no control.
    gates = dataclasses.replace(
        usual.gates,
        pose=merge(asked.gates.pose, usual.gates.pose),
        attributes=merge(asked.gates.attributes, usual.gates.attributes),
        space=merge(asked.gates.space, usual.gates.space),
    )
    injected = merge(asked.injected, usual.injected)
    return Selected(merge(asked.codes, usual.codes), injected, gates)


def keeps_background(
    control: AttributeControl | None, same_identity: Bool[Array, " b"]
) -> Bool[Array, " b"]:
    """Pairs that want what lies outside the face as the target has it.

    Who asks for the source's pose turns the head, and asks nothing of the target's hair.

    Args:
        control: None where no pair asks.
        same_identity: pairs of one person.
    """
    if control is None:
        return jnp.ones_like(same_identity)
    return ~(control.asks & (control.group == CONTROLLED_GROUPS.index("pose")))


def controlled_factors(
    control: AttributeControl,
    source: FaceFactors,
    target: FaceFactors,
    belongs: Bool[np.ndarray, "g f"],
) -> FaceFactors:
    """What should be read from the swaps: as from the targets, but for what pairs ask for.

    Args:
        control: which pairs ask, and for what.
        source: what is read from the sources.
        target: likewise from the targets.
        belongs: ``members`` of the columns of the attribute vectors.
    """
    asked = control.asks[:, None] & jnp.asarray(belongs)[control.group]
    turned = asks_for(control, "pose")
    return dataclasses.replace(
        target,
        attribute_vector=jnp.where(asked, source.attribute_vector, target.attribute_vector),
        pose_degrees=_rows(turned, source.pose_degrees, target.pose_degrees),
    )


def _rows(
    where: Bool[Array, " b"], first: Float[Array, "b *n"], second: Float[Array, "b *n"]
) -> Float[Array, "b *n"]:
    return jnp.where(where.reshape(-1, *[1] * (first.ndim - 1)), first, second)
