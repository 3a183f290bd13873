"""Face backbones of ArcFace: IR, IR-SE (TreB1eN's code, pSp, e4e) and iresnet (insightface).

Pre-activated residual units after Deng et al., "ArcFace", CVPR 2019; squeeze and excitation after
Hu et al., CVPR 2018.  Batch normalisation runs on the statistics that a checkpoint holds
(collection ``batch_stats``).
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from alrl_jax.models.face_analyser import unit_length
from alrl_jax.models.remat import remat

BATCH_NORM_EPSILON = 1e-5
STRIDE = 16
"""Side of the image over side of the last map: each of the four stages halves it once."""

_AROUND = ((1, 1), (1, 1))
"""Zeros around a map: what strided convolutions of PyTorch pad, where "SAME" would not."""


class StoredNorm(nn.Module):
    """Batch normalisation by stored statistics: a factor and an offset for every channel.

    Scale and bias are parameters; mean and variance stand apart, in ``batch_stats``.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        """Normalises the last axis; factor and offset are worked out in float32."""
        shape, ones, zeros = (x.shape[-1],), nn.initializers.ones, nn.initializers.zeros
        scale = self.param("scale", ones, shape, jnp.float32)
        bias = self.param("bias", zeros, shape, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32).value
        variance = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32).value
        factor = scale * lax.rsqrt(variance + BATCH_NORM_EPSILON)
        offset = bias - mean * factor
        return x.astype(self.dtype) * factor.astype(self.dtype) + offset.astype(self.dtype)


def conv3x3(
    features: int, stride: int, dtype: DTypeLike, name: str | None = None, use_bias: bool = False
) -> nn.Conv:
    """A 3x3 convolution that keeps the size of the map, or halves it."""
    return nn.Conv(features, (3, 3), stride, _AROUND, use_bias=use_bias, dtype=dtype, name=name)


class ChannelPReLU(nn.Module):
    """Leaky ReLU whose slope is learned, one for every channel (He et al., ICCV 2015)."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        slope = self.param("slope", nn.initializers.constant(0.25), (x.shape[-1],), jnp.float32)
        return jnp.where(x >= 0, x, slope.astype(self.dtype) * x)


class SqueezeExcite(nn.Module):
    """Scales channels by what their means say of each other.

    Attributes:
        factor: channels of a map over channels of the squeezed one.
        dtype: of the computation.
    """

    factor: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        def mix(means: Array, width: int, name: str) -> Array:
            conv = nn.Conv(width, (1, 1), use_bias=False, dtype=self.dtype, name=name)
            return conv(means)

        width = x.shape[-1]
        means = jnp.mean(x, axis=(1, 2), keepdims=True)
        squeezed = nn.relu(mix(means, width // self.factor, "squeeze"))
        return x * nn.sigmoid(mix(squeezed, width, "excite"))


class Unit(nn.Module):
    """Residual unit: normalise, convolve, PReLU, convolve with stride, normalise.

    Attributes:
        width: channels of the output.
        stride: 2 halves the map.
        project: shortcut by a 1x1 convolution; else every ``stride``-th pixel as it is.
        middle_norm: normalise after the first convolution too (iresnet).
        squeeze: factor of squeeze and excitation at the end; None without (IR, iresnet).
        dtype: of the computation.
    """

    width: int
    stride: int
    project: bool
    middle_norm: bool = False
    squeeze: int | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        shortcut = x[:, :: self.stride, :: self.stride]
        if self.project:
            conv = nn.Conv(self.width, (1, 1), use_bias=False, dtype=self.dtype, name="shortcut")
            shortcut = StoredNorm(self.dtype, name="shortcut_norm")(conv(shortcut))
        x = StoredNorm(self.dtype, name="norm0")(x)
        x = conv3x3(self.width, 1, self.dtype, "conv0")(x)
        if self.middle_norm:
            x = StoredNorm(self.dtype, name="norm1")(x)
        x = ChannelPReLU(self.dtype, name="prelu")(x)
        x = conv3x3(self.width, self.stride, self.dtype, "conv1")(x)
        x = StoredNorm(self.dtype, name="norm2")(x)
        if self.squeeze is not None:
            x = SqueezeExcite(self.squeeze, self.dtype, name="se")(x)
        return x + shortcut


class InputLayer(nn.Module):
    """Convolution, normalisation, PReLU at full resolution."""

    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b h w {self.width}"]:
        x = conv3x3(self.width, 1, self.dtype, "conv")(images.astype(self.dtype))
        return ChannelPReLU(self.dtype, name="prelu")(StoredNorm(self.dtype, name="norm")(x))


class Body(nn.Module):
    """Four stages of residual units, each at half the resolution of the one before.

    Attributes:
        widths: channels of the stages.
        units: how many units each has.
        squeeze: see ``Unit``.
        iresnet: units as in insightface, which normalises thrice and has a projection at the head
            of every stage; else as in TreB1eN's code, which projects where the width changes.
        dtype: of the computation.
        remat: what the backward pass keeps of a unit, see ``REMAT_POLICIES``.
    """

    widths: tuple[int, ...]
    units: tuple[int, ...]
    squeeze: int | None = None
    iresnet: bool = False
    dtype: DTypeLike = jnp.float32
    remat: str = "none"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> list[Array]:
        """Maps at the ends of the stages, fine to coarse."""
        unit = remat(Unit, self.remat)
        maps = []
        for stage, (width, count) in enumerate(zip(self.widths, self.units, strict=True)):
            for i in range(count):
                changes = i == 0 and (self.iresnet or x.shape[-1] != width)
                x = unit(
                    width=width,
                    stride=1 if i else 2,
                    project=changes,
                    middle_norm=self.iresnet,
                    squeeze=self.squeeze,
                    dtype=self.dtype,
                    name=f"stage{stage}_unit{i}",
                )(x)
            maps.append(x)
        return maps


class OutputLayer(nn.Module):
    """The last map as one vector: normalise, dense over the whole map, normalise."""

    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b {self.width}"]:
        x = StoredNorm(self.dtype, name="norm")(x)
        x = nn.Dense(self.width, dtype=self.dtype, name="dense")(x.reshape(x.shape[0], -1))
        return StoredNorm(self.dtype, name="embedding_norm")(x)


class FaceEmbedder(nn.Module):
    """Face to identity: ArcFace's network with an IR, IR-SE or iresnet body.

    Attributes:
        resolution: side of the images in pixels.
        widths: see ``Body``.
        units: see ``Body``.
        squeeze: see ``Unit``.
        iresnet: see ``Body``.
        embedding_width: size of the embedding.
        dtype: of the computation.
    """

    resolution: int
    widths: tuple[int, ...]
    units: tuple[int, ...]
    squeeze: int | None
    iresnet: bool
    embedding_width: int
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.input_layer = InputLayer(self.widths[0], self.dtype)
        self.body = Body(self.widths, self.units, self.squeeze, self.iresnet, self.dtype)
        self.output_layer = OutputLayer(self.embedding_width, self.dtype)

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Unit embeddings of faces with pixels in [-1, 1], aligned as ArcFace aligns them."""
        return unit_length(self.embed_raw(images).astype(jnp.float32))

    def embed_raw(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Embeddings as the network gives them, of any length."""
        return self.output_layer(self.features(images)[-1])

    def features(self, images: Float[Array, "b h w 3"]) -> list[Array]:
        """Feature maps at the ends of the stages, fine to coarse."""
        return self.body(self.input_layer(images))
