"""Units that never fire are found, and only where they are asked for."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.models.activity import ACTIVITY, DEAD_BELOW, dead_shares, silu


class Layer(nn.Module):
    """Passes on what it is given, twice."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return silu(self, silu(self, x, "first"), "second")


X = jnp.asarray([[1.0, DEAD_BELOW - 1.0, DEAD_BELOW - 1.0], [DEAD_BELOW - 2.0, -9.0, 0.0]])


def test_a_unit_is_dead_that_no_sample_wakes() -> None:
    out, noted = Layer().apply({}, X, mutable=[ACTIVITY])
    shares = dead_shares(noted)
    assert len(shares) == 2
    first = next(value for name, value in shares.items() if "first" in name)
    second = next(value for name, value in shares.items() if "second" in name)
    assert float(first) == np.float32(1 / 3) and float(second) == 0.0
    np.testing.assert_array_equal(out, Layer().apply({}, X))


def test_nothing_is_noted_in_fresh_variables() -> None:
    assert not jax.tree.leaves(Layer().init(jax.random.key(0), X))
