"""Optimisers: Adam with warm-up, clipping and StyleGAN2's correction for lazy regularisation."""

from collections.abc import Callable
from typing import Any

import jax
import optax

PyTree = Any
Update = Callable[..., tuple[PyTree, PyTree]]


def make_optimizer(
    learning_rate: float,
    beta1: float,
    beta2: float,
    *,
    num_steps: int,
    warmup_steps: int = 0,
    decay: bool = False,
    clip_norm: float = 0.0,
    lazy_interval: int = 0,
) -> optax.GradientTransformation:
    """Adam as all tasks use it.

    Args:
        learning_rate: peak rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        num_steps: length of the run, for the cosine decay.
        warmup_steps: steps of linear warm-up from zero; a shorter run is all warm-up.
        decay: whether the rate falls to zero along a cosine.
        clip_norm: largest global norm of the gradients; 0 leaves them as they are.
        lazy_interval: steps between lazy regularisations that share this optimiser; rate and
            betas are corrected by interval / (interval + 1) (Karras et al. 2020, appendix B).

    Returns:
        The gradient transformation.
    """
    ratio = lazy_interval / (lazy_interval + 1) if lazy_interval else 1.0
    peak = learning_rate * ratio
    warmup = min(warmup_steps, num_steps - 1)
    start = 0.0 if warmup else peak
    if decay:
        schedule = optax.warmup_cosine_decay_schedule(start, peak, warmup, max(num_steps, 1))
    else:
        schedule = optax.linear_schedule(start, peak, max(warmup, 1))
    adam = optax.adam(schedule, b1=beta1**ratio if beta1 else 0.0, b2=beta2**ratio, eps=1e-8)
    chain = optax.chain(optax.clip_by_global_norm(clip_norm), adam) if clip_norm else adam
    return optax.GradientTransformation(chain.init, _promote_freely(chain.update))


def _promote_freely(update: Update) -> Update:
    """Lets optax mix its integer counters with floats where strict promotion is on."""

    def updated(
        gradients: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, PyTree]:
        with jax.numpy_dtype_promotion("standard"):
            return update(gradients, state, params)

    return updated
