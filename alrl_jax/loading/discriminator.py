"""Discriminators of a GAN, as ``alrl_jax.load`` opens them."""

from typing import Any

import jax
from jaxtyping import Array, Float

from alrl_jax.loading.base import Images, Model, PyTree
from alrl_jax.models.build import build_discriminator
from alrl_jax.types import AnyArray


class DiscriminatorModel(Model):
    """Kind ``discriminator``: images to logits."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self._apply = jax.jit(build_discriminator(config).apply)

    def __call__(
        self, images: Images, label: Float[AnyArray, "b n"] | None = None
    ) -> Float[Array, "b 1"]:
        """How real images look."""
        return self._apply(self.variables, images, label)
