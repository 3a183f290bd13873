"""Layers with weights of unit variance that are scaled at run time (equalised learning rate).

Parameters are kept raw, in float32; the gain 1/sqrt(fan in) is applied in the forward pass
(Karras et al., "Progressive Growing of GANs", ICLR 2018).
"""

import math
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import constant, normal
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.stylegan2 import packed as packing

DemodConvention = Literal["unscaled", "scaled"]
"""Whether the guard against division by zero is added to the norm of the raw weights (NVIDIA's
PyTorch code) or of the weights times 1/sqrt(fan in) (StyleGAN2 in TensorFlow, rosinality)."""

_DEMOD_EPSILON = 1e-8


class EqualizedDense(nn.Module):
    """Dense layer; ``weight`` [in, out], ``bias`` [out].

    Its products of float32 are of full precision on accelerators too: styles, codes and logits are
    float32 whatever the convolutions compute in.

    Attributes:
        features: size of the output.
        use_bias: add a bias.
        bias_init: value of the bias at the start, at run time.
        lr_multiplier: learning speed; parameters are stored divided by it.
        activate: leaky ReLU on the output.
        dtype: of the computation.
    """

    features: int
    use_bias: bool = True
    bias_init: ops.Number = 0.0
    lr_multiplier: ops.Number = 1.0
    activate: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch i"]) -> Float[Array, "*batch o"]:
        """Maps vectors to vectors."""
        shape = (x.shape[-1], self.features)
        weight = self.param("weight", normal(1.0 / self.lr_multiplier), shape)
        # Adam moves a parameter by about its rate, however large it is. Raw weights of one size and
        # a gain at run time make that the same relative step in every layer.
        gain = self.lr_multiplier / math.sqrt(shape[0])
        # Scaled in float32 and rounded once.
        kernel = (weight * gain).astype(self.dtype)
        x = jnp.matmul(x.astype(self.dtype), kernel, precision=lax.Precision.HIGHEST)
        if self.use_bias:
            start = constant(self.bias_init / self.lr_multiplier)
            bias = self.param("bias", start, (self.features,)) * self.lr_multiplier
            x = x + bias.astype(self.dtype)
        return ops.leaky_relu(x) if self.activate else x


class EqualizedConv(nn.Module):
    """Convolution; ``weight`` [k, k, in, out], ``bias`` [out].

    Attributes:
        features: channels of the output.
        kernel_size: side of the kernel, 1 or 3.
        down: halve the resolution.
        use_bias: add a bias.
        activate: leaky ReLU on the output.
        gain: factor on the output, bias and clamp included.
        clamp: limit of the absolute output, before ``gain``.
        dtype: of the computation.
        precision: see ``ops.conv2d``; of a convolution that keeps the resolution.
    """

    features: int
    kernel_size: int
    down: bool = False
    use_bias: bool = True
    activate: bool = True
    gain: ops.Number = 1.0
    clamp: ops.Number | None = None
    dtype: DTypeLike = jnp.float32
    precision: lax.Precision | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        """Maps images to images."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        weight = self.param("weight", normal(1.0), shape) / math.sqrt(math.prod(shape[:3]))
        x, weight = x.astype(self.dtype), weight.astype(self.dtype)
        if self.down:
            x = ops.downsample_conv2d(x, weight)
        else:
            x = ops.conv2d(x, weight, self.precision)
        if self.use_bias:
            x = x + self.param("bias", constant(0.0), (self.features,)).astype(self.dtype)
        if self.activate:
            return ops.leaky_relu(x, self.gain, self.clamp)
        return ops.clip(x * self.gain, self.clamp, self.gain)


def demodulation(
    weight: Float32[Array, "k k i o"], styles: Float32[Array, "b i"], gain: ops.Number
) -> Float32[Array, "b o"]:
    """Factors that bring the channels of a modulated convolution back to unit variance.

    Args:
        weight: raw kernel.
        styles: factor on every input channel.
        gain: factor on the kernel that the guard against division by zero sees.

    Returns:
        Factors on the output of a convolution with the *raw* kernel.
    """
    # A sum of slices: XLA's reduction over the leading axes is a hundred times slower on CPUs.
    energy = sum(jnp.square(taps) for row in weight for taps in row)
    # Exact: one factor scales a whole map, so that its error would be seen as a tint.
    power = jnp.matmul(jnp.square(styles), energy, precision=lax.Precision.HIGHEST)
    # The gain cancels but for the guard, and published weights go with one guard or the other.
    return lax.rsqrt(power * gain**2 + _DEMOD_EPSILON) * gain


def modulated_conv2d(
    x: Float[Array, "b h w c"],
    weight: Float32[Array, "k k i o"],
    styles: Float32[Array, "b i"],
    up: bool = False,
    demodulate: bool = True,
    convention: DemodConvention = "unscaled",
    packed: bool = False,
) -> Float[Array, "b h2 w2 c2"]:
    """Convolution whose kernel is scaled by a style, for every sample another.

    Scales the activations instead of the kernel, so that all samples share one convolution and
    the batch stays a batch axis (a grouped convolution would make it a channel axis, which a
    sharded batch turns into communication).  Factors are float32, the convolution has x's type.

    Args:
        x: features.
        weight: raw kernel.
        styles: factor on every input channel.
        up: double the resolution.
        demodulate: normalise the output channels.
        convention: what the demodulation's guard sees.
        packed: the result has the form of ``packed.py``, and unless ``up``, x has it as well.

    Returns:
        Features in x's type.
    """
    gain = 1.0 if convention == "unscaled" else 1.0 / math.sqrt(math.prod(weight.shape[:3]))
    if weight.shape[0] == 1 and not up:
        # Kernels of a pixel are small: scaling them spares a pass over the activations.
        kernels = styles[:, :, None] * weight[0, 0]
        if demodulate:
            kernels = kernels * demodulation(weight, styles, gain)[:, None, :]
        kernels = packing.pointwise_kernels(kernels) if packed else kernels
        # These are the colours: accelerators would round factors of float32 before the product.
        product, full = "bhwi,bio->bhwo", lax.Precision.HIGHEST
        return jnp.einsum(product, x, kernels.astype(x.dtype), precision=full)
    # Scaling inputs and outputs of a shared kernel is scaling the kernel of every sample.
    read = packing.of_channels(styles) if packed and not up else styles
    x = x * read[:, None, None, :].astype(x.dtype)
    if packed:
        kernel = packing.up_kernel(weight) if up else packing.same_kernel(weight)
        x = ops.conv2d(x, kernel.astype(x.dtype))
    else:
        x = (ops.upsample_conv2d if up else ops.conv2d)(x, weight.astype(x.dtype))
    if not demodulate:
        return x
    factors = demodulation(weight, styles, gain)
    factors = packing.of_channels(factors) if packed else factors
    return x * factors[:, None, None, :].astype(x.dtype)
