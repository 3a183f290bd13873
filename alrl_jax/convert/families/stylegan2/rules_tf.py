"""Where the variables of NVIDIA's TensorFlow networks go; see ``rules`` for how to read a row.

Kernels are HWIO and dense weights [in, out] as ours are.  Up-convolutions are turned by 180
degrees, and the 1 that is added to every style at run time is part of our bias.
"""

import numpy as np

from alrl_jax.convert.families.stylegan2.rules import Layout, Row, Rules, dense_on_maps

LAYOUTS: dict[str, Layout] = {
    "matrix": Layout(2, lambda x: x),
    "matrix_on_maps": Layout(2, lambda x: dense_on_maps(x.T)),
    "hwio": Layout(4, lambda x: x),
    "hwio_turned": Layout(4, lambda x: x[::-1, ::-1]),
    "plus_one": Layout(1, lambda x: x + np.ones((), x.dtype)),
}
"""What the rows here name beyond ``rules.LAYOUTS``."""


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
