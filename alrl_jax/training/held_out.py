"""Figures of a run on faces that it does not train on, always the same ones."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from alrl_jax.training import sharding
from alrl_jax.training.tasks.task import Measurable

PyTree = Any


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What to measure, on what and how often.

    Attributes:
        task: says what the averaged networks make of a batch. Where the devices keep the data that
            a run trains on, this is the task without them.
        batch: opens this process's share of the batch: a tree of NumPy arrays.
        every: steps between measurements.
    """

    task: Measurable
    batch: Callable[[], PyTree]
    every: int

    def opened(self, mesh: jax.sharding.Mesh) -> Callable[..., dict[str, float]]:
        """The measurement of a step, a state and its frozen networks; empty between its turns."""
        batch = sharding.shard_batch(mesh, self.batch())
        measure = jax.jit(self.task.measure, out_shardings=sharding.replicated(mesh))

        def measured(step: int, state: PyTree, frozen: dict[str, PyTree]) -> dict[str, float]:
            if step % self.every:
                return {}
            # Where the devices keep the training data, those lie beside the networks.
            found = measure(state, frozen.get("networks", frozen), batch)
            return {name: float(value) for name, value in jax.device_get(found).items()}

        return measured
