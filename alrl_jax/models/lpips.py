"""LPIPS, a distance of images in the features of a classifier.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018;
version 0.1, on AlexNet or VGG-16.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
SCALE = np.array([0.458, 0.448, 0.450], np.float32)
"""ImageNet's mean and deviation for pixels in [-1, 1], as the published weights know them."""
_EPSILON = 1e-10


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution and ReLU of a backbone.

    Attributes:
        number: its place in the stack as torchvision counts, which names it.
        features: channels of its output.
        tap: whether its output takes part in the distance.
        pool: whether a max pool stands before it.
        side: of the kernel.
        stride: of the kernel.
        padding: zeros on every side.
    """

    number: int
    features: int
    tap: bool = True
    pool: bool = False
    side: int = 3
    stride: int = 1
    padding: int = 1


@dataclasses.dataclass(frozen=True)
class Backbone:
    """The convolutions of a classifier.

    Attributes:
        pool_side: side of its max pools, whose stride is 2.
        min_side: of images, in pixels, so that every tap has a pixel.
        layers: from the image up.
    """

    pool_side: int
    min_side: int
    layers: tuple[Layer, ...]


BACKBONES: Mapping[str, Backbone] = {
    "alex": Backbone(
        pool_side=3,
        min_side=31,
        layers=(
            Layer(0, 64, side=11, stride=4, padding=2),
            Layer(3, 192, side=5, padding=2, pool=True),
            Layer(6, 384, pool=True),
            Layer(8, 256),
            Layer(10, 256),
        ),
    ),
    "vgg": Backbone(
        pool_side=2,
        min_side=16,
        layers=(
            Layer(0, 64, tap=False),
            Layer(2, 64),
            Layer(5, 128, tap=False, pool=True),
            Layer(7, 128),
            Layer(10, 256, tap=False, pool=True),
            Layer(12, 256, tap=False),
            Layer(14, 256),
            Layer(17, 512, tap=False, pool=True),
            Layer(19, 512, tap=False),
            Layer(21, 512),
            Layer(24, 512, tap=False, pool=True),
            Layer(26, 512, tap=False),
            Layer(28, 512),
        ),
    ),
}
"""By the names of the LPIPS project."""


class LPIPS(nn.Module):
    """The distance; names are those of torchvision and of the LPIPS project.

    Attributes:
        backbone: a key of ``BACKBONES``.
    """

    backbone: str

    def __call__(
        self, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
    ) -> Float[Array, " b"]:
        """Distances of images in [-1, 1], pair by pair."""
        return jnp.sum(self.per_tap(a, b), axis=-1)

    @nn.compact
    def per_tap(
        self, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
    ) -> Float[Array, "b t"]:
        """What each tap adds to the distances."""
        net = BACKBONES[self.backbone]
        x = (jnp.concatenate([a, b]) - SHIFT) / SCALE
        parts: list[Float[Array, " b"]] = []
        for layer in net.layers:
            if layer.pool:
                x = nn.max_pool(x, (net.pool_side, net.pool_side), (2, 2))
            x = nn.Conv(
                layer.features,
                (layer.side, layer.side),
                (layer.stride, layer.stride),
                layer.padding,
                name=f"features.{layer.number}",
            )(x)
            x = nn.relu(x)
            if layer.tap:
                one, other = jnp.split(_unit_length(x), 2)
                weigh = nn.Conv(1, (1, 1), use_bias=False, name=f"lin{len(parts)}.model.1")
                parts.append(jnp.mean(weigh(jnp.square(one - other)), axis=(1, 2, 3)))
        return jnp.stack(parts, axis=-1)


def _unit_length(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Pixels of length 1; those that are 0 stay so, and have no gradient."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    some = square > 0
    length = jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)
    return x / (length + _EPSILON)
