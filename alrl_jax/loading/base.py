"""What every model that ``alrl_jax.load`` opens has."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from alrl_jax.types import AnyArray

PyTree = Any
Images = Float[AnyArray, "b h w 3"]
"""Pixels in [-1, 1]."""

AnyImages = Shaped[AnyArray, "..."]
"""What a caller gives for images; ``checking`` says what is wrong with it."""

PRECISION = "highest"
"""Of the products of published networks, so that figures compare with those of others."""


class Model:
    """A trained model; its class depends on its kind and says what it can do.

    Attributes:
        kind: key of ``KINDS`` of ``alrl_jax.loading.loader``.
        config: plain values that rebuild its networks.
        variables: weights by network.
    """

    kind: str
    config: dict[str, Any]
    variables: PyTree

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        self.kind = kind
        self.config = config
        self.variables = jax.tree.map(jnp.asarray, variables)

    def __repr__(self) -> str:
        """Kind, size and number of parameters, e.g. for a prompt."""
        facts = [f"kind={self.kind!r}", *self._facts()]
        count = sum(leaf.size for leaf in jax.tree.leaves(self.variables))
        return f"{type(self).__name__}({', '.join([*facts, f'{count:,} parameters'])})"

    def _facts(self) -> list[str]:
        """What is to be known of a model beside its kind."""
        side = self.config.get("resolution")
        return [f"{side} px"] if side else []
