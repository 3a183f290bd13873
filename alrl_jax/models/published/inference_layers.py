"""Layers of published networks that are run as they are and not trained on.

Their modules bear the names of the published weights, dots included, so that no table of names
stands between the two.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of pixels in [0, 1], red, green and blue, as the networks of torchvision expect them."""

AROUND: Any = ((1, 1), (1, 1))
"""A pixel of padding on every side, for Flax's pools, whose annotation knows text alone."""


def imagenet_normalise(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Pixels in [-1, 1] to those of mean 0 and deviation 1 over ImageNet."""
    return ((images + 1) / 2 - IMAGENET_MEAN) / IMAGENET_STD


def batch_norm(name: str, epsilon: float = 1e-5) -> nn.BatchNorm:
    """Batch normalisation by the statistics of the training (collection ``batch_stats``)."""
    return nn.BatchNorm(use_running_average=True, epsilon=epsilon, name=name)


class ConvUnit(nn.Module):
    """Convolution ``conv`` without bias, batch normalisation ``bn``, ReLU.

    Attributes:
        features: channels of the output.
        kernel: rows and columns.
        stride: of rows and columns.
        padded: zeros around the map, so that its size stays at stride 1; else none.
        epsilon: of the normalisation.
    """

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        """Maps to maps."""
        margin = [(side // 2, side // 2) if self.padded else (0, 0) for side in self.kernel]
        strides = (self.stride, self.stride)
        x = nn.Conv(self.features, self.kernel, strides, margin, use_bias=False, name="conv")(x)
        return nn.relu(batch_norm("bn", self.epsilon)(x))


def spatial_mean(x: Float[Array, "b h w c"]) -> Float[Array, "b 1 1 c"]:
    """The mean map of one pixel."""
    return jnp.mean(x, axis=(1, 2), keepdims=True)
