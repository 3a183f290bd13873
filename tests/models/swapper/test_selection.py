"""Selection of codes: gates are binary, obey the caller, depend on the pair, and pass gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.swapper.pair_codes import (
    FROM_SOURCE,
    FROM_TARGET,
    LEARNED,
    FrozenGates,
    GateNoise,
    PairCodes,
)
from alrl_jax.models.swapper.selection import SELECTORS, AdaptiveSwap, fixed_swap
from alrl_jax.types import LatentCodes

GROUPS = ("identity", "pose", "expression")
BATCH, LAYERS, WIDTH, POSE = 4, 6, 8, 8


def codes(seed: int) -> LatentCodes:
    keys = jax.random.split(jax.random.key(seed))
    return LatentCodes(
        pose=jax.random.normal(keys[0], (BATCH, 4, 4, POSE)),
        attributes=jax.random.normal(keys[1], (BATCH, LAYERS, WIDTH)),
    )


SOURCE, TARGET = codes(1), codes(2)
EMBEDDING = jnp.ones((BATCH, 5)) / jnp.sqrt(5.0)
FACES = PairCodes(SOURCE, TARGET, EMBEDDING)


def overrides(**chosen: int) -> jax.Array:
    return jnp.asarray([chosen.get(name, LEARNED) for name in GROUPS], jnp.int32)


@pytest.fixture(scope="module", params=["hard", "soft", "pair_independent"])
def module(request: pytest.FixtureRequest) -> tuple[AdaptiveSwap, dict]:
    swap = AdaptiveSwap(GROUPS, channel_groups=4, width=16, gate_mode=request.param)
    return swap, swap.init(jax.random.key(0), FACES, overrides(pose=FROM_TARGET))


def test_gates_are_binary_unless_soft(module: tuple[AdaptiveSwap, dict]) -> None:
    swap, variables = module
    _, gates = swap.apply(variables, FACES, overrides())
    binary = np.isin(np.asarray(gates.attributes), (0.0, 1.0))
    assert binary.all() == (swap.gate_mode != "soft")
    same = np.ptp(np.asarray(gates.probabilities), axis=0) == 0
    assert same.all() == (swap.gate_mode == "pair_independent")


@pytest.mark.parametrize(("origin", "expected"), [(FROM_TARGET, TARGET), (FROM_SOURCE, SOURCE)])
def test_a_caller_can_take_everything_from_one_face(
    module: tuple[AdaptiveSwap, dict], origin: int, expected: LatentCodes
) -> None:
    swap, variables = module
    swapped, _ = swap.apply(variables, FACES, jnp.full((len(GROUPS),), origin, jnp.int32))
    # The transfer function is the identity before training, so the source's codes come unchanged.
    np.testing.assert_allclose(swapped.attributes, expected.attributes, atol=1e-6)
    np.testing.assert_allclose(swapped.pose, expected.pose, atol=1e-6)


def test_a_group_owns_what_it_moves(module: tuple[AdaptiveSwap, dict]) -> None:
    swap, variables = module
    _, free = swap.apply(variables, FACES, overrides(expression=FROM_TARGET))
    _, forced = swap.apply(variables, FACES, overrides(expression=FROM_SOURCE))
    owned = np.argmax(np.asarray(free.owners), axis=-1) == GROUPS.index("expression")
    assert owned.any() and not owned.all()
    changed = np.asarray(free.attributes != forced.attributes)
    np.testing.assert_array_equal(changed, np.broadcast_to(owned, changed.shape))


def test_the_context_lets_a_layer_see_all_others() -> None:
    swap = AdaptiveSwap(GROUPS, channel_groups=4, width=16, context=8, pose_transfer=True)
    variables = swap.init(jax.random.key(0), FACES, overrides(pose=FROM_TARGET))
    variables["params"]["transfer_out"] = jnp.ones_like(variables["params"]["transfer_out"])
    takes_all = overrides(identity=FROM_SOURCE, expression=FROM_SOURCE, pose=FROM_SOURCE)

    def taken(asked: jax.Array, **changes: jax.Array) -> jax.Array:
        target = TARGET.replace(**changes)
        return swap.apply(variables, FACES.replace(target=target), asked)[0].attributes[:, :-1]

    _, gates = swap.apply(variables, FACES, takes_all)
    mine = np.argmax(gates.owners[:-1], axis=-1) == GROUPS.index("identity")
    mine = np.repeat(mine, WIDTH // 4, axis=-1)
    before = taken(takes_all)
    # What a caller takes beside the identity stays as it is, whatever the target looks like.
    np.testing.assert_allclose(before[:, ~mine], SOURCE.attributes[:, :-1][:, ~mine], atol=1e-6)
    last = TARGET.attributes.at[:, -1].add(1.0)
    for changed in ({"attributes": last}, {"pose": TARGET.pose + 1.0}):
        assert (jnp.abs(taken(takes_all, **changed) - before)[:, mine] > 1e-6).all()
    assert (jnp.abs(taken(overrides(identity=FROM_SOURCE)) - before)[:, mine] > 1e-6).all()


def test_gradients_reach_the_votes(module: tuple[AdaptiveSwap, dict]) -> None:
    swap, variables = module

    def loss(v: dict) -> jax.Array:
        swapped, _ = swap.apply(
            v, FACES, overrides(), GateNoise(jnp.asarray(0.5), jax.random.key(3))
        )
        return jnp.sum(jnp.square(swapped.attributes))

    gradient = jax.grad(loss)(variables)["params"]
    assert float(jnp.abs(gradient["bias"]).max()) > 0
    assert float(jnp.abs(gradient["queries"]).max()) > 0
    own = gradient.get("learned_faces")
    assert (own is not None) == (swap.gate_mode == "pair_independent")
    assert own is None or float(jnp.min(jnp.abs(own))) > 0, "all of the pair acts"


def test_fixed_gates_are_their_weights_beside_the_same_refinement() -> None:
    weights = (0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
    swap = AdaptiveSwap(
        GROUPS, channel_groups=4, width=16, gate_mode="fixed", context=8, source_weights=weights
    )
    variables = swap.init(jax.random.key(0), FACES, overrides())
    variables["params"]["transfer_out"] = jnp.ones_like(variables["params"]["transfer_out"])
    swapped, gates = swap.apply(variables, FACES, overrides())
    expected = np.broadcast_to(np.asarray(weights[1:])[:, None], (BATCH, LAYERS, 4))
    np.testing.assert_array_equal(gates.attributes, expected)
    np.testing.assert_array_equal(gates.probabilities, expected)
    taken = np.asarray(weights[1:]) == 1.0
    np.testing.assert_allclose(
        swapped.attributes[:, ~taken], TARGET.attributes[:, ~taken], atol=1e-6
    )
    # What is taken is refined: it is not the source's code as it was.
    assert (jnp.abs(swapped.attributes - SOURCE.attributes)[:, taken].max(axis=-1) > 1e-4).all()


def test_frozen_codes_stand_in_for_what_the_module_decides() -> None:
    swap = AdaptiveSwap(GROUPS, channel_groups=4, width=16)
    variables = swap.init(jax.random.key(0), FACES, overrides())
    gates = (np.arange((LAYERS + 1) * 4) % 3 == 0).astype(np.float32).reshape(LAYERS + 1, 4)
    frozen = FrozenGates(codes=gates)
    _, found = swap.apply(variables, FACES, overrides(), None, frozen)
    np.testing.assert_array_equal(found.attributes, np.broadcast_to(gates[1:], (BATCH, LAYERS, 4)))
    np.testing.assert_array_equal(found.pose, np.broadcast_to(gates[0], (BATCH, 4)))
    # A caller is obeyed all the same.
    _, asked = swap.apply(variables, FACES, overrides(identity=FROM_TARGET), None, frozen)
    mine = np.argmax(asked.owners, axis=-1) == GROUPS.index("identity")
    assert not np.asarray(asked.attributes)[:, mine].any()


def test_inputs_of_another_level_move_normalised_layers_little() -> None:
    """A shift of all codes, which no pair differs by, is nothing to see."""
    swap = AdaptiveSwap(GROUPS, channel_groups=4, width=16, context=8, normalised=True)
    asked = overrides(identity=FROM_SOURCE, expression=FROM_SOURCE, pose=FROM_TARGET)
    variables = swap.init(jax.random.key(0), FACES, asked)
    variables["params"]["transfer_out"] = jnp.ones_like(variables["params"]["transfer_out"])

    def added(shift: float) -> jax.Array:
        moved = [LatentCodes(x.pose + shift, x.attributes + shift) for x in (SOURCE, TARGET)]
        swapped, _ = swap.apply(variables, PairCodes(*moved, EMBEDDING), asked)
        return swapped.attributes - shift

    np.testing.assert_allclose(added(30.0), added(0.0), atol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_relaxed_gates_are_draws_at_their_temperature(temperature: float) -> None:
    """Logits and logistic noise, divided by the temperature (Maddison et al. 2017)."""
    swap = AdaptiveSwap(GROUPS, channel_groups=4, width=16, gate_mode="soft")
    variables, key = swap.init(jax.random.key(0), FACES, overrides()), jax.random.key(3)
    noise = GateNoise(jnp.asarray(temperature), key)
    _, gates = swap.apply(variables, FACES, overrides(), noise)
    uniform = jax.random.uniform(key, (BATCH, 4 * (LAYERS + 1)), minval=1e-4, maxval=1.0 - 1e-4)
    logit = lambda p: np.log(p) - np.log1p(-np.asarray(p, np.float64))  # noqa: E731
    drawn = logit(uniform)[:, 4:].reshape(BATCH, LAYERS, 4) + logit(gates.probabilities)
    np.testing.assert_allclose(gates.attributes, 1 / (1 + np.exp(-drawn / temperature)), rtol=1e-4)


FIXED = {name: rule for name, rule in SELECTORS.items() if rule is not None}


@pytest.mark.parametrize("name", FIXED)
def test_fixed_selections_take_whole_layers(name: str) -> None:
    shares = jnp.asarray(FIXED[name](LAYERS), jnp.float32)
    swapped, gates = fixed_swap(SOURCE, TARGET, shares)
    for layer, share in enumerate(shares[1:]):
        expected = share * SOURCE.attributes[:, layer] + (1 - share) * TARGET.attributes[:, layer]
        np.testing.assert_allclose(swapped.attributes[:, layer], expected, atol=1e-6)
    expected = shares[0] * SOURCE.pose + (1 - shares[0]) * TARGET.pose
    np.testing.assert_allclose(swapped.pose, expected, atol=1e-6)
    np.testing.assert_array_equal(gates.attributes[0, :, 0], shares[1:])


def test_rules_of_earlier_work_at_18_layers() -> None:
    taken = {
        name: {i for i, share in enumerate(rule(18)[1:]) if share == 1.0}
        for name, rule in FIXED.items()
    }
    assert taken["lcr4"] == set(range(4, 18))
    assert taken["fslsd7"] == set(range(7))
    assert taken["psp_middle"] == {3, 4, 5, 6}


def test_the_targets_pose_code_moves_only_for_another_identity() -> None:
    swap = AdaptiveSwap(GROUPS, channel_groups=4, width=16, pose_transfer=True)
    variables = swap.init(jax.random.key(0), FACES, overrides(pose=FROM_TARGET))
    trained = jax.tree.map(lambda x: x + 0.1, variables)  # from scratch, the refinement is 0
    kept, _ = swap.apply(trained, FACES, overrides(pose=FROM_TARGET, identity=FROM_TARGET))
    np.testing.assert_allclose(kept.pose, TARGET.pose, atol=1e-6)
    moved, _ = swap.apply(trained, FACES, overrides(pose=FROM_TARGET))
    assert float(jnp.abs(moved.pose - TARGET.pose).max()) > 0.01
