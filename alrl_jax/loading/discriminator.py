"""Discriminators of a GAN, as ``alrl_jax.load`` opens them."""

from typing import Any

import jax
from jaxtyping import Array, Float

from alrl_jax.loading.base import AnyImages, Model, PyTree
from alrl_jax.loading.checking import check_images, check_label
from alrl_jax.models.build import build_discriminator
from alrl_jax.types import AnyArray


class DiscriminatorModel(Model):
    """Kind ``discriminator``: images to logits."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self._network = build_discriminator(config)
        self._apply = jax.jit(self._network.apply)

    def __call__(
        self, images: AnyImages, label: Float[AnyArray, "b n"] | None = None
    ) -> Float[Array, "b 1"]:
        """How real images look.

        Args:
            images: of the discriminator's size, in [-1, 1].
            label: one-hot classes of a conditional one.

        Raises:
            UserError: on images of another shape, type or range, and where a label is missing.
        """
        check_images(images, self._network.resolution)
        check_label(label, self._network.label_dim, len(images))
        return self._apply(self.variables, images, label)
