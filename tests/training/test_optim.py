"""Optimisers against what their update must be."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alrl_jax.config.sections import OptimizerConfig
from alrl_jax.models.swapper.pair_codes import PairCodes
from alrl_jax.models.swapper.selection import GATE_TABLES, VOTE_MODULES, AdaptiveSwap
from alrl_jax.training.optim import (
    MUON_ADAM_SHARE,
    make_gate_rule,
    make_optimizer,
    rate_schedule,
)
from alrl_jax.training.tasks import make_task
from alrl_jax.training.tasks.generator import GeneratorTask
from alrl_jax.training.tasks.swap_schedules import make_optimizers
from alrl_jax.training.tasks.task import Phase
from alrl_jax.types import LatentCodes
from tests.support import tiny


def _first_update(params: dict, **choices: bool) -> dict:
    key = jax.random.key(0)
    gradients = jax.tree.map(lambda x: jax.random.normal(key, x.shape), params)
    optimizer = make_optimizer(0.01, 0.9, 0.999, num_steps=10, algorithm="muon", **choices)
    return optimizer.update(gradients, optimizer.init(params), params)[0]


def test_muon_turns_a_kernel_by_the_same_amount_in_every_direction() -> None:
    update = _first_update({"stage": {"kernel": jnp.zeros((3, 3, 2, 8))}})["stage"]["kernel"]
    stretch = np.linalg.svd(np.asarray(update).reshape(18, 8), compute_uv=False)
    # Five Newton-Schulz iterations leave singular values between about 0.7 and 1.2.
    assert stretch.min() > 0.6 * 0.01 and stretch.max() < 1.3 * 0.01


def test_muon_moves_equalized_weights_by_the_rate() -> None:
    update = _first_update({"b8": {"weight": jnp.zeros((3, 3, 8, 16))}}, equalized=True)
    size = float(jnp.sqrt(jnp.mean(jnp.square(update["b8"]["weight"]))))
    assert size == pytest.approx(0.01, rel=0.3)


@pytest.mark.parametrize("path", [("stage", "bias"), ("pose_head", "kernel"), ("torgb", "weight")])
def test_muon_leaves_biases_and_output_layers_to_adam(path: tuple[str, str]) -> None:
    module, name = path
    shape = (4,) if name == "bias" else (4, 4)
    update = _first_update({module: {name: jnp.zeros(shape)}})[module][name]
    # The first step of Adam with Nesterov's momentum, betas 0.9 and 0.999.
    nesterov = 1.0 + 0.9 * 0.1 / (1.0 - 0.9**2)
    np.testing.assert_allclose(jnp.abs(update), nesterov * MUON_ADAM_SHARE * 0.01, rtol=1e-3)


def test_what_is_a_matrix_follows_from_shape_and_role() -> None:
    """Every layer of W+ has a matrix of its own, whatever it is called; tables have none."""
    update = _first_update({"transfer_in": jnp.zeros((3, 16, 8)), "places": jnp.zeros((16, 8))})
    for matrix in np.asarray(update["transfer_in"]):
        stretch = np.linalg.svd(matrix, compute_uv=False)
        assert stretch.min() > 0.6 * 0.01 and stretch.max() < 1.3 * 0.01
    sizes = np.abs(np.asarray(update["places"]))
    np.testing.assert_allclose(sizes, sizes[0, 0], rtol=1e-3)  # as Adam moves them at first


def test_gates_have_a_rate_and_a_start_of_their_own() -> None:
    rule = make_gate_rule(0.5, num_steps=10, warmup_steps=0, decay=False, start=2)
    optimizer = make_optimizer(
        0.01, 0.9, 0.999, num_steps=10, algorithm="muon", apart={"bias": rule}
    )
    # The bias of a gate is the network's own: that of a layer moves as all biases do.
    params = {"params": {"bias": jnp.zeros((4,)), "layer": {"bias": jnp.zeros((4,))}}}
    state, gates, layers = optimizer.init(params), [], []
    for _ in range(4):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
        gates.append(abs(float(updates["params"]["bias"][0])))
        layers.append(abs(float(updates["params"]["layer"]["bias"][0])))
    assert gates == pytest.approx([0.0, 0.0, 0.5, 0.5], rel=1e-4)
    assert all(0.0 < move < 0.01 for move in layers)


@pytest.mark.parametrize("gate_mode", ["hard", "pair_independent"])
def test_what_decides_in_a_run_waits_for_its_start(gate_mode: str) -> None:
    """Tables and votes alike; the refinement beside them learns from the first step."""
    swap = AdaptiveSwap(("identity", "pose"), 2, 8, gate_mode, context=8, normalised=True)
    codes = LatentCodes(jnp.ones((2, 4, 4, 4)), jnp.ones((2, 6, 8)))
    faces = PairCodes(codes, codes, jnp.ones((2, 5)))
    params = swap.init(jax.random.key(0), faces, jnp.zeros((2,), jnp.int32))
    rates = dataclasses.replace(OptimizerConfig(), gate_learning_rate=0.5, gate_start=1)
    shared = {"beta1": 0.9, "beta2": 0.999, "num_steps": 9}
    table, _ = make_optimizers(rates, {**shared, "warmup_steps": 0}, {"swap"}, ())
    state = table["swap"].init(params)
    updates, _ = table["swap"].update(jax.tree.map(jnp.ones_like, params), state, params)
    still = {name for name, tree in updates["params"].items() if not _moves(tree)}
    own = {"learned_faces"} if gate_mode == "hard" else set()
    assert still == {*GATE_TABLES, *VOTE_MODULES} - own


def _moves(tree: Any) -> bool:
    return any(bool(np.asarray(leaf).any()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.0), (9, 0.0), (10, 0.0), (15, 0.5), (20, 1.0), (60, 0.5), (100, 0.0)]
)
def test_a_rate_can_start_late(step: int, rate: float) -> None:
    schedule = rate_schedule(1.0, num_steps=100, warmup_steps=10, decay=True, start=10)
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    optimizer = make_optimizer(0.1, 0.0, 0.99, num_steps=8, warmup_steps=4, decay=True)
    params = {"kernel": jnp.zeros(())}
    state, sizes = optimizer.init(params), []
    for _ in range(9):
        updates, state = optimizer.update({"kernel": jnp.ones(())}, state, params)
        sizes.append(float(jnp.abs(updates["kernel"])))
    assert sizes[0] == 0.0 and sizes[4] == pytest.approx(0.1, rel=1e-3) and sizes[8] < 1e-6


def adam(gradients: list[float], rate: float, beta1: float, beta2: float) -> list[float]:
    """Updates by the rule of Kingma and Ba (2015)."""
    first = second = 0.0
    updates = []
    for count, gradient in enumerate(gradients, 1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        size = np.sqrt(second / (1 - beta2**count)) + 1e-8
        updates.append(-rate * first / (1 - beta1**count) / size)
    return updates


def updates_of(optimizer: optax.GradientTransformation, gradients: list[float]) -> list[float]:
    params = {"kernel": jnp.zeros((2, 2))}
    state, found = optimizer.init(params), []
    for gradient in gradients:
        update, state = optimizer.update({"kernel": jnp.full((2, 2), gradient)}, state, params)
        found.append(float(update["kernel"][0, 1]))
    return found


GRADIENTS = [1.0, -0.5, 3.0, 0.2]


@pytest.mark.parametrize("beta1", [0.0, 0.6])
def test_adam_has_the_rate_and_betas_that_it_is_given(beta1: float) -> None:
    optimizer = make_optimizer(0.01, beta1, 0.99, num_steps=9)
    expected = adam(GRADIENTS, 0.01, beta1, 0.99)
    np.testing.assert_allclose(updates_of(optimizer, GRADIENTS), expected, rtol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.5], ids=["without", "with"])
@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_lazy_regularisers_leave_rates_and_betas_alone(name: str, weight: float) -> None:
    """Path lengths and R1 are added to the gradient of a step and make no update of their own."""
    config = tiny.tiny_config(
        "generator_64",
        losses__r1=weight,
        losses__path_length=weight,
        optimizer__generator_learning_rate=0.01,
        optimizer__discriminator_learning_rate=0.01,
        optimizer__beta1=0.6,
    )
    task = make_task(config)
    assert isinstance(task, GeneratorTask)
    assert task.phase(0) == Phase(r1=weight > 0, path_length=weight > 0)
    expected = adam(GRADIENTS, 0.01, 0.6, config.optimizer.beta2)
    np.testing.assert_allclose(updates_of(task._optimizers[name], GRADIENTS), expected, rtol=1e-4)


def test_gradients_are_clipped_by_the_norm_of_all() -> None:
    """Of 2 x 2 equal numbers the norm is twice each; Adam sees what is left of the larger one."""
    optimizer = make_optimizer(0.01, 0.6, 0.99, num_steps=9, clip_norm=1.0)
    expected = adam([0.5, -0.5, 0.5, 0.2], 0.01, 0.6, 0.99)
    np.testing.assert_allclose(updates_of(optimizer, GRADIENTS), expected, rtol=1e-4)


def test_the_rate_stays_where_it_does_not_fall() -> None:
    optimizer = make_optimizer(0.1, 0.0, 0.99, num_steps=8, warmup_steps=2)
    sizes = np.abs(updates_of(optimizer, [1.0] * 8))
    np.testing.assert_allclose(sizes, [0.0, 0.05, *[0.1] * 6], rtol=1e-4)


def test_a_run_shorter_than_its_warm_up_still_ends() -> None:
    """Steps 0, 1, 2 of three: two of warm-up, then the peak."""
    optimizer = make_optimizer(0.1, 0.0, 0.99, num_steps=3, warmup_steps=100)
    np.testing.assert_allclose(
        np.abs(updates_of(optimizer, [1.0] * 3)), [0.0, 0.05, 0.1], rtol=1e-4
    )


def test_the_rate_falls_along_half_a_cosine() -> None:
    optimizer = make_optimizer(0.1, 0.0, 0.99, num_steps=4, decay=True)
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(np.abs(updates_of(optimizer, [1.0] * 4)), expected, rtol=1e-4)


def test_muon_is_a_choice() -> None:
    """Adam moves every number of a kernel alike; Muon makes the whole update orthogonal."""
    params = {"stage": {"kernel": jnp.zeros((4, 4))}}
    gradients = {"stage": {"kernel": jnp.arange(1.0, 17.0).reshape(4, 4)}}
    first = {
        name: make_optimizer(0.01, 0.9, 0.999, num_steps=9, algorithm=name)
        for name in ("adam", "muon")
    }
    moved = {
        name: optimizer.update(gradients, optimizer.init(params), params)[0]["stage"]["kernel"]
        for name, optimizer in first.items()
    }
    np.testing.assert_allclose(moved["adam"], -0.01, rtol=1e-4)
    assert np.ptp(np.asarray(moved["muon"])) > 0.001
