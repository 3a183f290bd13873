"""The state: what an update moves, and how the averages follow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alrl_jax.training.state import (
    ema_decay,
    leaf_types,
    new_state,
    update_ema,
    update_networks,
)

OPTIMIZERS = {"moved": optax.sgd(0.5)}


def params() -> dict:
    return {"moved": {"w": jnp.asarray([1.0, 2.0])}, "still": {"w": jnp.asarray([3.0])}}


def test_an_average_forgets_half_in_its_half_life() -> None:
    """Late in a run: 5,000 images are 312.5 steps of 16."""
    decay = float(ema_decay(jnp.asarray(10**6), 16, 5.0))
    assert decay == pytest.approx(0.5 ** (16 / 5000), rel=1e-6)
    assert decay**312.5 == pytest.approx(0.5, rel=1e-4)


def test_an_average_forgets_its_start() -> None:
    """Early, the half-life is a twentieth of the images seen, this step's included."""
    assert float(ema_decay(jnp.asarray(0), 16, 5.0)) == pytest.approx(0.5**20, rel=1e-5)
    assert float(ema_decay(jnp.asarray(99), 16, 5.0)) == pytest.approx(0.5**0.2, rel=1e-5)
    assert float(ema_decay(jnp.asarray(99), 16, 0.0)) == 0.0


def test_an_average_keeps_its_share_of_the_old_value() -> None:
    moved = update_ema({"w": jnp.asarray([2.0])}, {"w": jnp.asarray([10.0])}, jnp.asarray(0.75))
    np.testing.assert_allclose(moved["w"], [4.0])


def test_an_update_moves_networks_with_an_optimiser_and_their_averages() -> None:
    state = new_state(params(), OPTIMIZERS, ("moved",), {"count": jnp.asarray(7)})
    assert int(state.step) == 0 and state.ema.keys() == {"moved"}
    gradients = {"moved": {"w": jnp.asarray([2.0, -4.0])}}
    after = jax.jit(lambda s: update_networks(s, gradients, OPTIMIZERS, 16, 5.0))(state)
    assert int(after.step) == 1
    np.testing.assert_allclose(after.params["moved"]["w"], [0.0, 4.0])
    np.testing.assert_array_equal(after.params["still"]["w"], state.params["still"]["w"])
    decay = 0.5**20
    expected = np.array([0.0, 4.0]) + decay * (np.array([1.0, 2.0]) - np.array([0.0, 4.0]))
    np.testing.assert_allclose(after.ema["moved"]["w"], expected, rtol=1e-5, atol=1e-9)
    assert int(after.mutable["count"]) == 7


def test_averages_are_copies() -> None:
    """A step gives away the memory of its state, which no array may have twice."""
    state = new_state(params(), OPTIMIZERS, ("moved",), {})
    assert state.ema["moved"]["w"] is not state.params["moved"]["w"]


def test_leaves_differ_by_path_shape_or_type() -> None:
    types = leaf_types({"a": {"b": np.zeros((2, 3), np.float32)}})
    assert types == leaf_types({"a": {"b": jax.ShapeDtypeStruct((2, 3), jnp.float32)}})
    assert types != leaf_types({"a": {"b": np.zeros((2, 3), np.float16)}})
    assert types != leaf_types({"a": {"c": np.zeros((2, 3), np.float32)}})
    assert types["['a']['b']"].shape == (2, 3)
