"""Devices and how arrays lie on them: the only place that knows meshes.

Training is data parallel: a batch is split along its first axis over all devices. The state is
replicated, or split over groups of ``parameter_shards`` neighbouring devices, each of which then
keeps a part of every large array and gathers the rest when it is needed. Everything else is
replicated.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from alrl_jax.errors import UserError

PyTree = Any

AXES = ("data", "parameters")
"""Names of the mesh axes: groups of devices, and devices of a group."""

SMALLEST_SPLIT = 2**11
"""Numbers in an array that is worth splitting; gathering costs more than smaller ones take up."""


def make_mesh(devices: Sequence[Any] | None = None, parameter_shards: int = 1) -> Mesh:
    """A mesh of groups of devices, those of a process side by side.

    ``jax.make_mesh`` orders the chips of a TPU slice along its wires, which scatters the devices of
    a host over the mesh; then the slices of a batch that hosts read would be shuffled, and with
    them which images meet in a block of the discriminator's statistics. Sums over all devices do
    not depend on their order.

    Args:
        devices: the ``jax.Device`` objects to use; None means all, those of other processes
            included.
        parameter_shards: devices among which a state is split.

    Returns:
        A mesh with the axes ``AXES``; batches are split along both.

    Raises:
        UserError: if the devices do not make whole groups.
    """
    devices = jax.devices() if devices is None else list(devices)
    if len(devices) % parameter_shards:
        raise UserError(
            f"parameter_shards is {parameter_shards}; expected a divisor of the {len(devices)} "
            "devices; set --config.parameter_shards=1"
        )
    shape = (len(devices) // parameter_shards, parameter_shards)
    grid = np.array(in_process_order(devices)).reshape(shape)
    # Linen layers carry no output shardings, so the axes have to be automatic.
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * 2)


def in_process_order(devices: Sequence[Any]) -> list[Any]:
    """Devices of the first process, of the second and so on; as they were within each."""
    # A stable sort: devices of a process stay in the order of the runtime.
    return sorted(devices, key=lambda device: device.process_index)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of frozen networks and metrics: a full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of batches: the first axis is split over the devices."""
    # Along both: devices that share a state have images of their own all the same.
    return NamedSharding(mesh, PartitionSpec(AXES))


def stack_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of batches that lie upon each other: the second axis is split."""
    return NamedSharding(mesh, PartitionSpec(None, AXES))


def state_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """How an array of a state lies: a large one is split along its longest axis that can be.

    Args:
        mesh: see ``make_mesh``; on groups of one device all is replicated.
        shape: of the whole array.
    """
    shards = mesh.shape[AXES[1]]
    # JAX refuses unequal parts.
    lengths = [length if length % shards == 0 else 0 for length in shape]
    if shards == 1 or np.prod(shape) < SMALLEST_SPLIT or not any(lengths):
        return replicated(mesh)
    axis = int(np.argmax(lengths))
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXES[1]))


def bytes_per_device(tree: PyTree) -> int:
    """What one device keeps of a tree of arrays."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def check_batch_size(batch_size: int, mesh: Mesh, parts: int = 1) -> None:
    """Makes sure that a batch can be split evenly, and each of the parts in which it is seen.

    Raises:
        UserError: if ``batch_size`` (images in the global batch) is not a multiple of the number
            of devices, or a part of it is not.
    """
    if batch_size % mesh.size == 0 and batch_size // parts % mesh.size:
        raise UserError(
            f"accumulate is {parts} with batch_size {batch_size}; expected parts that are a "
            f"multiple of the {mesh.size} devices; set --config.accumulate=1, or a batch_size that "
            f"is a multiple of {parts * mesh.size}"
        )
    if batch_size % mesh.size:
        nearest = max(1, round(batch_size / mesh.size)) * mesh.size
        raise UserError(
            f"batch_size is {batch_size}; expected a multiple of the {mesh.size} devices; "
            f"set --config.batch_size={nearest}"
        )


def shard_batch(mesh: Mesh, local_batch: PyTree) -> PyTree:
    """Puts one process's share of a batch on its devices.

    Args:
        mesh: the devices.
        local_batch: tree of NumPy arrays whose first axis is this process's slice of the batch.

    Returns:
        The same tree of global arrays, split along the first axis. Leaves keep their types.
    """
    sharding = batch_sharding(mesh)
    # No process ever holds the whole batch.
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), local_batch
    )


def shard_stack(mesh: Mesh, local_stack: PyTree) -> PyTree:
    """Puts one process's share of several batches on its devices; see ``shard_batch``.

    Args:
        mesh: the devices.
        local_stack: tree of NumPy arrays; the first axis counts batches, the second is this
            process's slice of them.
    """
    sharding = stack_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), local_stack)


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts a full copy of host arrays on every device; every process must hold the same values."""
    sharding = replicated(mesh)
    # Of several processes none can reach all devices, as ``device_put`` would have to.
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def abstract_state(mesh: Mesh, state: PyTree) -> PyTree:
    """Shapes and types of a state as it lies on the mesh: what a checkpoint restores into."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=state_sharding(mesh, x.shape)),
        state,
    )
