"""Cycle targets: targets with a stranger's face, drawn by the swapper as it stands."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.training.state import TrainState
from alrl_jax.training.tasks import cycle_targets, make_task
from alrl_jax.training.tasks.swap import SwapTask
from alrl_jax.training.tasks.swap_forward import SwapPairs
from alrl_jax.types import UNLABELLED, PairBatch
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_strangers_are_other_faces_of_the_block() -> None:
    rows = jnp.broadcast_to(jnp.arange(8.0)[:, None, None, None], (8, 2, 2, 3))
    moved = cycle_targets.strangers(rows, 2)[:, 0, 0, 0]
    np.testing.assert_array_equal(moved, [3, 0, 1, 2, 7, 4, 5, 6])


def test_what_a_cycle_target_shows_is_unknown() -> None:
    faces, where = tiny.random_faces(4), jnp.asarray([True, False, True, False])
    seen = cycle_targets.put_in(faces, where, jnp.zeros_like(faces.image))
    assert not seen.image[where].any() and (seen.parsing[where] == UNLABELLED).all()
    assert np.isnan(seen.identity_factors[where]).all()
    for name in ("image", "parsing", "identity_factors"):
        wanted = getattr(faces, name)[~where]
        np.testing.assert_array_equal(getattr(seen, name)[~where], wanted)
    np.testing.assert_array_equal(seen.attribute_factors, faces.attribute_factors)
    assert seen.labelled.all()


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> SwapTask:
    identity = tiny.save_tiny_identity(tmp_path_factory.mktemp("identity"))
    config = tiny.tiny_config(
        "synthetic_64", identity, swap__cycle_targets=1.0, discriminator__mbstd_blocks=2
    )
    made = make_task(config)
    assert isinstance(made, SwapTask)
    return made


def test_the_averaged_networks_put_the_next_source_into_one_persons_targets(
    task: SwapTask,
) -> None:
    batch, frozen = tiny.random_batch("pairs"), task.load_frozen()
    assert isinstance(batch, PairBatch)
    state = jax.jit(task.init)(jax.random.key(0), {})
    ema = jax.tree.map(lambda x: 0.5 * x, state.ema)
    sources = cycle_targets.strangers(jnp.asarray(batch.source.image), 2)

    @jax.jit
    def both(state: TrainState, frozen: Any) -> tuple[SwapPairs, jax.Array]:
        pairs = task._pairs(state, frozen, batch, jax.random.key(1))
        networks = task._networks(ema, state, frozen)
        return pairs, task._swap_images(networks, sources, batch.target.image)

    pairs, swapped = both(dataclasses.replace(state, ema=ema), frozen)
    same = np.asarray(batch.same_identity)
    np.testing.assert_array_equal(pairs.whole_source, batch.source.image)
    np.testing.assert_array_equal(pairs.whole_target[~same], batch.target.image[~same])
    np.testing.assert_allclose(pairs.whole_target[same], swapped[same], atol=1e-5)
    np.testing.assert_array_equal(pairs.truth, batch.target.image)
    assert np.abs(swapped[same] - batch.target.image[same]).max() > 0.01
    _, labels = task._loss_networks.labels(frozen, pairs)
    assert labels is not None
    np.testing.assert_array_equal(labels.known, ~same)  # nor do cycle targets have a mask


def test_blocks_of_one_pair_have_no_stranger() -> None:
    values = tiny.tiny_config("synthetic_64").to_dict()
    values["swap"]["cycle_targets"], values["discriminator"]["mbstd_blocks"] = 0.5, tiny.BATCH
    with pytest.raises(UserError, match="swap.cycle_targets is 0.5 with 8 pairs in 8"):
        Config.from_dict(values)
