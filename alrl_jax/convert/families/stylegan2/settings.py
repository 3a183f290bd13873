"""What a file must say of its modules beside shapes, so that ours compute the same.

Rows of a table: module, "#" for any number, then attribute and the value that it must have.  A
value is a constant, or a function of the module's weight.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.faults import shown
from alrl_jax.convert.networks import INIT_KWARGS, STATE_VERSION, Network
from alrl_jax.convert.shapes import equal
from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2.generator import MAPPING_LR_MULTIPLIER
from alrl_jax.models.stylegan2.ops import Number

Expected = Any | Callable[[np.ndarray], float]
Table = Mapping[str, Mapping[str, Expected]]

_ROOT_2 = math.sqrt(2)
_ABSENT = "nothing"


def _gain(multiplier: Number) -> Callable[[np.ndarray], float]:
    """The gain of equalised learning rate of a weight [out, in, ...]."""
    return lambda weight: multiplier / math.sqrt(max(1, math.prod(weight.shape[1:])))


_LINEAR = {"activation": "linear", "weight_gain": _gain(1), "bias_gain": 1}
_DENSE = {"activation": "lrelu", "weight_gain": _gain(1), "bias_gain": 1}
_CONV = {"activation": "lrelu", "weight_gain": _gain(1), "act_gain": _ROOT_2, "up": 1}
_SYNTHESIS = {"activation": "lrelu", "act_gain": _ROOT_2, "use_noise": True}
_MAPPING: Table = {
    "mapping.embed": _LINEAR,
    "mapping.fc#": {
        "activation": "lrelu",
        "weight_gain": _gain(MAPPING_LR_MULTIPLIER),
        "bias_gain": MAPPING_LR_MULTIPLIER,
    },
}

NVIDIA_GENERATOR: Table = {
    **_MAPPING,
    "": {"img_channels": 3},
    "synthesis.b#": {"architecture": "skip"},
    "synthesis.b#.conv0": {**_SYNTHESIS, "up": 2},
    "synthesis.b#.conv1": {**_SYNTHESIS, "up": 1},
    "synthesis.b#.torgb": {"weight_gain": _gain(1)},
    "synthesis.b#.conv#.affine": _LINEAR,
    "synthesis.b#.torgb.affine": _LINEAR,
}

NVIDIA_DISCRIMINATOR: Table = {
    **_MAPPING,
    "": {"img_channels": 3},
    "b#": {"architecture": "resnet"},
    "b#.fromrgb": {**_CONV, "down": 1},
    "b#.conv0": {**_CONV, "down": 1},
    "b#.conv1": {**_CONV, "down": 2},
    "b#.skip": {"activation": "linear", "weight_gain": _gain(1), "up": 1, "down": 2},
    "b4.conv": {**_CONV, "down": 1},
    "b4.fc": _DENSE,
    "b4.out": _LINEAR,
}

CLAMPED = ("synthesis.b#.conv#", "synthesis.b#.torgb", "b#.fromrgb", "b#.conv#", "b4.conv")
"""Layers whose output is clamped, all of them alike."""

TF_COMMON: Mapping[str, Any] = {
    "num_channels": 3,
    "mapping_nonlinearity": "lrelu",
    "mapping_lrmul": 0.01,
    "nonlinearity": "lrelu",
    "resample_kernel": [1, 3, 3, 1],
    "use_noise": True,
    "normalize_latents": True,
}
TF_GENERATOR: Mapping[str, Any] = {**TF_COMMON, "architecture": "skip"}
TF_DISCRIMINATOR: Mapping[str, Any] = {**TF_COMMON, "architecture": "resnet"}
"""Arguments that must have the value they have by default."""

TF_READ = (
    *("resolution", "latent_size", "dlatent_size", "label_size", "mapping_layers"),
    *("conv_clamp", "mbstd_group_size", "mbstd_num_features", STATE_VERSION),
)
"""Arguments that become part of the architecture."""

TF_UNUSED = (
    *("fmap_base", "fmap_decay", "fmap_min", "fmap_max", "label_fmaps", "mapping_fmaps"),
    *("num_fp16_res", "fused_modconv", "randomize_noise", "dtype", "freeze_layers"),
    *("w_avg_beta", "dlatent_avg_beta", "style_mixing_prob", "truncation_psi", "truncation_cutoff"),
    *("truncation_psi_val", "truncation_cutoff_val", "is_training", "is_validation"),
    *("return_dlatents", "is_template_graph", "mapping_func", "synthesis_func"),
)
"""Arguments that shapes tell as well, or that change nothing in a trained network."""


def is_module(pattern: str, path: str) -> bool:
    """Whether a module is of a row."""
    return re.fullmatch(re.escape(pattern).replace(r"\#", r"\d+"), path) is not None


def check_modules(network: Network, table: Table) -> None:
    """Compares the attributes of pickled modules with a table.

    Raises:
        UserError: if a module has another value, or none.
    """
    if INIT_KWARGS in network.settings:
        return
    for path, values in network.settings.items():
        rows = (row for pattern, row in table.items() if is_module(pattern, path))
        for name, expected in (item for row in rows for item in row.items()):
            if callable(expected):
                expected = expected(network.tensors.get(f"{path}.weight", np.zeros(())))
            _compare(name, values.get(name, _ABSENT), expected, path)


def check_arguments(network: Network, fixed: Mapping[str, Any]) -> None:
    """Compares the arguments of a TensorFlow network with a table.

    Raises:
        UserError: if one has another value, or is not known.
    """
    for name, value in network.settings.get("", {}).items():
        if name in fixed:
            _compare(name, value, fixed[name], "the network")
        elif name not in TF_READ and name not in TF_UNUSED:
            raise UserError(
                f"got the argument {shown(name)}={shown(value)}; expected one that is known; "
                "such networks are unsupported"
            )


def _compare(name: str, value: Any, expected: Any, where: str) -> None:
    numbers = isinstance(value, int | float) and isinstance(expected, int | float)
    same = math.isclose(value, expected, rel_tol=1e-5) if numbers else equal(value, expected)
    if not same:
        raise UserError(
            f"got {name}={shown(value)} in {shown(where) or 'the network'}; expected "
            f"{expected}; such networks are unsupported"
        )


def conv_clamp(network: Network) -> Number | None:
    """The limit of the layers' outputs, None without.

    Raises:
        UserError: if the file does not say, or says different things of different layers.
    """
    if INIT_KWARGS in network.settings:
        found = [network.settings[INIT_KWARGS].get("conv_clamp", _ABSENT)]
    else:
        layers = (path for path in network.settings if any(is_module(p, path) for p in CLAMPED))
        found = [network.settings[path].get("conv_clamp", _ABSENT) for path in layers]
    if not found or not all(equal(value, found[0]) for value in found):
        values = ", ".join(sorted({shown(value) for value in found})) or _ABSENT
        raise UserError(
            f"got conv_clamp={values}; expected one value for all layers; a bare state dict needs "
            f"the arguments of its network beside it, as {INIT_KWARGS!r}"
        )
    return limit(found[0])


def note_float16(network: Network) -> dict[str, str]:
    """A note of the modules that ran in half precision; ours run in what the caller chooses."""
    values = network.settings.items()
    halves = [path for path, value in values if value.get("use_fp16") is True]
    return {"float16_modules": ", ".join(map(shown, halves))} if halves else {}


def limit(value: Any) -> Number | None:
    """A clamp, checked.

    Raises:
        UserError: if it is no positive number or None.
    """
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise UserError(f"got conv_clamp={shown(value)}; expected a positive number or None")
    return value
