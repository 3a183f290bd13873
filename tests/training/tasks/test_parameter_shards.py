"""A state that is split over devices: the same training, less memory, more messages."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.storage.checkpoint import Checkpointer
from alrl_jax.training import sharding
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import Task, make_task
from tests.support import tiny
from tests.support.states import placed

pytestmark = pytest.mark.usefixtures("quick_compilation")

DEVICES = 4
OFF = (
    *("adversarial", "r1", "perceptual", "self_perceptual", "self_reconstruction", "background"),
    *("attributes", "attribute_groups", "parsing"),
)


def make(name: str, folder: Path) -> Task:
    """A task with few losses, as each has to be compiled."""
    adam = {"optimizer__algorithm": "adam"}
    if name == "identity_64":
        return make_task(tiny.tiny_config(name, **adam, identity__hidden=64))
    identity = tiny.save_tiny_identity(folder / "model")
    losses = {f"losses__{loss}": 0.0 for loss in OFF}
    return make_task(tiny.tiny_config(name, identity, **adam, **losses))


def run(task: Task, shards: int) -> tuple[Any, dict[str, float], str]:
    """State and metrics after an update, and the compiled text."""
    mesh = sharding.make_mesh(jax.devices()[:DEVICES], shards)
    rng = np.random.default_rng(0)
    abstract = jax.eval_shape(task.init, jax.random.key(0), {})
    values = jax.tree.map(lambda leaf: start(rng, leaf), abstract)
    # Second moments that are not 0: else an update is a sign, of gradients that may be noise.
    values = dataclasses.replace(values, opt_state=jax.tree.map(np.square, values.opt_state))
    state = placed(mesh, values)
    frozen = sharding.replicate(mesh, task.load_frozen())
    faces = jax.tree.map(np.asarray, tiny.random_batch(task.batch_kind))
    batch = sharding.shard_batch(mesh, faces)
    program = lower_step(task, task.phase(1), mesh, state, frozen, batch).compile()
    leaves, metrics = program(jax.tree.leaves(state), jax.tree.leaves((frozen, batch)))
    found = {name: float(value) for name, value in metrics.items()}
    return jax.tree.unflatten(jax.tree.structure(state), leaves), found, program.as_text()


def start(rng: np.random.Generator, leaf: Any) -> np.ndarray:
    """Random numbers, counters of 0; true initial values would have to be compiled."""
    if not np.issubdtype(leaf.dtype, np.floating):
        return np.zeros(leaf.shape, leaf.dtype)
    return np.asarray(0.2 * rng.standard_normal(leaf.shape)).astype(leaf.dtype)


@pytest.mark.parametrize(
    "name", ["identity_64", pytest.param("synthetic_64", marks=pytest.mark.slow)]
)
def test_a_split_state_trains_as_a_whole_one(name: str, tmp_path: Path) -> None:
    task = make(name, tmp_path)
    whole, expected, alone = run(task, 1)
    split, found, text = run(task, 2)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(split), strict=True):
        scale = np.abs(np.asarray(a)).max(initial=0)
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * scale)
    large = [x for x in jax.tree.leaves(whole) if x.size >= sharding.SMALLEST_SPLIT]
    kept = sharding.bytes_per_device(whole) - sharding.bytes_per_device(split)
    assert kept == sum(x.nbytes for x in large) // 2 > 0
    assert re.search("all-gather|all-to-all", text) and "all-gather" not in alone


def test_a_checkpoint_does_not_care_how_it_lay(tmp_path: Path) -> None:
    state = {"params": {"w": np.arange(4096, dtype=np.float32).reshape(64, 64)}}
    meshes = [sharding.make_mesh(parameter_shards=n) for n in (4, 1, 2)]
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    with Checkpointer(tmp_path, keep=3) as checkpointer:
        checkpointer.save(1, placed(meshes[0], state), {})
        checkpointer.wait()
        for mesh in meshes:
            restored = checkpointer.restore(sharding.abstract_state(mesh, abstract))
            assert restored is not None
            weights = restored.state["params"]["w"]
            np.testing.assert_array_equal(weights, state["params"]["w"])
            assert weights.sharding == sharding.state_sharding(mesh, (64, 64))
