"""Optimisers: Adam or Muon, with warm-up and clipping."""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from optax import contrib

PyTree = Any
Number = float | np.number | Float[Array, ""]
Count = int | np.integer | Int[Array, ""]
Update = Callable[..., tuple[PyTree, PyTree]]

ALGORITHMS = ("adam", "muon")

MUON_ADAM_SHARE = 0.15
"""Under Muon, Adam's rate for what has no kernel to turn, as a share of the kernels' rate."""


def make_optimizer(
    learning_rate: Number,
    beta1: float,
    beta2: float,
    *,
    num_steps: Count,
    warmup_steps: Count = 0,
    decay: bool = False,
    clip_norm: float = 0.0,
    algorithm: str = "adam",
    equalized: bool = False,
    start: int = 0,
    apart: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformation:
    """Adam, or Muon (Jordan et al. 2024), as all tasks use them.

    Muon makes the update of a matrix orthogonal, so that weak directions of the gradient are
    learned as fast as strong ones. What is a matrix follows from a weight's shape and role, see
    ``_matrix``; all else stays with Adam.

    Rate and betas are used as they are, lazy regularisation or not. Karras et al. (2020, appendix
    B) multiply them by n / (n + 1) because a regulariser of every n-th step is an update of its own
    there, so that n steps make n + 1 updates. Here its gradient is added to that of the step that
    it falls in: n steps make n updates.

    Args:
        learning_rate: peak rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        num_steps: length of the run, for the cosine decay.
        warmup_steps: steps of linear warm-up from zero; a shorter run is all warm-up.
        decay: whether the rate falls to zero along a cosine.
        clip_norm: largest global norm of the gradients; 0 leaves them as they are.
        algorithm: one of ``ALGORITHMS``; Muon is for networks whose kernels end in the output
            axis, as flax lays them out.
        equalized: whether the weights are StyleGAN2's, kept at a deviation of one and scaled at
            run time; Muon then makes their updates of size ``learning_rate`` each.
        start: steps before the warm-up, in which nothing moves.
        apart: rules of what has one of its own: parameters of the network itself and whole modules
            of it, by name.

    Returns:
        The gradient transformation.
    """

    def schedule(peak: Number) -> optax.Schedule:
        return rate_schedule(peak, num_steps, warmup_steps, decay, start)

    if algorithm == "muon":
        rule = contrib.muon(
            schedule(learning_rate),
            adam_b1=beta1,
            adam_b2=beta2,
            adam_learning_rate=schedule(MUON_ADAM_SHARE * learning_rate),
            muon_weight_dimension_numbers=_matrices,
            # Equalized weights have a deviation of one whatever their shape, and so do their
            # updates; others are scaled by their shape, as Muon does.
            consistent_rms=1.0 if equalized else None,
        )
    else:
        rule = optax.adam(schedule(learning_rate), b1=beta1, b2=beta2, eps=1e-8)
    if apart:
        rule = optax.partition({"usual": rule, **apart}, functools.partial(_names, set(apart)))
    chain = optax.chain(optax.clip_by_global_norm(clip_norm), rule) if clip_norm else rule
    return optax.GradientTransformation(chain.init, _promote_freely(chain.update))


def rate_schedule(
    peak: Number, num_steps: Count, warmup_steps: Count, decay: bool, start: int = 0
) -> optax.Schedule:
    """A rate by step: 0 until ``start``, linear to ``peak``, then level or along a cosine to 0.

    Rate and lengths may be traced: a program then takes them as arguments.

    Args:
        peak: largest rate.
        num_steps: length of the run.
        warmup_steps: steps of linear warm-up; a shorter run is all warm-up.
        decay: whether the rate falls to 0 by the end of the run.
        start: steps before the warm-up.
    """

    def rate(step: Any) -> Float[Array, ""]:
        with jax.numpy_dtype_promotion("standard"):
            # A decay needs a step of its own after the warm-up.
            warmup = jnp.maximum(jnp.minimum(warmup_steps, num_steps - start - 1), 0)
            since = jnp.asarray(step) - start
            value = peak
            if decay:
                rest = jnp.maximum(num_steps - start, 1) - warmup
                share = jnp.clip(since - warmup, 0, rest) / rest
                value = peak * (0.5 * (1.0 + jnp.cos(jnp.pi * share)))
            up = jnp.clip(since, 0, warmup) / jnp.maximum(warmup, 1)
            value = jnp.where(since < warmup, peak - peak * (1.0 - up), value)
            return jnp.asarray(jnp.where(since < 0, 0.0, value), jnp.float32)

    return rate


def make_gate_rule(
    learning_rate: Number, num_steps: Count, warmup_steps: Count, decay: bool, start: int
) -> optax.GradientTransformation:
    """Adam for what decides over codes, at a rate and by a schedule of its own.

    A logit has to travel several units to change its mind: at the rate of other biases it gets a
    few tenths in a run, and the gates stay as they were drawn.

    Args:
        learning_rate: peak rate.
        num_steps: length of the run.
        warmup_steps: steps of linear warm-up.
        decay: whether the rate falls to 0 by the end of the run.
        start: steps before anything moves.
    """
    return optax.adam(rate_schedule(learning_rate, num_steps, warmup_steps, decay, start), b1=0.9)


def _names(wanted: Collection[str], params: PyTree) -> PyTree:
    """Label of every parameter: what it is of the network, where that is wanted; else ``usual``.

    The bias of a gate is the network's own; the bias of a layer belongs to the layer.
    """

    def label(path: tuple[Any, ...], value: jax.Array) -> str:
        first = next(name for name in _path(path) if name != "params")
        return first if first in wanted else "usual"

    return jax.tree_util.tree_map_with_path(label, params)


def _matrices(params: PyTree) -> PyTree:
    """How Muon reads each parameter as a matrix; None for what Adam keeps."""
    return jax.tree_util.tree_map_with_path(lambda path, x: _matrix(_path(path), x.shape), params)


def _matrix(path: list[str], shape: tuple[int, ...]) -> contrib.MuonDimensionNumbers | None:
    """How Muon reads a parameter.

    A convolution is a matrix from all that it sees to its output channels; three axes are a matrix
    for every entry of the first. Two axes are a matrix where they are the kernel of a layer, and
    else a table with an entry for every row, such as positions. Output layers, ``..._head`` and
    ``torgb``, have few rows, each with a meaning and a scale of its own.

    Args:
        path: names of modules, then of the parameter.
        shape: of the parameter.
    """
    *modules, name = path
    is_output = any(module.endswith("head") or module == "torgb" for module in modules)
    is_kernel = name in ("kernel", "weight")
    if is_output or len(shape) < 2 or (len(shape) == 2 and not is_kernel):
        return None
    if len(shape) == 3:
        return contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    if not is_kernel:
        return None
    axes = tuple(range(len(shape) - 1))
    return contrib.MuonDimensionNumbers(reduction_axis=axes, output_axis=len(shape) - 1)


def _path(path: tuple[Any, ...]) -> list[str]:
    return [str(getattr(entry, "key", entry)) for entry in path]


def _promote_freely(update: Update) -> Update:
    """Lets optax mix its integer counters with floats where strict promotion is on."""

    def updated(
        gradients: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        with jax.numpy_dtype_promotion("standard"):
            return update(gradients, state, params)

    return updated
