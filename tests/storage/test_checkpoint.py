import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alrl_jax.errors import UserError
from alrl_jax.storage import checkpoint as checkpoint_module
from alrl_jax.storage.checkpoint import Checkpointer, is_readable, newest_step, read_fields
from alrl_jax.training import sharding
from alrl_jax.training.state import TrainState
from tests.support.damage import after_damage, damage


def make_state(value: float, mesh: jax.sharding.Mesh | None = None) -> TrainState:
    params = {"net": {"w": np.full((4, 3), value, np.float32), "b": np.zeros(3, np.float32)}}
    state = TrainState(
        step=np.array(value, np.int32),
        params=params,
        ema=params,
        opt_state={"net": jax.device_get(optax.adam(0.1).init(params["net"]))},
        mutable={},
    )
    return sharding.replicate(mesh or sharding.make_mesh(), state)


def abstract(state: TrainState) -> TrainState:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def save_steps(workdir: Path, *steps: int, keep: int = 5) -> None:
    with Checkpointer(workdir, keep) as checkpointer:
        for step in steps:
            checkpointer.save(step, make_state(step), {"iterator": {"next_index": step}})


def assert_trees_equal(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for leaf_a, leaf_b in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(leaf_a, leaf_b)


def test_restores_state_and_metadata(tmp_path: Path) -> None:
    state = make_state(7)
    with Checkpointer(tmp_path, keep=2) as checkpointer:
        checkpointer.save(7, state, {"iterator": {"next_index": 7}, "sums": [0.1, 2]})
    with Checkpointer(tmp_path, keep=2) as checkpointer:
        restored = checkpointer.restore(abstract(state))
    assert restored is not None
    assert restored.step == 7
    assert restored.metadata == {"iterator": {"next_index": 7}, "sums": [0.1, 2]}
    assert_trees_equal(restored.state, state)
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(restored.state))


def test_restores_onto_other_devices(tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    fewer = sharding.make_mesh(jax.devices()[:2])
    with Checkpointer(tmp_path, keep=2) as checkpointer:
        restored = checkpointer.restore(abstract(make_state(0, fewer)))
    assert restored is not None
    assert restored.state.params["net"]["w"].sharding == sharding.replicated(fewer)
    assert_trees_equal(restored.state, make_state(1))


def test_nothing_to_restore(tmp_path: Path) -> None:
    with Checkpointer(tmp_path, keep=2) as checkpointer:
        assert checkpointer.restore(abstract(make_state(0))) is None
        assert checkpointer.latest_step() is None
    assert newest_step(tmp_path) is None


def test_keeps_the_newest_only(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2, 3, 4, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]
    assert newest_step(tmp_path) == 4


def test_state_may_be_donated_during_a_save(tmp_path: Path) -> None:
    big = sharding.replicate(sharding.make_mesh(), {"w": np.zeros((500, 500), np.float32)})
    add_one = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1.0, tree), donate_argnums=0)
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        for step in range(3):
            checkpointer.save(step, {"params": big}, {})
            big = add_one(big)
    saved = [read_step(tmp_path, step) for step in range(3)]
    assert [(w.min(), w.max()) for w in saved] == [(0, 0), (1, 1), (2, 2)]


def read_step(workdir: Path, step: int) -> np.ndarray:
    """Reads one step by moving it alone into a directory of its own."""
    alone = workdir / f"alone_{step}" / "checkpoints"
    alone.mkdir(parents=True)
    (workdir / "checkpoints" / str(step)).rename(alone / str(step))
    return read_fields(alone.parent, ["params"])[1]["params"]["w"]


@after_damage
def test_a_name_is_no_checkpoint(tmp_path: Path) -> None:
    """What a run is finished by has to be readable."""
    save_steps(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / "1000").mkdir()
    damage(tmp_path, 2)
    assert newest_step(tmp_path) == 1000
    assert [is_readable(tmp_path, step) for step in (1, 2, 1000)] == [True, False, False]


def test_a_disk_without_room_is_said_before_anything_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, usage = abstract(make_state(0)), shutil.disk_usage(tmp_path)
    with Checkpointer(tmp_path, keep=1) as checkpointer:
        checkpointer.check_room(state)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
        with pytest.raises(UserError, match="0 MiB left; expected room for a checkpoint of 1 MiB"):
            checkpointer.check_room(state)


