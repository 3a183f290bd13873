"""The networks that measure real faces: LPIPS, the face parser, Hopenet and FID's Inception.

Our modules bear the names of the published weights, so that the rows follow from our variables.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from alrl_jax.convert.families.stylegan2.architecture import Config, count_numbers, shape_of
from alrl_jax.convert.families.stylegan2.rules import Row
from alrl_jax.convert.format import UNKNOWN_TERMS, Format
from alrl_jax.convert.networks import Network
from alrl_jax.errors import UserError
from alrl_jax.models.build import (
    build_face_parser,
    build_hopenet,
    build_inception,
    build_lpips,
)
from alrl_jax.models.published import hopenet, inception, lpips

Shapes = Callable[[Config], Any]
Rows = Callable[[Config], dict[str, Row]]

MAX_BLOCKS = 64
"""Blocks of a stage; more is no ResNet but a damaged file."""

ALIKE: Mapping[tuple[str, str, int], tuple[str, str]] = {
    ("params", "kernel", 4): ("weight", "conv"),
    ("params", "kernel", 2): ("weight", "dense"),
    ("params", "scale", 1): ("weight", "same"),
    ("params", "bias", 1): ("bias", "same"),
    ("batch_stats", "mean", 1): ("running_mean", "same"),
    ("batch_stats", "var", 1): ("running_var", "same"),
}
"""Collection, name and axes of a variable of ours: PyTorch's name for it, and its layout."""

_COUNTER = "num_batches_tracked"
_OPTIONAL = rf".*\.{_COUNTER}"
"""Counters of old batches, which older PyTorch does not write and nobody reads."""


def _rows_alike(shapes: Any) -> dict[str, Row]:
    """The rows of a network whose modules bear the names of the source."""
    rows: dict[str, Row] = {}
    variables: dict[str, Any] = traverse_util.flatten_dict(shapes, sep="/")
    for path, leaf in variables.items():
        collection, *modules, name = path.split("/")
        source, layout = ALIKE[collection, name, len(leaf.shape)]
        module = ".".join(modules)
        rows[f"{module}.{source}"] = (path, layout)
        if collection == "batch_stats":
            rows[f"{module}.{_COUNTER}"] = (None, "scalar")
    return rows


def _shapes(build: Callable[[Config], nn.Module], *inputs: tuple[int, ...]) -> Shapes:
    @functools.lru_cache(maxsize=4)
    def compute(text: str) -> Any:
        arguments = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs)
        return jax.eval_shape(build(json.loads(text)).init, jax.random.key(0), *arguments)

    return lambda config: compute(json.dumps(config))


def _rows(shapes: Shapes, beside: Mapping[str, Row] | None = None) -> Rows:
    """Rows of all our variables, and of tensors that the network has and does not need."""
    return lambda config: _rows_alike(shapes(config)) | dict(beside or {})


def _summary(config: Config) -> dict[str, str]:
    return {name.replace("num_", ""): str(value) for name, value in config.items()}


_LPIPS_SHAPES = _shapes(build_lpips, (1, 64, 64, 3), (1, 64, 64, 3))
_PARSER_SHAPES = _shapes(build_face_parser, (1, 64, 64, 3))
_HOPENET_SHAPES = _shapes(build_hopenet, (1, hopenet.SIDE, hopenet.SIDE, 3))
_INCEPTION_SHAPES = _shapes(build_inception, (1, inception.SIDE, inception.SIDE, 3))


def _lpips_config(first: str) -> Callable[[Network], Config]:
    """The reader of the backbone, from the shape of its first kernel."""

    def read(network: Network) -> Config:
        shape = shape_of(network.tensors, first, 4)
        for name, backbone in lpips.BACKBONES.items():
            layer = backbone.layers[0]
            if shape == (layer.features, 3, layer.side, layer.side):
                return {"backbone": name}
        raise UserError(
            f"got {first} of shape {list(shape)}; expected the first kernel of AlexNet, "
            "[64, 3, 11, 11], or of VGG-16, [64, 3, 3, 3]; name torchvision's weights of one"
        )

    return read


def _package_rows(config: Config) -> dict[str, Row]:
    """The names of the ``lpips`` package, which cuts the backbone at the taps."""
    rows = _rows_alike(_LPIPS_SHAPES(config))
    cut = 1
    for layer in lpips.BACKBONES[config["backbone"]].layers:
        for leaf in ("weight", "bias"):
            row = rows.pop(f"features.{layer.number}.{leaf}")
            rows[f"net.slice{cut}.{layer.number}.{leaf}"] = row
        cut += layer.tap
    return rows


