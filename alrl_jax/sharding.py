"""Devices and how arrays lie on them: the only place that knows meshes.

Training is data parallel: a batch is split along its first axis over all devices, everything else
is replicated.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from alrl_jax.errors import UserError

PyTree = Any

AXIS = "data"
"""Name of the only mesh axis."""


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A one-dimensional mesh.

    Args:
        devices: the ``jax.Device`` objects to use; None means all, those of other processes
            included.

    Returns:
        A mesh with the axis ``AXIS``, along which batches are split.
    """
    devices = jax.devices() if devices is None else list(devices)
    # Linen layers carry no output shardings, so the axis has to be automatic.
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of parameters and metrics: a full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of batches: the first axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Makes sure that a batch can be split evenly.

    Raises:
        UserError: if ``batch_size`` (images in the global batch) is not a multiple of the number
            of devices.
    """
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
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), local_batch
    )


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts a full copy of host arrays on every device; every process must hold the same values."""
    sharding = replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def abstract_replicated(mesh: Mesh, tree: PyTree) -> PyTree:
    """Shapes and types of a tree, as replicated over the mesh: what a checkpoint restores into."""
    sharding = replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
