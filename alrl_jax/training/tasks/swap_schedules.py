"""Optimisers of the task ``swap``, one a network, and what else changes with the steps."""

import functools
from collections.abc import Collection
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from alrl_jax.config.sections import OptimizerConfig
from alrl_jax.models.swapper.selection import GATE_TABLES, VOTE_MODULES, FixedSwap
from alrl_jax.models.swapper.swapper import Swapper
from alrl_jax.training.optim import Count, make_gate_rule, make_optimizer, rate_schedule
from alrl_jax.training.tasks import run_values
from alrl_jax.training.tasks.run_values import RunValues


def trained_networks(swapper: Swapper, with_generator: bool, adversarial: bool) -> set[str]:
    """Names of the networks that a run trains.

    Args:
        swapper: the networks.
        with_generator: whether the generator is one of them.
        adversarial: whether there is a discriminator.
    """
    found = {"encoder", "probe"}
    if not isinstance(swapper.selector, FixedSwap):  # which has nothing to learn
        found.add("swap")
    if swapper.target_features is not None:
        found.add("target_features")
    if with_generator:
        found.add("generator")
    return found | ({"discriminator"} if adversarial else set())


def make_optimizers(
    rates: OptimizerConfig,
    shared: dict[str, Any],
    trained: Collection[str],
    constants: Collection[str] = (),
    run: RunValues | None = None,
) -> tuple[dict[str, optax.GradientTransformation], dict[str, optax.Schedule]]:
    """Optimisers by network, and the learning rates that a run logs.

    Args:
        rates: of the config.
        shared: arguments of ``make_optimizer`` that all networks share.
        trained: names of the networks.
        constants: parameters of the target's features that stand for gates.
        run: lengths and rates where they are arguments of a program; None takes those of
            ``rates`` and ``shared``.
    """
    shared = shared | (run_values.clock(run) if run else {})
    given = run or {name: getattr(rates, name) for name in run_values.RATES}
    optimizer = functools.partial(make_optimizer, **shared)
    clock = {name: shared[name] for name in ("num_steps", "warmup_steps")}
    usual = optimizer(given["learning_rate"], algorithm=rates.algorithm)
    table, logged = dict.fromkeys(trained, usual), {}
    logged["learning"] = rate_schedule(given["learning_rate"], decay=rates.decay, **clock)
    if rates.gate_learning_rate:
        own = {"decay": rates.decay and rates.gate_decay, "start": rates.gate_start}
        rule = make_gate_rule(given["gate_learning_rate"], **clock, **own)
        matrices = functools.partial(optimizer, given["learning_rate"], algorithm=rates.algorithm)
        deciding = {
            "swap": dict.fromkeys(GATE_TABLES, rule),
            # What stands for a decision where gates in space do not look at the pair.
            "target_features": dict.fromkeys(constants, rule),
        }
        if rates.gate_start:
            deciding["swap"] |= dict.fromkeys(VOTE_MODULES, matrices(start=rates.gate_start))
        for name in deciding.keys() & set(trained):
            table[name] = matrices(apart=deciding[name])
        logged["gates"] = rate_schedule(given["gate_learning_rate"], **clock, **own)
    if "generator" in trained:
        table["generator"] = optimizer(
            given["generator_learning_rate"], algorithm=rates.algorithm, equalized=True
        )
        logged["generator"] = rate_schedule(
            given["generator_learning_rate"], decay=rates.decay, **clock
        )
    if "discriminator" in trained:
        table["discriminator"] = optimizer(given["discriminator_learning_rate"])
    return table, logged


def gate_temperature(
    step: Int[Array, ""], num_steps: Count, start: float, end: float
) -> Float[Array, ""]:
    """Temperature of the relaxed gates: falls geometrically over a run, from start to end."""
    # A run that goes on after its last step stays at the last value.
    share = jnp.clip(step.astype(jnp.float32) / jnp.asarray(num_steps, jnp.float32), 0.0, 1.0)
    first, last = jnp.log(start), jnp.log(end)
    return jnp.exp(first + share * (last - first))