def _drop_known(network: Network) -> dict[str, str]:
    """Takes out what the ``lpips`` package holds twice, and what is the same in every LPIPS."""
    known: dict[str, np.ndarray | None] = {
        "scaling_layer.shift": lpips.SHIFT,
        "scaling_layer.scale": lpips.SCALE,
    }
    for name in network.tensors:
        match = re.fullmatch(r"lins\.(\d+\..*)", name)
        if match:
            known[name] = network.tensors.get(f"lin{match.group(1)}")
    found = [name for name in known if name in network.tensors]
    for name in found:
        value, expected = network.tensors.pop(name), known[name]
        if expected is None or not np.array_equal(value.reshape(-1), expected.reshape(-1)):
            raise UserError(f"got other numbers in {name} than LPIPS has; it is unsupported")
    return {"checked": ", ".join(found)} if found else {}


def _parser_config(network: Network) -> Config:
    return {"num_classes": shape_of(network.tensors, "conv_out.conv_out.weight", 4)[0]}


def _hopenet_config(network: Network) -> Config:
    tensors = network.tensors
    depths = [count_numbers(tensors, rf"layer{i}\.(\d+)\.conv1\.weight") for i in (1, 2, 3, 4)]
    if not all(1 <= depth <= MAX_BLOCKS for depth in depths):
        raise UserError(
            f"got stages of {depths} blocks; expected 1 to {MAX_BLOCKS} in each of four, in "
            "ResNet-50 [3, 4, 6, 3]; is it damaged?"
        )
    width = shape_of(tensors, "fc_yaw.weight", 2)[1]
    _check_unused(network, "fc_finetune", (len(hopenet.ANGLES), width + len(hopenet.ANGLES)))
    return {"depths": depths}


def _inception_config(network: Network) -> Config:
    _check_unused(network, "fc", (inception.NUM_CLASSES, inception.FEATURES))
    return {}


def _check_unused(network: Network, name: str, shape: tuple[int, int]) -> None:
    """A dense layer that is not used says whether this is the network that it should be."""
    for leaf, expected in (("weight", shape), ("bias", shape[:1])):
        tensor = network.tensors.get(f"{name}.{leaf}")
        if tensor is not None and tensor.shape != expected:
            raise UserError(
                f"got {name}.{leaf} of shape {list(tensor.shape)}; expected {list(expected)}; "
                "is it another network?"
            )


_LAYOUT = {"image": "NHWC in [-1, 1]", "kernel": "HWIO, dense [in, out]"}

JUDGES: tuple[Format, ...] = (
    Format(
        kind="lpips",
        project="torchvision + LPIPS",
        signature=("features.0.weight", "lin0.model.1.weight"),
        sections=(),
        beside=(),
        read_config=_lpips_config("features.0.weight"),
        rows=_rows(_LPIPS_SHAPES),
        shapes=_LPIPS_SHAPES,
        conventions=_LAYOUT,
        licence=f"{UNKNOWN_TERMS}. What the LPIPS project published is under BSD-2-Clause",
        summary=_summary,
        apart=r"classifier\..*",
        num_files=2,
    ),
    Format(
        kind="lpips",
        project="lpips package",
        signature=("net.slice1.0.weight", "lin0.model.1.weight"),
        sections=(),
        beside=(),
        read_config=_lpips_config("net.slice1.0.weight"),
        rows=_package_rows,
        shapes=_LPIPS_SHAPES,
        conventions=_LAYOUT,
        licence=f"{UNKNOWN_TERMS}. What the LPIPS project published is under BSD-2-Clause",
        summary=_summary,
        prepare=_drop_known,
    ),
    Format(
        kind="face_parser",
        project="face-parsing.PyTorch",
        signature=("cp.arm16.conv_atten.weight", "ffm.convblk.conv.weight"),
        sections=(),
        beside=(),
        read_config=_parser_config,
        rows=_rows(_PARSER_SHAPES),
        shapes=_PARSER_SHAPES,
        conventions=_LAYOUT | {"normalisation": "ImageNet, inside"},
        licence=UNKNOWN_TERMS,
        summary=_summary,
        optional=_OPTIONAL,
    ),
    Format(
        kind="hopenet",
        project="deep-head-pose",
        signature=("fc_yaw.weight", "conv1.weight"),
        sections=(),
        beside=(),
        read_config=_hopenet_config,
        rows=_rows(
            _HOPENET_SHAPES,
            {"fc_finetune.weight": (None, "dense"), "fc_finetune.bias": (None, "same")},
        ),
        shapes=_HOPENET_SHAPES,
        conventions=_LAYOUT | {"normalisation": "ImageNet, inside", "degrees": "3 bin - 99"},
        licence=UNKNOWN_TERMS,
        summary=_summary,
        optional=rf"{_OPTIONAL}|fc_finetune\..*",
    ),
    Format(
        kind="inception",
        project="pytorch-fid",
        signature=("Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"),
        sections=(),
        beside=(),
        read_config=_inception_config,
        rows=_rows(_INCEPTION_SHAPES, {"fc.weight": (None, "dense"), "fc.bias": (None, "same")}),
        shapes=_INCEPTION_SHAPES,
        conventions=_LAYOUT | {"resize": "bilinear to 299, inside"},
        licence=UNKNOWN_TERMS,
        summary=_summary,
        optional=rf"{_OPTIONAL}|fc\..*",
    ),
)
"""Rows of the networks that measure."""
