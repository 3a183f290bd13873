"""LPIPS, a distance of images in the features of a classifier.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018;
version 0.1, on AlexNet or VGG-16.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
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

    def setup(self) -> None:
        layers = BACKBONES[self.backbone].layers
        self.convs = [
            nn.Conv(
                layer.features,
                (layer.side, layer.side),
                (layer.stride, layer.stride),
                layer.padding,
                name=f"features.{layer.number}",
            )
            for layer in layers
        ]
        # A distance is float32, on accelerators too: it is a sum of small squares.
        full = lax.Precision.HIGHEST
        self.weighings = [
            nn.Conv(1, (1, 1), use_bias=False, precision=full, name=f"lin{i}.model.1")
            for i in range(sum(layer.tap for layer in layers))
        ]

    def __call__(
        self, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
    ) -> Float[Array, " b"]:
        """Distances of images in [-1, 1], pair by pair."""
        return jnp.sum(self.per_tap(a, b), axis=-1)

    def per_tap(
        self, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
    ) -> Float[Array, "b t"]:
        """What each tap adds to the distances."""
        halves = [jnp.split(x, 2) for x in self.taps(jnp.concatenate([a, b]))]
        return self.compare([one for one, _ in halves], [other for _, other in halves])

    def taps(self, images: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ _"]]:
        """What ``compare`` compares of images in [-1, 1]: maps of pixels of length 1."""
        net = BACKBONES[self.backbone]
        x, maps = (images - SHIFT) / SCALE, []
        for layer, conv in zip(net.layers, self.convs, strict=True):
            if layer.pool:
                x = nn.max_pool(x, (net.pool_side, net.pool_side), (2, 2))
            x = nn.relu(conv(x))
            if layer.tap:
                maps.append(_unit_length(x))
        return maps

    def compare(
        self, one: list[Float[Array, "b _ _ _"]], other: list[Float[Array, "b _ _ _"]]
    ) -> Float[Array, "b t"]:
        """What each tap adds to the distances of images of which ``taps`` are given."""
        parts = [
            jnp.mean(weigh(jnp.square(a - b)), axis=(1, 2, 3))
            for weigh, a, b in zip(self.weighings, one, other, strict=True)
        ]
        return jnp.stack(parts, axis=-1)


def _unit_length(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Pixels of length 1; those that are 0 stay so, and have no gradient."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    some = square > 0
    length = jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)
    return x / (length + _EPSILON)
