"""The StyleGAN2 discriminator, with residual blocks.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2 import generator, layers, ops

# Two branches of unit variance are added: without this, variance would double in every block.
_HALF_POWER = math.sqrt(0.5)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution.

    Attributes:
        features: feature maps inside.
        out_features: feature maps of the output.
        conv_clamp: limit of the absolute output of a layer.
        dtype: of the convolutions.
    """

    features: int
    out_features: int
    conv_clamp: ops.Number | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w i"], from_rgb: bool = False
    ) -> Float[Array, "b h2 w2 o"]:
        """Halves the resolution; ``from_rgb``: x is an image, not features."""
        common = {"clamp": self.conv_clamp, "dtype": self.dtype}
        if from_rgb:
            x = layers.EqualizedConv(self.features, 1, **common, name="fromrgb")(x)
        # Linear, so that gradients pass a block without an activation on their way.
        skip = layers.EqualizedConv(
            self.out_features,
            1,
            down=True,
            use_bias=False,
            activate=False,
            gain=_HALF_POWER,
            dtype=self.dtype,
            name="skip",
        )(x)
        x = layers.EqualizedConv(self.features, 3, **common, name="conv0")(x)
        x = layers.EqualizedConv(
            self.out_features, 3, down=True, gain=_HALF_POWER, **common, name="conv1"
        )(x)
        return x + skip


class DiscriminatorEpilogue(nn.Module):
    """Last block: minibatch standard deviation, convolution, two dense layers.

    Attributes:
        out_features: width of the output.
        mbstd_group_size, mbstd_num_channels, mbstd_blocks: see ``ops.minibatch_stddev``.
        conv_clamp: limit of the absolute output of the convolution.
    """

    out_features: int
    mbstd_group_size: int | None = 4
    mbstd_num_channels: int = 1
    mbstd_blocks: int = 1
    conv_clamp: ops.Number | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b 4 4 c"]) -> Float32[Array, "b o"]:
        """Returns logits, all in float32, on accelerators too."""
        # What follows is a difference between images of a batch, which half precision rounds away.
        x = x.astype(jnp.float32)
        channels = x.shape[-1]
        if self.mbstd_num_channels > 0:
            # A generator that draws one image for every input gives itself away here.
            stddev = ops.minibatch_stddev(
                x, self.mbstd_group_size, self.mbstd_num_channels, self.mbstd_blocks
            )
            x = jnp.concatenate([x, stddev], axis=-1)
        full = lax.Precision.HIGHEST
        x = layers.EqualizedConv(channels, 3, clamp=self.conv_clamp, precision=full, name="conv")(x)
        # In the order [row, column, channel], to which converters bring the weights of others.
        x = x.reshape(x.shape[0], -1)
        x = layers.EqualizedDense(channels, activate=True, name="fc")(x)
        return layers.EqualizedDense(self.out_features, name="out")(x)


class Discriminator(nn.Module):
    """StyleGAN2 discriminator.

    Attributes:
        resolution: side of the image in pixels, a power of two.
        label_dim: number of classes, 0 without.
        channel_base: feature maps times resolution.
        channel_max: most feature maps of a layer.
        channels: explicit pairs (resolution, feature maps) instead of that rule.
        mbstd_group_size: samples that share a statistic, None a whole block.
        mbstd_num_channels: channels of that statistic, 0 without.
        mbstd_blocks: fixed blocks of the global batch in which the groups lie.
        num_mapping_layers: depth of the network that maps labels.
        cmap_dim: width of a mapped label, None for the feature maps at 4x4.
        conv_clamp: limit of the absolute output of a layer, None without.
        dtype: of the convolutions; parameters and the last block are float32.
    """

    resolution: int
    label_dim: int = 0
    channel_base: int = 32768
    channel_max: int = 512
    channels: generator.Channels | None = None
    mbstd_group_size: int | None = 4
    mbstd_num_channels: int = 1
    mbstd_blocks: int = 1
    num_mapping_layers: int = 8
    cmap_dim: int | None = None
    conv_clamp: ops.Number | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float32[Array, "b h w 3"], label: Float32[Array, "b n"] | None = None
    ) -> Float32[Array, "b 1"]:
        """Says how real images look.

        Args:
            images: pixels in [-1, 1].
            label: one-hot classes, for a conditional network.

        Returns:
            Logits; high where an image looks real.

        Raises:
            UserError: if the images have another size, or a label is missing or too many.
        """
        if images.shape[1:3] != (self.resolution, self.resolution):
            raise UserError(
                f"got images of {images.shape[1]}x{images.shape[2]}; expected "
                f"{self.resolution}x{self.resolution}; resize them"
            )
        table = generator.channel_table(
            self.resolution, self.channel_base, self.channel_max, self.channels
        )
        sides = sorted(table, reverse=True)
        x = images
        for side, below in zip(sides[:-1], sides[1:], strict=True):
            x = DiscriminatorBlock(
                table[side], table[below], self.conv_clamp, self.dtype, name=f"b{side}"
            )(x, from_rgb=side == self.resolution)
        conditional = self.label_dim > 0
        width = table[4] if self.cmap_dim is None else self.cmap_dim
        x = DiscriminatorEpilogue(
            width if conditional else 1,
            self.mbstd_group_size,
            self.mbstd_num_channels,
            self.mbstd_blocks,
            self.conv_clamp,
            name="b4",
        )(x)
        # A label for a network without classes goes on, to be refused by the mapping network.
        if not conditional and label is None:
            return x
        mapped = generator.MappingNetwork(
            width, self.num_mapping_layers, self.label_dim, False, name="mapping"
        )(None, label)
        # A projection onto the label (Miyato and Koyama 2018); the root keeps its variance at 1.
        return jnp.sum(x * mapped, axis=-1, keepdims=True) / math.sqrt(width)
