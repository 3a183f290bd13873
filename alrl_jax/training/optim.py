"""Optimisers: Adam or Muon, with warm-up and clipping."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from optax import contrib

PyTree = Any
Update = Callable[..., tuple[PyTree, PyTree]]

ALGORITHMS = ("adam", "muon")

MUON_ADAM_SHARE = 0.15
"""Under Muon, Adam's rate for what has no kernel to turn, as a share of the kernels' rate."""


def make_optimizer(
    learning_rate: float,
    beta1: float,
    beta2: float,
    *,
    num_steps: int,
    warmup_steps: int = 0,
    decay: bool = False,
    clip_norm: float = 0.0,
    algorithm: str = "adam",
    equalized: bool = False,
) -> optax.GradientTransformation:
    """Adam, or Muon (Jordan et al. 2024), as all tasks use them.

    Muon makes the update of a kernel orthogonal, so that weak directions of the gradient are
    learned as fast as strong ones. Biases, gains and the layers that are named
    ``..._head`` or ``torgb`` stay with Adam.

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

    Returns:
        The gradient transformation.
    """

    def schedule(peak: float) -> optax.Schedule:
        # A decay needs a step of its own after the warm-up.
        warmup = min(warmup_steps, num_steps - 1)
        start = 0.0 if warmup else peak
        if decay:
            return optax.warmup_cosine_decay_schedule(start, peak, warmup, max(num_steps, 1))
        return optax.linear_schedule(start, peak, max(warmup, 1))

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
    chain = optax.chain(optax.clip_by_global_norm(clip_norm), rule) if clip_norm else rule
    return optax.GradientTransformation(chain.init, _promote_freely(chain.update))


def _matrices(params: PyTree) -> PyTree:
    """How Muon reads each kernel as a matrix; None for what Adam keeps."""

    def read(path: tuple[Any, ...], value: jax.Array) -> contrib.MuonDimensionNumbers | None:
        *modules, name = [str(getattr(entry, "key", entry)) for entry in path]
        is_output = any(module.endswith("head") or module == "torgb" for module in modules)
        if name not in ("kernel", "weight") or value.ndim < 2 or is_output:
            return None
        # A convolution is a matrix from all that it sees to its output channels.
        axes = tuple(range(value.ndim - 1))
        return contrib.MuonDimensionNumbers(reduction_axis=axes, output_axis=value.ndim - 1)

    return jax.tree_util.tree_map_with_path(read, params)


def _promote_freely(update: Update) -> Update:
    """Lets optax mix its integer counters with floats where strict promotion is on."""

    def updated(
        gradients: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        with jax.numpy_dtype_promotion("standard"):
            return update(gradients, state, params)

    return updated
