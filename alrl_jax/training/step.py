"""One update on the devices: its compilation, and a look at its result."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from alrl_jax.training import sharding
from alrl_jax.training.metrics import TrainingDiverged
from alrl_jax.training.tasks.task import Trainable

PyTree = Any


def first_state(
    init: Callable[[Key[Array, ""], PyTree], PyTree],
    key: Key[Array, ""],
    pretrained: PyTree,
    abstract: PyTree,
) -> PyTree:
    """The state before the first update, made where it lies.

    Args:
        init: of the task.
        key: seeds it.
        pretrained: what ``task.load_pretrained`` returned, on the devices.
        abstract: the state as ``jax.ShapeDtypeStruct`` leaves with shardings.
    """
    leaves, structure = jax.tree.flatten(abstract)
    # Made where it lies: a state that is split over devices may not fit on one of them.
    where = [leaf.sharding for leaf in leaves]
    # Lists, for the reason that ``lower_step`` gives.
    placed = jax.jit(lambda *values: jax.tree.leaves(init(*values)), out_shardings=where)
    return jax.tree.unflatten(structure, placed(key, pretrained))


def lower_step(
    task: Trainable,
    phase: Hashable,
    mesh: jax.sharding.Mesh,
    state: PyTree,
    frozen: dict[str, PyTree],
    batch: PyTree,
) -> jax.stages.Lowered:
    """Traces one update into a program.

    It works on flat lists: while lowering, JAX fills the trees of arguments with descriptions
    that are no arrays, and structs with checked shapes would refuse these.

    Args:
        task: gives the update.
        phase: its static choices.
        mesh: devices on which the arguments lie.
        state: an example, as are the next two: arrays, or ``jax.ShapeDtypeStruct`` alone.
        frozen: variables of networks that are not trained.
        batch: a global batch.

    Returns:
        The program, to be compiled ahead of its first call. It is a function of the leaves of
        ``state``, which it consumes, and the leaves of ``(frozen, batch)``; it returns the leaves
        of the new state, and the metrics by name.
    """
    state_leaves, state_structure = jax.tree.flatten(state)
    other_leaves, other_structure = jax.tree.flatten((frozen, batch))

    def step(state_leaves: list[Array], other_leaves: list[Array]) -> tuple[list[Array], PyTree]:
        state = jax.tree.unflatten(state_structure, state_leaves)
        frozen, batch = jax.tree.unflatten(other_structure, other_leaves)
        state, metrics = task.step(state, frozen, batch, phase)
        new_leaves, new_structure = jax.tree.flatten(state)
        if new_structure != state_structure:
            raise TypeError(f"{type(task).__name__}.step changed the structure of the state")
        return new_leaves, metrics

    where = [sharding.state_sharding(mesh, leaf.shape) for leaf in state_leaves]
    # The new state takes the memory of the old one, which no later step needs.
    jitted = jax.jit(step, donate_argnums=0, out_shardings=(where, sharding.replicated(mesh)))
    return jitted.lower(state_leaves, other_leaves)


def memory_held(compiled: jax.stages.Compiled) -> str:
    """What a device holds during an update, to be put behind a line; empty if JAX cannot say."""
    found = compiled.memory_analysis()
    if not found:
        return ""
    sizes = {
        "arguments": found.argument_size_in_bytes,
        "results": found.output_size_in_bytes,
        "them in the place of arguments": found.alias_size_in_bytes,
        "work memory": found.temp_size_in_bytes,
    }
    parts = (f"{size / 2**20:.1f} MiB of {name}" for name, size in sizes.items())
    return "; a device holds " + ", ".join(parts)


def _finite_leaves(leaves: list[Array]) -> Bool[Array, " n"]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])


@functools.cache
def _jitted_finite_leaves(mesh: jax.sharding.Mesh) -> Callable[[list[Array]], Array]:
    """Every process sees the whole answer, wherever the leaves lie."""
    return jax.jit(_finite_leaves, out_shardings=sharding.replicated(mesh))


def check_finite(mesh: jax.sharding.Mesh, state: PyTree, step: int) -> None:
    """Refuses a state with infinities: the metrics of an update do not show what it wrote.

    Args:
        mesh: devices on which the state lies.
        state: what is looked at.
        step: its number, for the error.

    Raises:
        TrainingDiverged: naming the first array that is not finite.
    """
    leaves = [
        (path, leaf)
        for path, leaf in jax.tree.leaves_with_path(state)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    finite = jax.device_get(_jitted_finite_leaves(mesh)([leaf for _, leaf in leaves]))
    for (path, _), good in zip(leaves, finite, strict=True):
        if not good:
            name = jax.tree_util.keystr(path)
            raise TrainingDiverged(f"state{name} is not finite at step {step}")
