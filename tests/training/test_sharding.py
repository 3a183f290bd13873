from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from alrl_jax.errors import UserError
from alrl_jax.training import sharding
from tests.support.states import placed


def test_mesh_holds_every_device_on_an_automatic_axis() -> None:
    mesh = sharding.make_mesh()
    assert list(mesh.devices.flat) == jax.devices()
    assert mesh.axis_names == sharding.AXES
    assert mesh.axis_types == (AxisType.Auto,) * 2


def test_mesh_of_chosen_devices() -> None:
    assert list(sharding.make_mesh(jax.devices()[:2]).devices.flat) == jax.devices()[:2]


def test_devices_of_a_process_stand_side_by_side() -> None:
    """As the chips of hosts with two by two of four by two."""
    devices = [SimpleNamespace(id=i, process_index=p) for i, p in enumerate((0, 0, 1, 1) * 2)]
    assert [d.id for d in sharding.in_process_order(devices)] == [0, 1, 4, 5, 2, 3, 6, 7]


def test_batch_is_split_along_its_first_axis() -> None:
    mesh = sharding.make_mesh()
    count = 2 * mesh.size
    batch = {
        "image": np.arange(count * 3, dtype=np.float32).reshape(count, 3),
        "labelled": np.arange(count) % 2 == 0,
        "factors": np.zeros((count, 0), np.float32),
    }
    placed = sharding.shard_batch(mesh, batch)
    for name, values in batch.items():
        assert placed[name].sharding.spec == PartitionSpec(sharding.AXES)
        assert placed[name].dtype == values.dtype
        np.testing.assert_array_equal(placed[name], values)
    shards = placed["image"].addressable_shards
    assert [shard.data.shape for shard in shards] == [(2, 3)] * mesh.size


def test_replicated_arrays_are_whole_on_every_device() -> None:
    mesh = sharding.make_mesh()
    placed = sharding.replicate(mesh, {"w": np.eye(2, dtype=np.float32), "n": np.int32(3)})
    assert placed["n"].is_fully_replicated and placed["n"].shape == ()
    for shard in placed["w"].addressable_shards:
        np.testing.assert_array_equal(shard.data, np.eye(2))


def test_abstract_tree_keeps_shapes_and_types() -> None:
    mesh = sharding.make_mesh()
    leaf = sharding.abstract_state(mesh, [jax.ShapeDtypeStruct((2, 3), np.int32)])[0]
    assert (leaf.shape, leaf.dtype) == ((2, 3), np.int32)
    assert leaf.sharding == sharding.replicated(mesh)


def test_large_arrays_of_a_state_are_split() -> None:
    mesh = sharding.make_mesh(parameter_shards=4)
    shape = jax.ShapeDtypeStruct
    state = {
        "kernel": shape((3, 3, 64, 128), np.float32),
        "square": shape((64, 64), np.float32),
        "odd": shape((51, 51), np.float32),
        "bias": shape((128,), np.float32),
    }
    specs = {k: tuple(sharding.state_sharding(mesh, v.shape).spec) for k, v in state.items()}
    split = sharding.AXES[1]
    expected = {"kernel": (None, None, None, split), "square": (split,), "odd": (), "bias": ()}
    assert specs == expected
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
    split_up = placed(mesh, zeros)
    whole = 4 * (51 * 51 + 128)
    assert sharding.bytes_per_device(split_up) == whole + 4 * (9 * 64 * 128 + 64 * 64) // 4
    alone = placed(sharding.make_mesh(), zeros)
    assert sharding.bytes_per_device(alone) == whole + 4 * (9 * 64 * 128 + 64 * 64)


def test_devices_have_to_make_whole_groups() -> None:
    with pytest.raises(UserError, match="parameter_shards is 3; expected a divisor of the 8 dev"):
        sharding.make_mesh(parameter_shards=3)


def test_batch_size_has_to_fit_the_devices() -> None:
    mesh = sharding.make_mesh(jax.devices()[:4])
    sharding.check_batch_size(8, mesh)
    with pytest.raises(UserError, match="batch_size is 6; .*4 devices; set --config.batch_size=8"):
        sharding.check_batch_size(6, mesh)
    with pytest.raises(UserError, match="set --config.batch_size=4"):
        sharding.check_batch_size(1, mesh)
