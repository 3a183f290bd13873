"""Data that the devices keep: a task whose batches are put together where they are used."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, Key

from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training import sharding
from alrl_jax.training.tasks.pretrained import Reader
from alrl_jax.training.tasks.task import Metrics, Trainable

PyTree = Any


@runtime_checkable
class HeldBatches(Protocol):
    """Batches whose elements are draws from data that the devices can keep."""

    def bytes_held(self) -> int:
        """Size of the data, in bytes."""
        ...

    def columns(self) -> PyTree:
        """The data: a tree of NumPy arrays, the same in every process."""
        ...

    def expand(self, columns: PyTree, drawn: PyTree) -> PyTree:
        """The batch of a draw; traceable."""
        ...


class OnHeldData:
    """A task that takes draws for batches, and data beside the frozen networks."""

    def __init__(self, task: Trainable, batches: HeldBatches, mesh: jax.sharding.Mesh) -> None:
        """Wraps a task; its frozen variables are then ``{"networks": ..., "data": ...}``."""
        self._task, self._batches = task, batches
        self._where = sharding.batch_sharding(mesh)

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """The task's frozen networks, without the data."""
        return self._task.load_frozen(read)

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """As the task."""
        return self._task.load_pretrained(read)

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> PyTree:
        """As the task."""
        return self._task.init(key, pretrained)

    def phase(self, step: int) -> Hashable:
        """As the task."""
        return self._task.phase(step)

    def step(
        self, state: PyTree, frozen: dict[str, PyTree], batch: PyTree, phase: Any
    ) -> tuple[PyTree, Metrics]:
        """One update on the batch of a draw."""
        return self._task.step(state, frozen["networks"], self._batch(frozen, batch), phase)

    def preview(
        self, state: PyTree, frozen: dict[str, PyTree], batch: PyTree
    ) -> dict[str, Float[Array, "b ..."]]:
        """Columns of the sample grid for a draw."""
        return self._task.preview(state, frozen["networks"], self._batch(frozen, batch))

    def _batch(self, frozen: dict[str, PyTree], drawn: PyTree) -> PyTree:
        batch = self._batches.expand(frozen["data"], drawn)
        # Each device puts together its own rows, and no other ones.
        return jax.lax.with_sharding_constraint(batch, self._where)


def hold(mesh: jax.sharding.Mesh, batches: HeldBatches) -> PyTree:
    """Puts all data on every device.

    Raises:
        UserError: if a device says that it has no room for them.
    """
    check_room(mesh.local_devices, batches.bytes_held())
    return sharding.replicate(mesh, batches.columns())


def check_room(devices: Sequence[Any], wanted: int) -> None:
    """Makes sure that data fit beside what devices keep; not all of them say how much they can.

    Args:
        devices: this process's ``jax.Device`` objects.
        wanted: bytes that each has to take.

    Raises:
        UserError: naming the sizes.
    """
    for device in devices:
        memory = device.memory_stats() or {}
        limit, used = memory.get("bytes_limit"), memory.get("bytes_in_use", 0)
        if limit is not None and wanted > limit - used:
            raise UserError(
                f"got data.on_device=True with {wanted / 2**30:.2f} GiB of faces; expected at most "
                f"the {(limit - used) / 2**30:.2f} GiB that are free on {device.device_kind} (of "
                f"{limit / 2**30:.2f}); set --config.data.on_device=False, or take fewer or "
                "smaller pictures"
            )
