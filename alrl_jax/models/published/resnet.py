"""ResNets for inference (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

As in torchvision: in a bottleneck, the 3x3 convolution has the stride.
"""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from alrl_jax.models.published.inference_layers import AROUND, batch_norm

STEM_WIDTH = 64
"""Channels of the first stage of the published ones."""
BOTTLENECK_GAIN = 4
"""Channels of a bottleneck's output over those inside."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or a 3x3 one between two 1x1 ones, beside a shortcut.

    Attributes:
        features: channels inside.
        stride: of the block.
        bottleneck: the second form.
    """

    features: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        """Maps to maps."""
        width = self.features * (BOTTLENECK_GAIN if self.bottleneck else 1)
        layers = [(3, self.stride, self.features), (3, 1, width)]
        if self.bottleneck:
            layers = [(1, 1, self.features), (3, self.stride, self.features), (1, 1, width)]
        shortcut, inner = x, x
        for i, (side, stride, features) in enumerate(layers, 1):
            inner = nn.relu(inner) if i > 1 else inner
            inner = _convolution(inner, features, side, stride, f"conv{i}")
            inner = batch_norm(f"bn{i}")(inner)
        if self.stride > 1 or x.shape[-1] != width:
            shortcut = _convolution(x, width, 1, self.stride, "downsample.0")
            shortcut = batch_norm("downsample.1")(shortcut)
        return nn.relu(inner + shortcut)


def _convolution(
    x: Float[Array, "b h w i"], features: int, side: int, stride: int, name: str
) -> Float[Array, "b h2 w2 o"]:
    convolution = nn.Conv(
        features, (side, side), (stride, stride), side // 2, use_bias=False, name=name
    )
    return convolution(x)


def resnet_stages(
    x: Float[Array, "b h w i"], depths: Sequence[int], bottleneck: bool, width: int = STEM_WIDTH
) -> list[Float[Array, "b _ _ _"]]:
    """The maps of the four stages, at 1/4, 1/8, 1/16 and 1/32 of the size.

    To be called where a module is compact: the layers become its own.

    Args:
        x: normalised images.
        depths: blocks of each stage.
        bottleneck: which form of block.
        width: channels of the first stage; each further one has twice as many.
    """
    x = nn.relu(batch_norm("bn1")(_convolution(x, width, 7, 2, "conv1")))
    x = nn.max_pool(x, (3, 3), (2, 2), AROUND)
    stages = []
    for stage, depth in enumerate(depths):
        for i in range(depth):
            stride = 2 if stage and not i else 1
            name = f"layer{stage + 1}.{i}"
            x = ResidualBlock(width * 2**stage, stride, bottleneck, name=name)(x)
        stages.append(x)
    return stages


class ResNet(nn.Module):
    """A backbone that gives the maps of its stages; fields as in ``resnet_stages``."""

    depths: tuple[int, ...]
    bottleneck: bool
    width: int = STEM_WIDTH

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> list[Float[Array, "b _ _ _"]]:
        """The maps of the stages of normalised images."""
        return resnet_stages(x, self.depths, self.bottleneck, self.width)
