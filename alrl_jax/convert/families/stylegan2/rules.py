"""Where every tensor of NVIDIA's PyTorch networks and of rosinality's goes in our trees.

The rows of a network are filled in once for the network, once for every mapping layer, and once for
every resolution; see ``alrl_jax.convert.rules`` for how a row is read.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from alrl_jax.convert.rules import LAYOUTS as COMMON
from alrl_jax.convert.rules import Layout, Row, Table, conv, fill, on_maps, same, unconv
from alrl_jax.models.stylegan2 import generator
from alrl_jax.models.stylegan2.upfirdn import FIR_FILTER

_FIR = np.outer(FIR_FILTER, FIR_FILTER)
_FIR_MEANING = "the filter [1, 3, 3, 1]"

LAYOUTS: Mapping[str, Layout] = {
    **COMMON,
    # The discriminator's last map has 4 x 4 pixels.
    "dense_on_maps": on_maps(4),
    # NVIDIA's constant input [channel, row, column]; ours is a batch of one map.
    "const": Layout(3, lambda x: x.transpose(1, 2, 0)[None], lambda x: x[0].transpose(2, 0, 1)),
    # NVIDIA's noise [row, column]; ours is a batch of one map of one channel.
    "noise": Layout(2, lambda x: x[None, :, :, None], lambda x: x[0, :, :, 0]),
    # rosinality keeps a factor as a vector of one number.  What is longer goes on as it is: its
    # shape is refused later, by name.
    "vector1_scalar": Layout(
        1, lambda x: x.reshape(()) if x.size == 1 else x, lambda x: x.reshape(1)
    ),
    # Maps with a batch axis already, NCHW to NHWC.
    "batch_const": Layout(4, lambda x: x.transpose(0, 2, 3, 1), lambda x: x.transpose(0, 3, 1, 2)),
    # rosinality's modulated kernels have an axis of one for the batch; a longer one is refused
    # later, as above.
    "batch_conv": Layout(5, lambda x: conv(x[0]) if len(x) == 1 else x, lambda x: unconv(x)[None]),
    # rosinality's bias of the colours is a map of one pixel.
    "batch_bias": Layout(4, lambda x: x.reshape(-1), lambda x: x.reshape(1, -1, 1, 1)),
    "fir": Layout(2, same, constant=_FIR, meaning=_FIR_MEANING),
    # Filters that follow an upsampling by zeros are four times as strong, to keep the brightness.
    "fir_times_4": Layout(2, same, constant=_FIR * np.float32(4), meaning=_FIR_MEANING),
}
"""Ours: kernels HWIO, dense [in, out], maps NHWC."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rows of one network.

    Attributes:
        once: rows that every network has.
        mapping: rows of mapping layer {i}; {i1} is i + 1.
        block: rows of resolution {r}, from 8 up.
        conditional: rows of a network with classes.
    """

    once: Table
    mapping: Table
    block: Table
    conditional: Table = dataclasses.field(default_factory=dict)


_DENSE: Table = {
    "mapping.fc{i}.weight": ("params/mapping/fc{i}/weight", "dense"),
    "mapping.fc{i}.bias": ("params/mapping/fc{i}/bias", "same"),
}
_EMBED: Table = {
    "mapping.embed.weight": ("params/mapping/embed/weight", "dense"),
    "mapping.embed.bias": ("params/mapping/embed/bias", "same"),
}


def _nvidia_layer(name: str) -> dict[str, Row]:
    path = f"synthesis/{name.replace('.', '/')}"
    return {
        f"synthesis.{name}.weight": (f"params/{path}/weight", "conv"),
        f"synthesis.{name}.bias": (f"params/{path}/bias", "same"),
        f"synthesis.{name}.affine.weight": (f"params/{path}/affine/weight", "dense"),
        f"synthesis.{name}.affine.bias": (f"params/{path}/affine/bias", "same"),
    }


def _nvidia_conv(name: str) -> dict[str, Row]:
    path = f"synthesis/{name.replace('.', '/')}"
    return _nvidia_layer(name) | {
        f"synthesis.{name}.noise_strength": (f"params/{path}/noise_strength", "scalar"),
        f"synthesis.{name}.noise_const": (f"constants/{path}/noise_const", "noise"),
        f"synthesis.{name}.resample_filter": (None, "fir"),
    }


NVIDIA_GENERATOR = Rules(
    once={
        "mapping.w_avg": ("constants/mapping/w_avg", "same"),
        "synthesis.b4.const": ("params/synthesis/b4/const", "const"),
        "synthesis.b4.resample_filter": (None, "fir"),
        **_nvidia_conv("b4.conv1"),
        **_nvidia_layer("b4.torgb"),
    },
    mapping=_DENSE,
    block={
        "synthesis.b{r}.resample_filter": (None, "fir"),
        **_nvidia_conv("b{r}.conv0"),
        **_nvidia_conv("b{r}.conv1"),
        **_nvidia_layer("b{r}.torgb"),
    },
    conditional=_EMBED,
)

NVIDIA_DISCRIMINATOR = Rules(
    once={
        "b{top}.fromrgb.weight": ("params/b{top}/fromrgb/weight", "conv"),
        "b{top}.fromrgb.bias": ("params/b{top}/fromrgb/bias", "same"),
        "b{top}.fromrgb.resample_filter": (None, "fir"),
        "b4.conv.weight": ("params/b4/conv/weight", "conv"),
        "b4.conv.bias": ("params/b4/conv/bias", "same"),
        "b4.conv.resample_filter": (None, "fir"),
        "b4.fc.weight": ("params/b4/fc/weight", "dense_on_maps"),
        "b4.fc.bias": ("params/b4/fc/bias", "same"),
        "b4.out.weight": ("params/b4/out/weight", "dense"),
        "b4.out.bias": ("params/b4/out/bias", "same"),
    },
    mapping=_DENSE,
    block={
        "b{r}.resample_filter": (None, "fir"),
        "b{r}.conv0.weight": ("params/b{r}/conv0/weight", "conv"),
        "b{r}.conv0.bias": ("params/b{r}/conv0/bias", "same"),
        "b{r}.conv0.resample_filter": (None, "fir"),
        "b{r}.conv1.weight": ("params/b{r}/conv1/weight", "conv"),
        "b{r}.conv1.bias": ("params/b{r}/conv1/bias", "same"),
        "b{r}.conv1.resample_filter": (None, "fir"),
        "b{r}.skip.weight": ("params/b{r}/skip/weight", "conv"),
        "b{r}.skip.resample_filter": (None, "fir"),
    },
    conditional=_EMBED,
)


def _rosinality_layer(name: str, path: str) -> dict[str, Row]:
    return {
        f"{name}.conv.weight": (f"params/synthesis/{path}/weight", "batch_conv"),
        f"{name}.conv.modulation.weight": (f"params/synthesis/{path}/affine/weight", "dense"),
        f"{name}.conv.modulation.bias": (f"params/synthesis/{path}/affine/bias", "same"),
    }


def _rosinality_rgb(name: str, path: str) -> dict[str, Row]:
    return _rosinality_layer(name, path) | {
        f"{name}.bias": (f"params/synthesis/{path}/bias", "batch_bias")
    }


def _rosinality_conv(name: str, path: str, noise: str) -> dict[str, Row]:
    return _rosinality_layer(name, path) | {
        f"{name}.activate.bias": (f"params/synthesis/{path}/bias", "same"),
        f"{name}.noise.weight": (f"params/synthesis/{path}/noise_strength", "vector1_scalar"),
        f"noises.noise_{noise}": (f"constants/synthesis/{path}/noise_const", "batch_const"),
    }


ROSINALITY_GENERATOR = Rules(
    once={
        "latent_avg": ("constants/mapping/w_avg", "same"),
        "input.input": ("params/synthesis/b4/const", "batch_const"),
        **_rosinality_conv("conv1", "b4/conv1", "0"),
        **_rosinality_rgb("to_rgb1", "b4/torgb"),
    },
    mapping={
        "style.{i1}.weight": ("params/mapping/fc{i}/weight", "dense"),
        "style.{i1}.bias": ("params/mapping/fc{i}/bias", "same"),
    },
    block={
        **_rosinality_conv("convs.{up}", "b{r}/conv0", "{up1}"),
        "convs.{up}.conv.blur.kernel": (None, "fir_times_4"),
        **_rosinality_conv("convs.{up1}", "b{r}/conv1", "{up2}"),
        **_rosinality_rgb("to_rgbs.{rgb}", "b{r}/torgb"),
        "to_rgbs.{rgb}.upsample.kernel": (None, "fir_times_4"),
    },
)

ROSINALITY_DISCRIMINATOR = Rules(
    once={
        "convs.0.0.weight": ("params/b{top}/fromrgb/weight", "conv"),
        "convs.0.1.bias": ("params/b{top}/fromrgb/bias", "same"),
        "final_conv.0.weight": ("params/b4/conv/weight", "conv"),
        "final_conv.1.bias": ("params/b4/conv/bias", "same"),
        "final_linear.0.weight": ("params/b4/fc/weight", "dense_on_maps"),
        "final_linear.0.bias": ("params/b4/fc/bias", "same"),
        "final_linear.1.weight": ("params/b4/out/weight", "dense"),
        "final_linear.1.bias": ("params/b4/out/bias", "same"),
    },
    mapping={},
    block={
        "convs.{down}.conv1.0.weight": ("params/b{r}/conv0/weight", "conv"),
        "convs.{down}.conv1.1.bias": ("params/b{r}/conv0/bias", "same"),
        "convs.{down}.conv2.0.kernel": (None, "fir"),
        "convs.{down}.conv2.1.weight": ("params/b{r}/conv1/weight", "conv"),
        "convs.{down}.conv2.2.bias": ("params/b{r}/conv1/bias", "same"),
        "convs.{down}.skip.0.kernel": (None, "fir"),
        "convs.{down}.skip.1.weight": ("params/b{r}/skip/weight", "conv"),
    },
)


def expand(
    rules: Rules, resolution: int, num_mapping_layers: int = 0, conditional: bool = False
) -> dict[str, Row]:
    """The rows of a network of one architecture.

    Args:
        rules: rows with placeholders.
        resolution: side of the image in pixels.
        num_mapping_layers: depth of the mapping network.
        conditional: whether there are classes.

    Placeholders of a block: {up}, {up1}, {up2} number its up-convolution, its convolution and the
    noise after it; {rgb} its colours; {down} a discriminator's block, from the largest on.
    """
    rows = fill(rules.once, {"top": resolution})
    for i in range(num_mapping_layers):
        rows |= fill(rules.mapping, {"i": i, "i1": i + 1})
    blocks = generator.block_resolutions(resolution)
    for order, side in enumerate(blocks[1:]):
        up = 2 * order
        numbers = {"r": side, "up": up, "up1": up + 1, "up2": up + 2, "rgb": order}
        rows |= fill(rules.block, numbers | {"down": len(blocks) - 1 - order})
    return rows | (fill(rules.conditional, {}) if conditional else {})
