"""Optimisers against what their update must be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.training.optim import MUON_ADAM_SHARE, make_optimizer


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


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    optimizer = make_optimizer(0.1, 0.0, 0.99, num_steps=8, warmup_steps=4, decay=True)
    params = {"kernel": jnp.zeros(())}
    state, sizes = optimizer.init(params), []
    for _ in range(9):
        updates, state = optimizer.update({"kernel": jnp.ones(())}, state, params)
        sizes.append(float(jnp.abs(updates["kernel"])))
    assert sizes[0] == 0.0 and sizes[4] == pytest.approx(0.1, rel=1e-3) and sizes[8] < 1e-6
