"""Calls of the devices: an update each, or many, by one program for any number and order."""

import functools
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from alrl_jax.training import sharding
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks.task import Trainable

PyTree = Any
Leaves = list[Array]
Phases = Sequence[Hashable]
Names = dict[Hashable, tuple[str, ...]]
"""Metrics by phase."""


class Calls:
    """The updates of a run as programs: one for each phase, or one for up to ``length`` updates.

    Task, state and frozen variables are arguments, as they change hands between calls.
    """

    def __init__(
        self,
        mesh: jax.sharding.Mesh,
        length: int,
        compiled: Callable[[str, jax.stages.Compiled, float], None],
        compiling: Callable[[str, Hashable, jax.stages.Lowered], None] | None = None,
        waiting: Callable[[Callable[[], Any]], Any] = lambda call: call(),
    ) -> None:
        """Nothing is compiled yet.

        Args:
            mesh: devices.
            length: most updates of a call.
            compiled: called with what was compiled, the program, and the seconds it took.
            compiling: called before that with what will be compiled, the phase, and what is known
                of the program.
            waiting: makes a long call and returns its result.
        """
        self._compiling, self._waiting = compiling, waiting
        self._mesh, self._length, self._compiled = mesh, length, compiled
        self._phases: tuple[Hashable, ...] = ()
        self._names: Names = {}
        self._programs: dict[Hashable, Callable[..., Any]] = {}

    def expect(self, phases: Sequence[Hashable]) -> None:
        """Notes phases that will come: a program of many updates has to know all of them."""
        known = tuple(dict.fromkeys([*self._phases, *phases]))
        if known != self._phases and self._length > 1:
            self.forget()
        self._phases = known

    def forget(self) -> None:
        """Drops what is compiled."""
        self._programs = {}

    def has(self, phases: Sequence[Hashable]) -> bool:
        """Whether the next call compiles nothing."""
        known = set(phases) <= set(self._phases)
        return known and (phases[0] if self._length == 1 else None) in self._programs

    def shapes(self, batch: PyTree) -> PyTree:
        """What ``put`` makes of batches of these shapes."""
        many = self._length > 1
        where = (sharding.stack_sharding if many else sharding.batch_sharding)(self._mesh)
        more = (self._length,) if many else ()
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((*more, *x.shape), x.dtype, sharding=where), batch
        )

    def put(self, batches: Sequence[PyTree]) -> PyTree:
        """Puts the batches of a call on the devices, upon each other where these can be many."""
        if self._length > 1:
            return sharding.shard_stack(self._mesh, stack(batches, self._length))
        return sharding.shard_batch(self._mesh, batches[0])

    def compile_all(self, task: Trainable, state: PyTree, frozen: PyTree, batch: PyTree) -> None:
        """Compiles for all phases that are expected."""
        for phase in self._phases:
            self._program(phase, task, state, frozen, batch)

    def make(
        self, task: Trainable, state: PyTree, frozen: PyTree, batch: PyTree, phases: Phases
    ) -> tuple[PyTree, PyTree, list[tuple[str, ...]] | None]:
        """Makes the next call.

        Args:
            task: gives the updates.
            state: is consumed.
            frozen: variables that no update changes.
            batch: what ``put`` returned for the batches of these updates.
            phases: of the updates.

        Returns:
            The new state, the metrics, and their names as ``MetricWindow.add`` takes them.
        """
        self.expect(phases)
        program = self._program(phases[0], task, state, frozen, batch)
        leaves, structure = jax.tree.flatten(state)
        arguments: list[Any] = [leaves, jax.tree.leaves((frozen, batch))]
        if self._length == 1:
            leaves, metrics = program(*arguments)
            return jax.tree.unflatten(structure, leaves), metrics, None
        what = plan(self._mesh, phases, self._phases, self._length)
        leaves, metrics = program(*arguments, what)
        names = [self._names[phase] for phase in phases]
        return jax.tree.unflatten(structure, leaves), metrics, names

    def _program(self, phase: Hashable, task: Trainable, *parts: PyTree) -> Callable[..., Any]:
        """What makes the next update, or the next ones whatever their phases."""
        key = phase if self._length == 1 else None
        if key not in self._programs:
            begin = time.perf_counter()
            if self._length == 1:
                lowered = lower_step(task, phase, self._mesh, *parts)
                what = f"the step for {phase}"
            else:
                lowered, self._names = lower_call(task, self._phases, self._mesh, *parts)
                what = f"calls of up to {self._length} steps"
            if self._compiling is not None:
                self._compiling(what, phase, lowered)
            program = self._waiting(lowered.compile)
            self._programs[key] = program
            self._compiled(what, program, time.perf_counter() - begin)
        return self._programs[key]


def stack(batches: Sequence[PyTree], length: int) -> PyTree:
    """Batches upon each other, with zeros in the place of those that are missing to a length."""

    def stacked(*leaves: np.ndarray) -> np.ndarray:
        first = np.asarray(leaves[0])
        values = np.zeros((length, *first.shape), first.dtype)
        for i, leaf in enumerate(leaves):
            values[i] = leaf
        return values

    return jax.tree.map(stacked, *batches)


