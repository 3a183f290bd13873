"""The one state shape of all tasks: how it starts, and how gradients and averages move it."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

PyTree = Any


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes.

    Attributes:
        step: finished updates; also the checkpoint's number and the seed of every draw.
        params: trainable parameters by network.
        ema: exponential moving averages of the networks that are used after training.
        opt_state: optimiser states by network.
        mutable: running statistics such as ``w_avg`` and the mean path length.
    """

    # Any array: states are also trees of host arrays, and of shapes before a checkpoint is read.
    step: Int[Any, ""]
    params: dict[str, PyTree]
    ema: dict[str, PyTree]
    opt_state: dict[str, PyTree]
    mutable: dict[str, PyTree]


def new_state(
    params: dict[str, PyTree],
    optimizers: Mapping[str, optax.GradientTransformation],
    averaged: Iterable[str],
    mutable: dict[str, PyTree],
) -> TrainState:
    """The state before the first update.

    Args:
        params: parameters by network.
        optimizers: of the networks that are trained.
        averaged: networks of which a moving average is kept.
        mutable: see ``TrainState``.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        # Copies: a step gives away the memory of its state, which no array may have twice.
        ema={name: jax.tree.map(jnp.copy, params[name]) for name in averaged},
        opt_state={name: o.init(params[name]) for name, o in optimizers.items()},
        mutable=mutable,
    )


def update_networks(
    state: TrainState,
    gradients: Mapping[str, PyTree],
    optimizers: Mapping[str, optax.GradientTransformation],
    batch_size: int,
    ema_kimg: float,
) -> TrainState:
    """One update of all networks that have an optimiser, and of the averages after it.

    Args:
        state: before the update.
        gradients: by network, of every one that has an optimiser.
        optimizers: by network.
        batch_size: images of the global batch.
        ema_kimg: half-life of the averages in thousands of images.
    """
    params, opt_state = dict(state.params), {}
    for name, optimizer in optimizers.items():
        updates, opt_state[name] = optimizer.update(
            gradients[name], state.opt_state[name], state.params[name]
        )
        params[name] = optax.apply_updates(state.params[name], updates)
    decay = ema_decay(state.step, batch_size, ema_kimg)
    ema = {name: update_ema(old, params[name], decay) for name, old in state.ema.items()}
    return dataclasses.replace(
        state, step=state.step + 1, params=params, ema=ema, opt_state=opt_state
    )


def without_nonfinite(
    old: TrainState, new: TrainState, gradients: Mapping[str, PyTree]
) -> tuple[TrainState, Float[Array, ""]]:
    """The state after an update, which changes nothing but the step where it is not finite.

    Args:
        old: before the update.
        new: after it.
        gradients: by network. They are finite where the update is, so that no second state has to
            be kept until it is known.

    Returns:
        The state, and 1 where the update is left out, else 0.
    """
    sums = [jnp.sum(jnp.isfinite(leaf)) == leaf.size for leaf in jax.tree.leaves(gradients)]
    finite = jnp.all(jnp.stack(sums))
    kept = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, old)
    return dataclasses.replace(kept, step=new.step), 1.0 - finite.astype(jnp.float32)


def ema_decay(step: Int[Array, ""], batch_size: int, half_life_kimg: float) -> Float[Array, ""]:
    """Decay of one step's moving average.

    The half-life is counted in thousands of images, as in StyleGAN2, and shortened in the first
    steps to a twentieth of the images seen, so that the average forgets its start.
    """
    seen = (step.astype(jnp.float32) + 1.0) * batch_size  # this step's images included
    half_life = jnp.minimum(half_life_kimg * 1000.0, seen * 0.05)
    # A half-life of 0 forgets everything at once, where the fraction would be infinite.
    return jnp.power(0.5, batch_size / jnp.maximum(half_life, 1e-8))


def update_ema(ema: PyTree, params: PyTree, decay: Float[Array, ""]) -> PyTree:
    """Moves every average towards its parameter."""
    # new + (old - new) * decay, not old * decay + new * (1 - decay): where both are equal, the
    # average stays exactly there.
    return jax.tree.map(lambda old, new: new + (old - new) * decay, ema, params)


def leaf_types(tree: PyTree) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape and type of every array of a tree, by its path; wherever the arrays lie."""
    return {
        jax.tree_util.keystr(path): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
