"""What a run logs beside its losses, against what it must be."""

import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.training.state import TrainState
from alrl_jax.training.tasks import diagnostics
from alrl_jax.types import SwapGates


def test_gates_vary_where_votes_do_and_not_where_noise_does() -> None:
    probabilities = jnp.asarray([[[0.9, 0.2], [0.6, 0.7]], [[0.9, 0.2], [0.4, 0.8]]])
    noisy = 1.0 - jnp.round(probabilities)
    space = {8: jnp.stack([jnp.zeros((8, 8, 1)), jnp.ones((8, 8, 1))])}
    gates = SwapGates(jnp.zeros((2, 2)), noisy, probabilities, jnp.ones((2, 2, 1)), space)
    found = diagnostics.gate_metrics(gates)
    assert float(found["gates/varying"]) == 0.25
    assert float(found["gates/mean"]) == pytest.approx(5 / 8)
    assert float(found["gates/layer_00"]) == 0.5
    assert float(found["space/mean_8"]) == 0.5 and float(found["space/deviation_8"]) == 0.5


def test_ownership_is_compared_with_its_first_draw() -> None:
    owners = jnp.asarray([[1.0, -1.0, 0.0], [0.5, 0.0, -0.5]])
    params = {"swap": {"params": {"owners": owners}}}
    kept = diagnostics.first_owners(params)
    # One number more for all groups of a code says nothing of who owns it.
    for now, expected in ((owners + 3.0, 1.0), (2.0 * owners, 1.0), (-owners, -1.0)):
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            params={"swap": {"params": {"owners": now}}},
            ema={},
            opt_state={},
            mutable=kept,
        )
        (value,) = diagnostics.owner_metrics(state).values()
        assert float(value) == pytest.approx(expected, abs=1e-6)
    assert diagnostics.first_owners({"swap": {"params": {}}}) == {}


def test_norms_are_those_of_whole_networks() -> None:
    found = diagnostics.gradient_metrics(
        {"swap": {"a": jnp.asarray([3.0]), "b": jnp.asarray([4.0])}}
    )
    np.testing.assert_allclose(found["gradient/swap"], 5.0)
