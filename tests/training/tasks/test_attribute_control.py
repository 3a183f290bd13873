"""Attribute control: a pair that asks for the source's pose gets it, and the loss asks for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.swapper import Selected
from alrl_jax.training.tasks import attribute_control
from alrl_jax.training.tasks.values import ATTRIBUTE_GROUPS
from alrl_jax.types import LatentCodes, SwapGates
from alrl_jax.worlds import primitives
from tests.support import tiny

ASKS = jnp.asarray([True, False, True])


def test_pairs_of_one_person_never_ask() -> None:
    same = jnp.arange(400) % 2 == 0

    def drawn(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = attribute_control.draw_attribute_control(key, same, 0.25)
        return found.asks, found.group

    asks, groups = jax.vmap(drawn)(jax.random.split(jax.random.key(0), 50))
    assert not asks[:, same].any()
    np.testing.assert_allclose(np.mean(asks[:, ~same]), 0.25, atol=0.02)
    assert set(np.asarray(groups).tolist()) == set(range(len(attribute_control.CONTROLLED_GROUPS)))


def test_pairs_ask_for_what_a_loss_sees() -> None:
    groups = attribute_control.groups_seen
    assert groups({"attributes": 1.0}) == attribute_control.CONTROLLED_GROUPS
    assert groups({"attributes": 0.0, "pose": 0.5}) == ("pose",)
    assert groups({"pose": 0.5, "attributes": 1.0}) == attribute_control.CONTROLLED_GROUPS
    pose = attribute_control.CONTROLLED_GROUPS.index("pose")
    for seed in range(5):
        found = attribute_control.draw_attribute_control(
            jax.random.key(seed), ~ASKS, 1.0, ("pose",)
        )
        assert int(found.group) == pose
        np.testing.assert_array_equal(attribute_control.asks_for(found, "pose"), ASKS)
        assert not attribute_control.asks_for(found, "gaze").any()


@pytest.mark.parametrize("group", attribute_control.CONTROLLED_GROUPS)
def test_what_is_asked_for_is_wanted_as_in_the_source(group: str) -> None:
    def read(value: float) -> FaceFactors:
        full = lambda *shape: jnp.full(shape, value)  # noqa: E731
        return FaceFactors(
            identity_vector=full(3, 2),
            attribute_vector=full(3, len(primitives.ATTRIBUTE_FACTORS)),
            pose_degrees=full(3, 3),
            landmarks=full(3, 1, 2),
        )

    asked = attribute_control.AttributeControl(
        ASKS, jnp.asarray(attribute_control.CONTROLLED_GROUPS.index(group))
    )
    wanted = attribute_control.controlled_factors(
        asked, read(1.0), read(0.0), attribute_control.members(primitives.ATTRIBUTE_FACTORS)
    )
    members = [name in primitives.ATTRIBUTE_GROUPS[group] for name in primitives.ATTRIBUTE_FACTORS]
    expected = np.outer(ASKS, members).astype(np.float32)
    np.testing.assert_array_equal(wanted.attribute_vector, expected)
    poses = np.outer(ASKS, np.full(3, group == "pose")).astype(np.float32)
    np.testing.assert_array_equal(wanted.pose_degrees, poses)
    assert not wanted.identity_vector.any()


def test_only_pairs_that_ask_get_other_codes() -> None:
    def choose(overrides: jax.Array) -> Selected:
        place = 1.0 + jnp.argmax(overrides).astype(jnp.float32)
        taken = jnp.where(jnp.any(overrides == 1), place, 0.0)
        full = lambda *shape: jnp.full(shape, taken)  # noqa: E731
        gates = SwapGates(full(3, 2), full(3, 4, 2), full(3, 4, 2), jnp.ones((4, 2, 1)))
        codes = LatentCodes(full(3, 4, 4, 2), full(3, 4, 8))
        return Selected(codes, {8: full(3, 8, 8, 2)}, gates)

    overrides = jnp.full((len(ATTRIBUTE_GROUPS),), -1)
    asked = attribute_control.AttributeControl(
        ASKS, jnp.asarray(attribute_control.CONTROLLED_GROUPS.index("gaze"))
    )
    taken = attribute_control.select(choose, overrides, ATTRIBUTE_GROUPS, asked)
    codes, gates = taken.codes, taken.gates
    place = 1.0 + ATTRIBUTE_GROUPS.index("gaze")
    for rows in (codes.pose, codes.attributes, gates.pose, gates.attributes, taken.injected[8]):
        np.testing.assert_array_equal(rows.reshape(3, -1)[:, 0], np.where(ASKS, place, 0.0))
    np.testing.assert_array_equal(gates.probabilities, 0.0)  # the losses of gates see no control
    alone = attribute_control.select(choose, overrides, ATTRIBUTE_GROUPS, None)
    np.testing.assert_array_equal(alone.codes.pose, 0.0)


def test_a_head_that_turns_asks_nothing_of_the_background() -> None:
    same = jnp.zeros((3,), bool)
    for group in attribute_control.CONTROLLED_GROUPS:
        number = jnp.asarray(attribute_control.CONTROLLED_GROUPS.index(group))
        control = attribute_control.AttributeControl(ASKS, number)
        kept = attribute_control.keeps_background(control, same)
        np.testing.assert_array_equal(kept, ~ASKS if group == "pose" else ~same)
    assert attribute_control.keeps_background(None, same).all()


@pytest.mark.parametrize(
    ("field", "value", "loss"),
    [("attribute_control", 0.5, "attributes"), ("turn_head", True, "parsing")],
)
def test_control_without_its_loss_is_refused(field: str, value: float, loss: str) -> None:
    values = tiny.tiny_config("synthetic_64").to_dict()
    values["swap"][field], values["losses"][loss] = value, 0.0
    with pytest.raises(
        UserError, match=f"swap.{field} is {value} without a weight of losses.{loss}"
    ):
        Config.from_dict(values)
