"""The one state shape of all tasks, and the moving average of parameters."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
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


def ema_decay(step: Int[Array, ""], batch_size: int, half_life_kimg: float) -> Float[Array, ""]:
    """Decay of one step's moving average.

    The half-life is counted in thousands of images, as in StyleGAN2, and shortened in the first
    steps to a twentieth of the images seen, so that the average forgets its start.
    """
    seen = (step.astype(jnp.float32) + 1.0) * batch_size
    half_life = jnp.minimum(half_life_kimg * 1000.0, seen * 0.05)
    return jnp.power(0.5, batch_size / jnp.maximum(half_life, 1e-8))


def update_ema(ema: PyTree, params: PyTree, decay: Float[Array, ""]) -> PyTree:
    """Moves every average towards its parameter."""
    return jax.tree.map(lambda old, new: new + (old - new) * decay, ema, params)
