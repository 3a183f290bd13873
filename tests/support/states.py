"""States of training on the devices of a test."""

from typing import Any

import jax

from alrl_jax.training import sharding


def placed(mesh: jax.sharding.Mesh, state: Any) -> Any:
    """Puts host arrays where training keeps a state: split over the mesh, or whole."""
    laid_out = sharding.abstract_state(mesh, state)
    return jax.tree.map(lambda x, where: jax.device_put(x, where.sharding), state, laid_out)
