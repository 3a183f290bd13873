"""What the swap task computes beside its networks and losses."""

import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.training.tasks.swap import FACTOR_GROUPS, gate_picture, gate_temperature
from alrl_jax.training.tasks.values import ATTRIBUTE_GROUPS


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (50, 0.5), (100, 0.25), (300, 0.25)])
def test_the_temperature_falls_geometrically(step: int, expected: float) -> None:
    found = gate_temperature(jnp.asarray(step), 100, 1.0, 0.25)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_gates_from_the_source_are_white() -> None:
    gates = jnp.asarray([[[1.0, 0.0], [0.0, 0.5]]])
    picture = np.asarray(gate_picture(gates, 4))
    assert picture.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(picture[0, ::2, ::2, 0], [[1.0, -1.0], [-1.0, 0.0]])


def test_every_factor_belongs_to_an_attribute_group() -> None:
    assert set(FACTOR_GROUPS.values()) == set(ATTRIBUTE_GROUPS)
