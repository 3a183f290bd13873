"""What every model that ``alrl_jax.load`` opens has."""

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


class Model:
    """A trained model; what it can do depends on its kind.

    Attributes:
        kind: see ``MODELS`` of ``alrl_jax.loading.loader``.
        config: plain values that rebuild its networks.
        variables: weights by network.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        self.kind = kind
        self.config = config
        self.variables = jax.tree.map(jnp.asarray, variables)
