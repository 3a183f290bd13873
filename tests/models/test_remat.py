"""Rematerialisation changes what is kept, never what comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.published.psp import StyleEncoder
from alrl_jax.models.remat import REMAT_POLICIES
from alrl_jax.models.stylegan2.generator import Generator

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _gradients(policy: str) -> tuple[dict, str]:
    """Of what a generator draws from an encoder's codes, and the program that works them out."""
    images = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    encoder = StyleEncoder(32, (4, 4, 4, 8), (1, 1, 1, 1), 2, 6, 8, False, False, remat=policy)
    generator = Generator(16, 8, 8, channel_base=64, num_mapping_layers=1, remat=policy)
    trained = encoder.init(jax.random.key(1), images)
    frozen = generator.init(jax.random.key(2), jnp.zeros((1, 8)))

    def loss(variables: dict) -> jax.Array:
        codes = encoder.apply(variables, images)
        return jnp.mean(jnp.square(generator.apply(frozen, codes, method="synthesize")))

    gradient = jax.grad(loss)
    return jax.jit(gradient)(trained)["params"], str(jax.make_jaxpr(gradient)(trained))


@pytest.mark.slow
def test_gradients_are_the_same_under_every_policy() -> None:
    wanted, program = _gradients("none")
    assert "remat" not in program and "checkpoint" not in program
    for policy in set(REMAT_POLICIES) - {"none"}:
        found, program = _gradients(policy)
        assert "remat" in program or "checkpoint" in program
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), found, wanted)
