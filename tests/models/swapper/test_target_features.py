"""The target's features in the generator: nothing at the start, gated in space, frozen by table."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.models.swapper.pair_codes import (
    FROM_SOURCE,
    FROM_TARGET,
    LEARNED,
    FrozenGates,
    PairCodes,
)
from alrl_jax.models.swapper.target_features import (
    NUM_DISTANCES,
    Injection,
    TargetFeatures,
    injected_channels,
    silhouette_cells,
)
from alrl_jax.types import LatentCodes

GROUPS = ("identity", "pose", "expression")
BATCH, SIDE = 2, 16
CHANNELS = ((4, 8), (8, 4))
"""Where features enter: resolution and channels of the generator's block."""
RNG = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def codes() -> LatentCodes:
    return LatentCodes(normal(BATCH, 4, 4, 4), normal(BATCH, 6, 8))


FACES = PairCodes(codes(), codes(), normal(BATCH, 5))
ROUND = np.full((BATCH, SIDE, SIDE, 1), -9.0, np.float32)
ROUND[:, 4:12, 4:12] = 9.0
TARGET = FaceEncoding(
    FACES.target,
    jnp.asarray(ROUND),
    normal(BATCH, SIDE, SIDE, 19),
    (normal(BATCH, 8, 8, 6), normal(BATCH, 4, 4, 10)),
)


def overrides(**chosen: int) -> jax.Array:
    return jnp.asarray([chosen.get(name, LEARNED) for name in GROUPS], jnp.int32)


def network(gates: str) -> tuple[TargetFeatures, dict[str, Any]]:
    module = TargetFeatures(GROUPS, CHANNELS, gates, groups=2, width=4)
    return module, module.init(jax.random.key(0), FACES, TARGET, overrides())


def opened(variables: dict[str, Any]) -> dict[str, Any]:
    """With convolutions that let something through, and gates that are not all alike."""
    params = dict(variables["params"])
    for name, tree in params.items():
        if name.startswith("map"):
            params[name] = {"kernel": jnp.ones_like(tree["kernel"])}
        if name.startswith("constant"):
            params[name] = jnp.linspace(-1.0, 1.0, tree.size)
    return {"params": params}


def inject(gates: str, frozen: FrozenGates | None = None, **asked: int) -> Injection:
    module, variables = network(gates)
    return module.apply(opened(variables), FACES, TARGET, overrides(**asked), frozen)


@pytest.mark.parametrize("gates", ["pair", "mask"])
def test_a_fresh_one_changes_nothing(gates: str) -> None:
    module, variables = network(gates)
    injection = module.apply(variables, FACES, TARGET, overrides())
    assert {r: x.shape for r, x in injection.maps.items()} == {
        r: (BATCH, r, r, c) for r, c in CHANNELS
    }
    assert not any(np.asarray(x).any() for x in injection.maps.values())


@pytest.mark.parametrize("gates", ["pair", "mask"])
def test_a_head_that_turns_takes_no_features(gates: str) -> None:
    kept = inject(gates, identity=FROM_TARGET)
    assert all(np.asarray(x > 0.0).all() for x in kept.gates.values())
    turned = inject(gates, pose=FROM_SOURCE, identity=FROM_TARGET)
    assert not any(np.asarray(x).any() for x in [*turned.gates.values(), *turned.maps.values()])


def test_gates_of_a_pair_see_both_faces() -> None:
    module, variables = network("pair")
    usual = module.apply(variables, FACES, TARGET, overrides()).gates
    stranger = FACES.replace(source=codes(), identity=normal(BATCH, 5))
    others = tuple(x + normal(*x.shape) for x in TARGET.features)
    for faces, target in ((stranger, TARGET), (FACES, TARGET.replace(features=others))):
        other = module.apply(variables, faces, target, overrides()).gates
        assert all(float(jnp.abs(other[r] - usual[r]).max()) > 1e-4 for r in usual)
    assert all(0.0 < float(x.min()) and float(x.max()) < 1.0 for x in usual.values())


def test_gates_of_a_pair_begin_open_outside_the_face() -> None:
    module, variables = network("pair")
    last = {"kernel": jnp.zeros((4, 2)), "bias": jnp.asarray([0.0, -1.0])}
    params = dict(variables["params"]) | {"gate4": last, "gate8": last}
    gate = module.apply({"params": params}, FACES, TARGET, overrides()).gates[8]
    inside = np.zeros((8, 8), bool)
    inside[2:6, 2:6] = True
    for where, logit in ((inside, 0.0), (~inside, 4.0)):
        expected = 1 / (1 + np.exp(-np.asarray([logit, logit - 1.0])))
        np.testing.assert_allclose(gate[0][where], np.tile(expected, (where.sum(), 1)), atol=1e-3)


def test_gates_of_the_mask_are_constants_inside_and_1_outside() -> None:
    injection = inject("mask")
    gate = np.asarray(injection.gates[8])
    inside = np.zeros((8, 8), bool)
    inside[2:6, 2:6] = True
    constant = 1 / (1 + np.exp(-5.0 * np.linspace(-1.0, 1.0, 4)))
    np.testing.assert_allclose(gate[:, ~inside], 1.0, atol=1e-3)
    np.testing.assert_allclose(gate[0][inside], np.tile(constant, (16, 1)), atol=1e-3)


def test_frozen_gates_are_looked_up_by_class_and_distance() -> None:
    table = jnp.arange(19 * NUM_DISTANCES * 2, dtype=jnp.float32).reshape(19, NUM_DISTANCES, 2)
    frozen = FrozenGates(space={4: table, 8: table})
    gate = inject("pair", frozen).gates[8]
    cells = np.asarray(silhouette_cells(TARGET, 8))
    np.testing.assert_array_equal(gate, np.asarray(table).reshape(-1, 2)[cells])


def test_cells_count_the_steps_to_the_edge() -> None:
    region = np.full((1, 16, 16, 1), -9.0, np.float32)
    region[:, 5:, :] = 9.0  # the face begins at row 5 and goes on to the image's edge
    parsing = jnp.zeros((1, 16, 16, 19)).at[..., 3].set(5.0)
    codes_ = LatentCodes(normal(1, 4, 4, 4), normal(1, 6, 8))
    face = FaceEncoding(codes_, jnp.asarray(region), parsing)
    cells = np.asarray(silhouette_cells(face, 16))[0, :, 0]
    assert (cells // NUM_DISTANCES == 3).all()
    expected = [0, 0, 1, 2, 3, 4, 5, 6, *[7] * 8]
    np.testing.assert_array_equal(cells % NUM_DISTANCES, expected)


def test_features_enter_at_a_quarter_and_a_half() -> None:
    assert injected_channels([(4, 64), (8, 64), (16, 32), (32, 16)], 64) == ((16, 32), (32, 16))
    assert injected_channels([(4, 64), (8, 64), (16, 32)], 64) == ((16, 32),)