def plan(mesh: jax.sharding.Mesh, phases: Phases, known: Phases, length: int) -> dict[str, Array]:
    """What a call shall do: the last argument of the program.

    Args:
        mesh: devices.
        phases: of the updates of the call.
        known: phases of the program, in its order.
        length: most updates of a call.
    """
    places = np.zeros(length, np.int32)
    places[: len(phases)] = [known.index(phase) for phase in phases]
    return sharding.replicate(mesh, {"count": np.int32(len(phases)), "phases": places})


def lower_call(
    task: Trainable,
    phases: Phases,
    mesh: jax.sharding.Mesh,
    state: PyTree,
    frozen: dict[str, PyTree],
    batches: PyTree,
) -> tuple[jax.stages.Lowered, Names]:
    """Traces many updates into a program; ``lower_step`` is one update.

    A loop whose length is an argument goes from batch to batch, and a switch takes the update that
    belongs to a phase. So neither a shorter call nor another order of phases is compiled again.

    Args:
        task: gives the updates.
        phases: all that may come.
        mesh: devices on which the arguments lie.
        state: an example, as are the next two: arrays, or ``jax.ShapeDtypeStruct`` alone.
        frozen: variables of networks that are not trained.
        batches: global batches upon each other; their number is the greatest length of a call.

    Returns:
        The program, and the metrics that an update has by its phase. The program is a function of
        the leaves of ``state``, which it consumes, the leaves of ``(frozen, batches)`` and a
        ``plan``; it returns the leaves of the new state, and the metrics by name with a place for
        every update, 0 where an update does not have one.
    """
    state_leaves, structure = jax.tree.flatten(state)
    other_leaves, other_structure = jax.tree.flatten((frozen, batches))
    where = [sharding.state_sharding(mesh, leaf.shape) for leaf in state_leaves]
    length = jax.tree.leaves(batches)[0].shape[0]
    batch_structure = jax.tree.structure(batches)
    updates = [_update(task, phase, structure, batch_structure) for phase in phases]
    names: Names = {}

    def call(leaves: Leaves, others: Leaves, what: dict[str, Array]) -> tuple[Leaves, PyTree]:
        frozen, batches = jax.tree.unflatten(other_structure, others)
        rows = jax.tree.leaves(batches)
        example = leaves, frozen, [x[0] for x in rows]
        found = [jax.eval_shape(update, *example)[1] for update in updates]
        shapes = {name: shape for metrics in found for name, shape in metrics.items()}
        names.update({p: tuple(metrics) for p, metrics in zip(phases, found, strict=True)})

        def body(i: Int[Array, ""], carried: tuple[Leaves, PyTree]) -> tuple[Leaves, PyTree]:
            leaves, metrics = carried
            batch = [lax.dynamic_index_in_dim(x, i, keepdims=False) for x in rows]
            branches = [functools.partial(_padded, update, shapes) for update in updates]
            leaves, new = _switch(what["phases"][i], branches, leaves, frozen, batch)
            leaves = [lax.with_sharding_constraint(*x) for x in zip(leaves, where, strict=True)]
            return leaves, {name: metrics[name].at[i].set(value) for name, value in new.items()}

        none = {name: jnp.zeros((length,), shape.dtype) for name, shape in shapes.items()}
        return lax.fori_loop(0, what["count"], body, (leaves, none))

    jitted = jax.jit(call, donate_argnums=0, out_shardings=(where, sharding.replicated(mesh)))
    lowered = jitted.lower(state_leaves, other_leaves, plan(mesh, phases[:1], phases, length))
    return lowered, names


def _update(
    task: Trainable, phase: Hashable, structure: Any, batch_structure: Any
) -> Callable[[Leaves, PyTree, Leaves], tuple[Leaves, Mapping[str, Array]]]:
    """An update on lists of leaves, traced once wherever it is used."""

    @jax.jit
    def update(leaves: Leaves, frozen: PyTree, rows: Leaves) -> tuple[Leaves, Mapping[str, Array]]:
        state = jax.tree.unflatten(structure, leaves)
        state, metrics = task.step(state, frozen, jax.tree.unflatten(batch_structure, rows), phase)
        new_leaves, new_structure = jax.tree.flatten(state)
        if new_structure != structure:
            raise TypeError(f"{type(task).__name__}.step changed the structure of the state")
        return new_leaves, metrics

    return update


def _padded(
    update: Callable[..., Any], shapes: Mapping[str, Any], *arguments: Any
) -> tuple[Leaves, dict[str, Array]]:
    """An update with zeros for the metrics that only other ones have."""
    leaves, metrics = update(*arguments)
    return leaves, {
        name: metrics.get(name, jnp.zeros(shape.shape, shape.dtype))
        for name, shape in shapes.items()
    }


def _switch(place: Int[Array, ""], branches: Sequence[Callable[..., Any]], *arguments: Any) -> Any:
    if len(branches) == 1:
        return branches[0](*arguments)
    return lax.switch(place, branches, *arguments)
