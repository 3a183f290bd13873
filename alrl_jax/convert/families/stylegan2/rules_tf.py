"""Where the variables of NVIDIA's TensorFlow networks go; ``convert.rules`` says how a row is read.

Kernels are HWIO and dense weights [in, out] as ours are.
"""

from collections.abc import Mapping

import numpy as np

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.families.stylegan2.rules import Rules
from alrl_jax.convert.rules import Layout, Row, dense_on_maps, same

LAYOUTS: Mapping[str, Layout] = {
    **rules.LAYOUTS,
    "matrix": Layout(2, same),
    # The rows of a matrix [in, out] run over [channel, row, column], as PyTorch's columns do.
    "matrix_on_maps": Layout(2, lambda x: dense_on_maps(x.T, 4)),
    "hwio": Layout(4, same),
    # Ours holds the kernel of an up-convolution as a transposed convolution reads it, TensorFlow's
    # code as a plain one does, which is the same turned by 180 degrees.
    "hwio_turned": Layout(4, lambda x: x[::-1, ::-1]),
    # TensorFlow's code adds 1 to every style when it runs; ours has that 1 in the bias.
    "plus_one": Layout(1, lambda x: x + np.ones((), x.dtype)),
}
"""What the rows here name."""


def _layer(name: str, path: str, kernel: str = "hwio") -> dict[str, Row]:
    return {
        f"synthesis/{name}/weight": (f"params/synthesis/{path}/weight", kernel),
        f"synthesis/{name}/bias": (f"params/synthesis/{path}/bias", "same"),
        f"synthesis/{name}/mod_weight": (f"params/synthesis/{path}/affine/weight", "matrix"),
        f"synthesis/{name}/mod_bias": (f"params/synthesis/{path}/affine/bias", "plus_one"),
    }


def _conv(name: str, path: str, noise: str, kernel: str = "hwio") -> dict[str, Row]:
    return _layer(name, path, kernel) | {
        f"synthesis/{name}/noise_strength": (f"params/synthesis/{path}/noise_strength", "scalar"),
        f"synthesis/noise{noise}": (f"constants/synthesis/{path}/noise_const", "batch_const"),
    }


def _dense(name: str, path: str, layout: str = "matrix") -> dict[str, Row]:
    return {
        f"{name}/weight": (f"params/{path}/weight", layout),
        f"{name}/bias": (f"params/{path}/bias", "same"),
    }


TF_GENERATOR = Rules(
    once={
        "dlatent_avg": ("constants/mapping/w_avg", "same"),
        "synthesis/4x4/Const/const": ("params/synthesis/b4/const", "batch_const"),
        **_conv("4x4/Conv", "b4/conv1", "0"),
        **_layer("4x4/ToRGB", "b4/torgb"),
    },
    mapping=_dense("mapping/Dense{i}", "mapping/fc{i}"),
    block={
        **_conv("{r}x{r}/Conv0_up", "b{r}/conv0", "{up1}", "hwio_turned"),
        **_conv("{r}x{r}/Conv1", "b{r}/conv1", "{up2}"),
        **_layer("{r}x{r}/ToRGB", "b{r}/torgb"),
    },
    conditional=_dense("mapping/LabelEmbed", "mapping/embed"),
)

TF_DISCRIMINATOR = Rules(
    once={
        **_dense("{top}x{top}/FromRGB", "b{top}/fromrgb", "hwio"),
        **_dense("4x4/Conv", "b4/conv", "hwio"),
        **_dense("4x4/Dense0", "b4/fc", "matrix_on_maps"),
        **_dense("Output", "b4/out"),
    },
    mapping=_dense("Mapping{i}", "mapping/fc{i}"),
    block={
        **_dense("{r}x{r}/Conv0", "b{r}/conv0", "hwio"),
        **_dense("{r}x{r}/Conv1_down", "b{r}/conv1", "hwio"),
        "{r}x{r}/Skip/weight": ("params/b{r}/skip/weight", "hwio"),
    },
    conditional=_dense("LabelEmbed", "mapping/embed"),
)
