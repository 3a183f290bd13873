"""Learned transfers and trained fixed rules: where they start, what a caller can ask of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.build import build_selector
from alrl_jax.models.swapper.pair_codes import FROM_SOURCE, FROM_TARGET, LEARNED, PairCodes
from alrl_jax.models.swapper.selection import SELECTORS, FixedSwap
from alrl_jax.models.swapper.transfers import COARSE_LAYERS, TRANSFERS, LearnedTransfer, moved_share
from alrl_jax.types import LatentCodes, SwapGates

GROUPS = ("identity", "pose")
BATCH, LAYERS, WIDTH, POSE = 3, 8, 8, 4
VALUES = {"channel_groups": 2, "width": 16, "gate_mode": "hard"}
WITHOUT_QUERIES = (*TRANSFERS, *(name for name, rule in SELECTORS.items() if rule is not None))


def codes(seed: int) -> LatentCodes:
    keys = jax.random.split(jax.random.key(seed))
    return LatentCodes(
        pose=jax.random.normal(keys[0], (BATCH, 4, 4, POSE)),
        attributes=jax.random.normal(keys[1], (BATCH, LAYERS, WIDTH)),
    )


SOURCE, TARGET = codes(1), codes(2)
EMBEDDING = jnp.ones((BATCH, 5)) / jnp.sqrt(5.0)


def randomised(variables: Any) -> Any:
    """Weights far from their start; a fixed rule has none."""
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(5), max(len(leaves), 1))
    draws = [0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=False)]
    return jax.tree.unflatten(structure, draws)


def swap(
    name: str, fresh: bool = True, identity: int = LEARNED, pose: int = FROM_TARGET
) -> tuple[LatentCodes, SwapGates]:
    """Swapped codes of a fresh selector, or of one whose weights are far from their start."""
    selector = build_selector({**VALUES, "selector": name}, GROUPS, LAYERS)
    overrides = jnp.asarray([identity, pose], jnp.int32)
    arguments = (PairCodes(SOURCE, TARGET, EMBEDDING), overrides)
    variables = selector.init(jax.random.key(0), *arguments)
    if not fresh:
        variables = randomised(variables)
    return selector.apply(variables, *arguments)


def test_every_selector_is_built_by_its_name() -> None:
    built = {n: build_selector({**VALUES, "selector": n}, GROUPS, LAYERS) for n in WITHOUT_QUERIES}
    assert all(isinstance(built[name], LearnedTransfer) for name in TRANSFERS)
    assert all(isinstance(built[name], FixedSwap) for name in set(built) - set(TRANSFERS))
    best = build_selector(
        {**VALUES, "selector": "best_fixed", "source_weights": [0, 1]}, GROUPS, LAYERS
    )
    assert isinstance(best, FixedSwap) and best.source_weights == (0.0, 1.0)


@pytest.mark.parametrize("fresh", [True, False])
def test_coarse_codes_of_ftm4_are_the_targets(fresh: bool) -> None:
    swapped, gates = swap("ftm4", fresh)
    np.testing.assert_array_equal(
        swapped.attributes[:, :COARSE_LAYERS], TARGET.attributes[:, :COARSE_LAYERS]
    )
    np.testing.assert_array_equal(swapped.pose, TARGET.pose)
    assert not np.asarray(gates.attributes[:, :COARSE_LAYERS]).any()
    moved = swapped.attributes[:, COARSE_LAYERS:] != TARGET.attributes[:, COARSE_LAYERS:]
    assert np.asarray(moved).all()


def test_a_fresh_ftm4_mixes_by_halves() -> None:
    swapped, _ = swap("ftm4")
    kept = float(jax.nn.sigmoid(3.0)) ** 3
    expected = kept * (SOURCE.attributes + TARGET.attributes)[:, COARSE_LAYERS:] / 2
    np.testing.assert_allclose(swapped.attributes[:, COARSE_LAYERS:], expected, rtol=1e-5)


def test_a_fresh_mixer_is_the_target() -> None:
    swapped, gates = swap("mixer")
    np.testing.assert_array_equal(swapped.attributes, TARGET.attributes)
    np.testing.assert_array_equal(swapped.pose, TARGET.pose)
    assert not np.asarray(gates.attributes).any()
    swapped, _ = swap("mixer", fresh=False)
    assert np.asarray(swapped.attributes != TARGET.attributes).all()


def test_layers_have_weights_of_their_own() -> None:
    """Equal codes in every layer come out different."""
    flat = jnp.broadcast_to(SOURCE.attributes[:, :1], SOURCE.attributes.shape)
    same = LatentCodes(SOURCE.pose, flat)
    for name in TRANSFERS:
        selector = build_selector({**VALUES, "selector": name}, GROUPS, LAYERS)
        faces = PairCodes(same, same, EMBEDDING)
        arguments = (faces, jnp.asarray([LEARNED, FROM_TARGET], jnp.int32))
        variables = randomised(selector.init(jax.random.key(0), *arguments))
        moved = np.asarray(selector.apply(variables, *arguments)[0].attributes)
        assert (moved[:, -1] != moved[:, -2]).any(), name


@pytest.mark.parametrize("name", WITHOUT_QUERIES)
def test_a_caller_chooses_pose_and_identity(name: str) -> None:
    swapped, gates = swap(name, fresh=False, identity=FROM_TARGET)
    np.testing.assert_array_equal(swapped.attributes, TARGET.attributes)
    np.testing.assert_array_equal(swapped.pose, TARGET.pose)
    assert not np.asarray(gates.attributes).any() and not np.asarray(gates.pose).any()
    swapped, gates = swap(name, fresh=False, pose=FROM_SOURCE)
    trained, _ = swap(name, fresh=False)
    np.testing.assert_allclose(swapped.pose, SOURCE.pose, atol=1e-6)
    assert np.asarray(gates.pose == 1.0).all()
    np.testing.assert_array_equal(swapped.attributes, trained.attributes)


@pytest.mark.parametrize("name", WITHOUT_QUERIES)
def test_gates_are_shares(name: str) -> None:
    _, gates = swap(name, fresh=False)
    assert gates.owners.shape == (*gates.attributes.shape[1:], 1)
    for values in (gates.attributes, gates.pose):
        assert 0.0 <= float(values.min()) and float(values.max()) <= 1.0


def test_moved_share_is_that_of_the_way() -> None:
    source, target = jnp.ones((1, 2, 4)), jnp.zeros((1, 2, 4))
    way = jnp.asarray([[[0.25, 0.25, 0.5, 1.0], [-1.0, -1.0, 2.0, 3.0]]])
    share = moved_share(source, target, way, 2)
    np.testing.assert_allclose(share, [[[0.25, 0.75], [0.0, 1.0]]])
    assert not np.asarray(moved_share(source, source, source, 2)).any(), "no way at all"
    slope = jax.grad(lambda x: jnp.sum(moved_share(source, target, x, 2)))(way)
    assert not np.asarray(slope).any()
