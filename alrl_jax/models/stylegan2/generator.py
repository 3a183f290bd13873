"""The StyleGAN2 generator: mapping network and skip-connected synthesis network.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.  Parameters are
in collection ``params``; what is copied rather than trained (the centre of truncation ``w_avg``
and the fixed noise maps ``noise_const``) in collection ``constants``.
"""

import math
from collections.abc import Mapping
from typing import Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import constant, normal
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Key

from alrl_jax.errors import UserError
from alrl_jax.models.remat import remat
from alrl_jax.models.stylegan2 import layers, ops
from alrl_jax.models.stylegan2 import packed as packing
from alrl_jax.models.stylegan2.mapping import MappingNetwork
from alrl_jax.models.stylegan2.upfirdn import upsample2d

NoiseMode = Literal["const", "none", "random"]
Channels = tuple[tuple[int, int], ...]
"""Pairs (resolution, feature maps)."""

IMAGE_CHANNELS = 3
MAPPING_LR_MULTIPLIER = 0.01  # at the full rate, the mapping network makes training unstable


def block_resolutions(resolution: int) -> tuple[int, ...]:
    """Resolutions 4, 8, ... up to the image's.

    Raises:
        UserError: unless ``resolution`` is a power of two of at least 8.
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise UserError(f"got resolution {resolution}; expected a power of two >= 8; change it")
    return tuple(2**k for k in range(2, resolution.bit_length()))


def channel_table(
    resolution: int, channel_base: int, channel_max: int, channels: Channels | None = None
) -> dict[int, int]:
    """Feature maps at every resolution: ``channel_base / r``, at most ``channel_max``.

    Args:
        resolution: side of the image in pixels.
        channel_base: feature maps times resolution.
        channel_max: upper limit.
        channels: explicit table, which overrides the rule.

    Raises:
        UserError: if an explicit table misses a resolution.
    """
    resolutions = block_resolutions(resolution)
    if channels is None:
        return {r: min(channel_base // r, channel_max) for r in resolutions}
    table = dict(channels)
    if set(table) != set(resolutions):
        raise UserError(
            f"got channels for resolutions {sorted(table)}; expected {list(resolutions)}; "
            "list each of them once"
        )
    return table


def num_latents(resolution: int) -> int:
    """Number of W+ codes: two a block, the first block excepted, plus the last RGB layer."""
    return 2 * len(block_resolutions(resolution))


def _channels(x: Float[Array, "b h w i"], packed: bool) -> int:
    """Channels of features, which have a place for every pixel where they are packed."""
    return x.shape[-1] // packing.PIXELS if packed else x.shape[-1]


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    Attributes:
        features: feature maps of the output.
        resolution: side of the output.
        up: double the resolution.
        conv_clamp: limit of the absolute output.
        demod_convention: see ``layers.DemodConvention``.
        dtype: of the convolution.
        packed: the output has the form of ``packed.py``, and unless ``up``, so has the input.
    """

    features: int
    resolution: int
    up: bool = False
    conv_clamp: ops.Number | None = None
    demod_convention: layers.DemodConvention = "unscaled"
    dtype: DTypeLike = jnp.float32
    packed: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w i"],
        w: Float32[Array, "b d"],
        noise_mode: NoiseMode,
        noise_key: Key[Array, ""] | None,
    ) -> Float[Array, "b h2 w2 o"]:
        """Draws one layer; ``noise_key`` belongs to this layer alone."""
        channels = _channels(x, self.packed and not self.up)
        styles = layers.EqualizedDense(channels, bias_init=1.0, name="affine")(w)  # 1: no scaling
        weight = self.param("weight", normal(1.0), (3, 3, channels, self.features))
        form = {"up": self.up, "convention": self.demod_convention, "packed": self.packed}
        x = layers.modulated_conv2d(x.astype(self.dtype), weight, styles, **form)
        shape = (1, self.resolution, self.resolution, 1)
        strength = self.param("noise_strength", constant(0.0), ())  # noise has to be learned
        # Kept beside the weights, so that "const" draws the same image wherever it runs.
        fixed = self.variable("constants", "noise_const", self._draw_noise, shape)
        if noise_mode == "const":
            x = x + self._spread(fixed.value * strength)
        elif noise_mode == "random" and noise_key is not None:
            noise = jax.random.normal(noise_key, (x.shape[0], *shape[1:]), jnp.float32)
            x = x + self._spread(noise * strength)
        bias = self.param("bias", constant(0.0), (self.features,))
        bias = packing.of_channels(bias) if self.packed else bias
        return ops.leaky_relu(x + bias.astype(self.dtype), clamp=self.conv_clamp)

    def _spread(self, noise: Float32[Array, "b h w 1"]) -> Float[Array, "b h2 w2 c"]:
        """Noise in the form in which it is added to all channels."""
        noise = noise.astype(self.dtype)
        return packing.of_pixels(ops.space_to_depth(noise), self.features) if self.packed else noise

    def _draw_noise(self, shape: tuple[int, ...]) -> Float32[Array, "1 h w 1"]:
        return jax.random.normal(self.make_rng("params"), shape, jnp.float32)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, not demodulated.

    Attributes:
        conv_clamp: limit of the absolute output.
        dtype: of the convolution.
        packed: features have the form of ``packed.py``; the colours never have.
    """

    conv_clamp: ops.Number | None = None
    dtype: DTypeLike = jnp.float32
    packed: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w i"], w: Float32[Array, "b d"]
    ) -> Float32[Array, "b h2 w2 3"]:
        """Returns what this resolution adds to the image."""
        channels = _channels(x, self.packed)
        styles = layers.EqualizedDense(channels, bias_init=1.0, name="affine")(w)  # 1: no scaling
        weight = self.param("weight", normal(1.0), (1, 1, channels, IMAGE_CHANNELS))
        # Not demodulated, so the gain of an equalised layer goes into the styles, the least array.
        rgb = layers.modulated_conv2d(
            x.astype(self.dtype),
            weight,
            styles / math.sqrt(channels),
            demodulate=False,
            packed=self.packed,
        )
        rgb = ops.depth_to_space(rgb) if self.packed else rgb
        bias = self.param("bias", constant(0.0), (IMAGE_CHANNELS,))
        return ops.clip(rgb.astype(jnp.float32) + bias, self.conv_clamp)  # blocks add up in float32


class SynthesisBlock(nn.Module):
    """One resolution: an up-convolution and a convolution (the first block: const, convolution).

    Attributes:
        resolution: side of the output.
        features: feature maps of the output.
        conv_clamp: limit of the absolute output of a layer.
        demod_convention: see ``layers.DemodConvention``.
        dtype: of the convolutions.
        packed: features are drawn, and returned, in the form of ``packed.py``.
    """

    resolution: int
    features: int
    conv_clamp: ops.Number | None = None
    demod_convention: layers.DemodConvention = "unscaled"
    dtype: DTypeLike = jnp.float32
    packed: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w i"] | None,
        image: Float32[Array, "b h w 3"] | None,
        ws: Float32[Array, "b n d"],
        pose_code: Float[Array, "b 4 4 c"] | None,
        noise_mode: NoiseMode,
        noise_keys: Key[Array, " m"] | None,
    ) -> tuple[Float[Array, "b h3 w3 o"], Float32[Array, "b h2 w2 3"]]:
        """Returns features and image at this block's resolution.

        ``ws`` holds a code a convolution and one for the colours; ``noise_keys`` one a convolution.
        """
        common = {
            "features": self.features,
            "resolution": self.resolution,
            "conv_clamp": self.conv_clamp,
            "demod_convention": self.demod_convention,
            "dtype": self.dtype,
            "packed": self.packed,
        }
        keys = [None, None] if noise_keys is None else list(noise_keys)
        if x is None:
            const = self.param("const", normal(1.0), (1, 4, 4, self.features))
            x = jnp.broadcast_to(const, (ws.shape[0], *const.shape[1:]))
            # Zeros leave an imported generator as it is: it learns to read poses from there.
            x = x if pose_code is None else x + pose_code.astype(jnp.float32)
        else:
            x = SynthesisLayer(**common, up=True, name="conv0")(x, ws[:, 0], noise_mode, keys[0])
        x = SynthesisLayer(**common, name="conv1")(x, ws[:, -2], noise_mode, keys[-1])
        rgb = ToRGB(self.conv_clamp, self.dtype, self.packed, name="torgb")(x, ws[:, -1])
        return x, rgb if image is None else upsample2d(image) + rgb


class SynthesisNetwork(nn.Module):
    """Draws images from W+ codes.

    Attributes:
        channels: pairs (resolution, feature maps), ascending.
        conv_clamp: limit of the absolute output of a layer.
        demod_convention: see ``layers.DemodConvention``.
        dtype: of the convolutions; colours are summed in float32.
        remat: what the backward pass keeps of a block, see ``REMAT_POLICIES``.
        packed: the last block works in the form of ``packed.py``.
    """

    channels: Channels
    conv_clamp: ops.Number | None = None
    demod_convention: layers.DemodConvention = "unscaled"
    dtype: DTypeLike = jnp.float32
    remat: str = "none"
    packed: bool = False

    @nn.compact
    def __call__(
        self,
        ws: Float32[Array, "b l d"],
        pose_code: Float[Array, "b 4 4 c"] | None = None,
        noise_mode: NoiseMode = "const",
        noise_key: Key[Array, ""] | None = None,
        injected: Mapping[int, Array] | None = None,
    ) -> Float32[Array, "b h w 3"]:
        """Returns images, nominally in [-1, 1] but never clipped; see ``Generator.synthesize``."""
        num_layers = 2 * len(self.channels)
        injected = injected or {}
        if unknown := injected.keys() - dict(self.channels[:-1]).keys():
            raise UserError(
                f"got features to inject at {sorted(unknown)} px; expected some of "
                f"{[resolution for resolution, _ in self.channels[:-1]]}; leave the others out"
            )
        if ws.shape[1] != num_layers:
            raise UserError(f"got {ws.shape[1]} W+ codes; expected {num_layers}; see num_latents")
        if noise_mode not in ("const", "none", "random") or (noise_mode == "random") != (
            noise_key is not None
        ):
            raise UserError(
                f"got noise_mode={noise_mode!r} with{'out' if noise_key is None else ''} noise_key;"
                " expected 'const' or 'none' without, or 'random' with a key"
            )
        keys = None if noise_key is None else jax.random.split(noise_key, num_layers)
        block = remat(SynthesisBlock, self.remat, static_argnums=(5,))  # the noise mode
        x, image = None, None
        for i, (resolution, features) in enumerate(self.channels):
            first, last = max(2 * i - 1, 0), 2 * i + 1  # colours share a code with the next block
            x, image = block(
                resolution,
                features,
                self.conv_clamp,
                self.demod_convention,
                self.dtype,
                self.packed and i == len(self.channels) - 1,
                name=f"b{resolution}",
            )(
                x,
                image,
                ws[:, first : last + 1],
                pose_code,
                noise_mode,
                None if keys is None else keys[first:last],
            )
            if resolution in injected:
                # Behind the block's own colours: only finer blocks see what is injected.
                x = x + injected[resolution].astype(x.dtype)
        return cast(Array, image)


class Generator(nn.Module):
    """StyleGAN2 generator.

    Attributes:
        resolution: side of the image in pixels, a power of two.
        z_dim: width of the input noise.
        w_dim: width of a W+ code.
        label_dim: number of classes, 0 without.
        channel_base: feature maps times resolution.
        channel_max: most feature maps of a layer.
        channels: explicit pairs (resolution, feature maps) instead of that rule.
        num_mapping_layers: depth of the mapping network.
        conv_clamp: limit of the absolute output of a layer, None without.
        demod_convention: see ``layers.DemodConvention``.
        dtype: of the convolutions; parameters, styles, demodulation and colours are float32.
        remat: what the backward pass keeps of a block, see ``REMAT_POLICIES``.
        packed: the last block works in the form of ``packed.py``; same parameters, same images.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0
    channel_base: int = 32768
    channel_max: int = 512
    channels: Channels | None = None
    num_mapping_layers: int = 8
    conv_clamp: ops.Number | None = None
    demod_convention: layers.DemodConvention = "unscaled"
    dtype: DTypeLike = jnp.float32
    remat: str = "none"
    packed: bool = False

    def setup(self) -> None:
        """Makes the two networks."""
        table = channel_table(self.resolution, self.channel_base, self.channel_max, self.channels)
        self.mapping = MappingNetwork(self.w_dim, self.num_mapping_layers, self.label_dim)
        form = self.conv_clamp, self.demod_convention, self.dtype, self.remat, self.packed
        self.synthesis = SynthesisNetwork(tuple(table.items()), *form)

    def __call__(
        self, z: Float32[Array, "b z"], label: Float32[Array, "b n"] | None = None
    ) -> Float32[Array, "b h w 3"]:
        """Draws images from noise, with the fixed noise maps; what ``init`` runs."""
        return self.synthesize(self.map(z, label))

    def map(
        self,
        z: Float32[Array, "b z"],
        label: Float32[Array, "b n"] | None = None,
        truncation_psi: ops.Number = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float32[Array, "b l d"]:
        """Maps normal vectors to W+ codes, the same code for all layers.

        Args:
            z: normal vectors.
            label: one-hot classes, for a conditional network.
            truncation_psi: 1 leaves codes alone, 0 moves them into the average.
            truncation_cutoff: number of layers that are truncated, None all.

        Raises:
            UserError: if z is not ``z_dim`` wide, or a label is missing or too many.
        """
        if z.shape[-1] != self.z_dim:
            raise UserError(f"got z of width {z.shape[-1]}; expected z_dim={self.z_dim}")
        w = self.mapping(z, label)
        layers_ = num_latents(self.resolution)
        ws = jnp.broadcast_to(w[:, None], (w.shape[0], layers_, self.w_dim))
        if truncation_psi == 1.0:
            return ws
        center = self.mapping.get_variable("constants", "w_avg")
        # The coarse layers alone: common shapes, but colours and textures as varied as ever.
        cutoff = layers_ if truncation_cutoff is None else truncation_cutoff
        truncated = center + truncation_psi * (ws - center)
        return jnp.where(jnp.arange(layers_)[:, None] < cutoff, truncated, ws)

    def synthesize(
        self,
        ws: Float32[Array, "b l d"],
        pose_code: Float[Array, "b 4 4 c"] | None = None,
        noise_mode: NoiseMode = "const",
        noise_key: Key[Array, ""] | None = None,
        injected: Mapping[int, Array] | None = None,
    ) -> Float32[Array, "b h w 3"]:
        """Draws images.

        Args:
            ws: W+ codes.
            pose_code: what is added to the learned 4x4 constant.
            noise_mode: fixed maps, no noise, or new noise.
            noise_key: key for new noise; every layer draws with a key of its own.
            injected: by resolution, maps ``b r r c`` that are added to the features of the block
                of that resolution, on their way to the next one; the last block has no next.

        Returns:
            Images, nominally in [-1, 1] but never clipped.

        Raises:
            UserError: if the number of codes, the noise arguments or the resolutions do not fit.
        """
        return self.synthesis(ws, pose_code, noise_mode, noise_key, injected)