@after_damage
def test_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, 1, 2, 3)
    damage(tmp_path, 3)
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        restored = checkpointer.restore(abstract(make_state(0)))
        assert restored is not None and restored.step == 2
        assert_trees_equal(restored.state, make_state(2))
        checkpointer.save(3, make_state(30), {})
    assert "checkpoint 3 cannot be read" in caplog.text
    assert (tmp_path / "damaged_checkpoints" / "3").is_dir()
    assert read_fields(tmp_path, ["ema"])[1]["ema"]["net"]["w"][0, 0] == 30


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: out of memory on the device")]
)
def test_lack_of_memory_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    save_steps(tmp_path, 1, 2)

    def fail(*arguments: Any) -> None:
        raise ValueError("as Orbax wraps it") from error

    with Checkpointer(tmp_path, keep=5) as checkpointer:
        monkeypatch.setattr(checkpointer, "_restore", fail)
        with pytest.raises(ValueError, match="as Orbax wraps it"):
            checkpointer.restore(abstract(make_state(0)))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


def test_processes_agree_on_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two, the other, which this one plays too, can read the older checkpoint alone."""
    save_steps(tmp_path, 1, 2)
    answers = iter([[True, False], [True, True]])
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        monkeypatch.setattr(checkpointer, "_set_aside", lambda steps: None)
        monkeypatch.setattr(checkpoint_module, "_agreed_steps", lambda steps: steps)
        monkeypatch.setattr(checkpoint_module, "_everywhere", lambda done: all(next(answers)))
        restored = checkpointer.restore(abstract(make_state(0)))
    assert restored is not None and restored.step == 1
    assert "checkpoint 2 cannot be read: another process cannot read it" in caplog.text


@after_damage
@pytest.mark.parametrize("lost", ["_CHECKPOINT_METADATA", "state/manifest.ocdbt"])
def test_lost_file_falls_back(tmp_path: Path, lost: str) -> None:
    save_steps(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / "2" / lost).unlink()
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        restored = checkpointer.restore(abstract(make_state(0)))
    assert restored is not None and restored.step == 1


@after_damage
def test_no_readable_checkpoint_is_an_error_that_leaves_all_in_place(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2)
    damage(tmp_path, 1)
    damage(tmp_path, 2)
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        with pytest.raises(UserError, match="no checkpoint that can be read.*newest, 2"):
            checkpointer.restore(abstract(make_state(0)))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


@after_damage
def test_other_shapes_do_not_restore(tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    state = make_state(0)
    params = {"net": state.params["net"] | {"w": jnp.zeros((4, 2))}}
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        with pytest.raises(UserError, match="no checkpoint that can be read"):
            checkpointer.restore(abstract(dataclasses.replace(state, params=params)))


def test_unfinished_save_is_no_checkpoint(tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "1").rename(checkpoints / "2.orbax-checkpoint-tmp")
    assert newest_step(tmp_path) is None
    with Checkpointer(tmp_path, keep=5) as checkpointer:
        assert checkpointer.restore(abstract(make_state(0))) is None
        checkpointer.save(2, make_state(2), {})
    assert newest_step(tmp_path) == 2


def test_reads_chosen_fields_alone(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2)
    step, fields = read_fields(tmp_path, ["ema", "step", "mutable"])
    assert step == 2 and fields["step"] == 2
    assert set(fields) == {"ema", "step", "mutable"}
    assert fields["mutable"] == {}
    assert isinstance(fields["step"], np.ndarray)
    assert_trees_equal(fields["ema"], jax.device_get(make_state(2).ema))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(fields["ema"]))


@after_damage
def test_reading_fields_skips_a_damaged_checkpoint(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2)
    damage(tmp_path, 2)
    assert read_fields(tmp_path, ["ema"])[0] == 1


@after_damage
def test_reading_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is none"):
        read_fields(tmp_path, ["ema"])
    save_steps(tmp_path, 1)
    with pytest.raises(UserError, match="no_such_field"):
        read_fields(tmp_path, ["no_such_field"])
