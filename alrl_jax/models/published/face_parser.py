"""Face parsing by BiSeNet (Yu et al., "Bilateral Segmentation Network", ECCV 2018).

The form that the published face parser has: the spatial path is the second stage of the backbone.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.published.inference_layers import (
    ConvUnit,
    batch_norm,
    imagenet_normalise,
    spatial_mean,
)
from alrl_jax.models.published.resnet import STEM_WIDTH, ResNet
from alrl_jax.models.resize import resize_bilinear, resize_nearest

RESNET18 = (2, 2, 2, 2)
CONTEXT, FUSED = 2, 4
HEADS = {"conv_out": 4, "conv_out16": 1, "conv_out32": 1}
"""Channels of context and fused maps and inside the heads, over those of the first stage; the last
two heads were added for training."""


def _linear(x: Float[Array, "b h w i"], features: int, name: str) -> Float[Array, "b h w o"]:
    return nn.Conv(features, (1, 1), use_bias=False, name=name)(x)


class AttentionRefinement(nn.Module):
    """A convolution whose channels are weighted by what the whole map holds.

    Attributes:
        width: channels of the result.
    """

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        """Maps to maps of the context's width."""
        x = ConvUnit(self.width, (3, 3), name="conv")(x)
        attention = _linear(spatial_mean(x), self.width, "conv_atten")
        return x * jax.nn.sigmoid(batch_norm("bn_atten")(attention))


class ContextPath(nn.Module):
    """A ResNet-18 whose coarse maps are refined and carried up.

    Attributes:
        width: channels of its first stage.
    """

    width: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b i j _"], Float[Array, "b i j _"], Float[Array, "b k l _"]]:
        """Details at 1/8 of the size, context at 1/8, and at 1/16."""
        _, fine, middle, coarse = ResNet(RESNET18, False, self.width, name="resnet")(x)
        width = CONTEXT * self.width
        whole = ConvUnit(width, name="conv_avg")(spatial_mean(coarse))
        low = AttentionRefinement(width, name="arm32")(coarse) + whole
        low = resize_nearest(low, *middle.shape[1:3])
        low = ConvUnit(width, (3, 3), name="conv_head32")(low)
        high = AttentionRefinement(width, name="arm16")(middle) + low
        high = resize_nearest(high, *fine.shape[1:3])
        return fine, ConvUnit(width, (3, 3), name="conv_head16")(high), low


class FeatureFusion(nn.Module):
    """Details and context in one, weighted by channel.

    Attributes:
        width: channels of the result.
    """

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        """Joined maps to fused ones."""
        x = ConvUnit(self.width, name="convblk")(x)
        attention = nn.relu(_linear(spatial_mean(x), self.width // 4, "conv1"))
        return x + x * jax.nn.sigmoid(_linear(attention, self.width, "conv2"))


class Head(nn.Module):
    """Maps to logits.

    Attributes:
        width: channels inside.
        num_classes: channels of the output.
    """

    width: int
    num_classes: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w n"]:
        """Logits at the size of the maps."""
        x = ConvUnit(self.width, (3, 3), name="conv")(x)
        return _linear(x, self.num_classes, "conv_out")


class FaceParser(nn.Module):
    """BiSeNet over a ResNet-18.

    Attributes:
        num_classes: what a pixel can be.
        width: channels of the backbone's first stage.
    """

    num_classes: int = 19
    width: int = STEM_WIDTH

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b h w n"], Float[Array, "b h w n"], Float[Array, "b h w n"]]:
        """Logits of every pixel's class: those to use, and those of the heads at 1/8 and 1/16.

        Args:
            images: face crops in [-1, 1]; 512 x 512 pixels is what the published weights know.
        """
        fine, context, coarse = ContextPath(self.width, name="cp")(imagenet_normalise(images))
        joined = jnp.concatenate([fine, context], axis=-1)
        fused = FeatureFusion(FUSED * self.width, name="ffm")(joined)
        height, width = images.shape[1:3]
        logits = [
            Head(HEADS[name] * self.width, self.num_classes, name=name)(x)
            for name, x in zip(HEADS, (fused, context, coarse), strict=True)
        ]
        out, middle, low = (resize_bilinear(x, height, width, align_corners=True) for x in logits)
        return out, middle, low
