"""Foreign networks that can be converted: how each is known, and where its tensors go.

One row of ``FORMATS`` a network and project; a new format is a new row, with its rules.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from alrl_jax.convert import architecture, rules, rules_tf
from alrl_jax.convert.architecture import Config
from alrl_jax.convert.networks import Network
from alrl_jax.models.build import build_discriminator, build_generator
from alrl_jax.models.stylegan2 import Generator


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of network as one project saves it.

    Attributes:
        kind: what the network is for.
        project: whose layout it is.
        signature: tensors that only such a network has.
        sections: names under which checkpoints keep it, the preferred one first.
        beside: tensors that stand beside the network in the checkpoint and belong to it.
        read_config: the architecture, from shapes and settings.
        rows: where the tensors go, from the architecture.
        shapes: the shapes of our variables, from the architecture.
        conventions: what a reader of the weights has to know.
        licence: what is known of the terms of such files.
        summary: what a person wants to know of the architecture, in short.
        optional: pattern of the names of tensors that some files lack and nobody misses.
    """

    kind: str
    project: str
    signature: tuple[str, ...]
    sections: tuple[str, ...]
    beside: tuple[str, ...]
    read_config: Callable[[Network], Config]
    rows: Callable[[Config], dict[str, rules.Row]]
    shapes: Callable[[Config], Any]
    conventions: Mapping[str, str]
    licence: str
    summary: Callable[[Config], dict[str, str]]
    optional: str | None = None


@functools.lru_cache(maxsize=16)
def _shapes(build: Callable[[Config], nn.Module], text: str) -> Any:
    config = json.loads(text)
    module = build(config)
    side = config["resolution"]
    first = (1, module.z_dim) if isinstance(module, Generator) else (1, side, side, 3)
    shapes = [first, (1, config["label_dim"])] if config["label_dim"] else [first]
    inputs = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)


def _stylegan_rows(table: rules.Rules) -> Callable[[Config], dict[str, rules.Row]]:
    """The rows of ``table`` that a generator or discriminator of an architecture has."""

    def rows(config: Config) -> dict[str, rules.Row]:
        depth, conditional = config.get("num_mapping_layers", 0), config["label_dim"] > 0
        return rules.expand(table, config["resolution"], depth, conditional)

    return rows


def _stylegan_summary(config: Config) -> dict[str, str]:
    widths = config["channels"] or f"{config['channel_base']} / r, at most {config['channel_max']}"
    return {"resolution": str(config["resolution"]), "channels": str(widths)}


def _generator_shapes(config: Config) -> Any:
    return _shapes(build_generator, json.dumps(config))


def _discriminator_shapes(config: Config) -> Any:
    return _shapes(build_discriminator, json.dumps(config))


_LAYOUT = {
    "image": "NHWC in [-1, 1]",
    "kernel": "HWIO, dense [in, out]",
    "gain": "raw weights, gains applied at run time",
}
_RAW = _LAYOUT | {"demodulation": "epsilon on raw weights"}
_SCALED = _LAYOUT | {"demodulation": "epsilon on weights times 1/sqrt(fan in)"}

_UNKNOWN = "unknown; check with the author of the weights"
_NVIDIA_TERMS = (
    f"{_UNKNOWN}. What NVIDIA published is under the NVIDIA Source Code License (non-commercial)"
)
_DERIVED_TERMS = f"{_UNKNOWN}. If converted from NVIDIA's weights, NVIDIA's terms hold"

FORMATS: tuple[Format, ...] = (
    Format(
        kind="generator",
        project="rosinality",
        signature=("input.input", "conv1.conv.modulation.weight", "style.1.weight"),
        sections=("g_ema", "g"),
        beside=("latent_avg",),
        read_config=architecture.rosinality_generator,
        rows=_stylegan_rows(rules.ROSINALITY_GENERATOR),
        shapes=_generator_shapes,
        conventions=_SCALED,
        licence=_DERIVED_TERMS,
        summary=_stylegan_summary,
    ),
    Format(
        kind="discriminator",
        project="rosinality",
        signature=("convs.0.0.weight", "final_conv.0.weight", "final_linear.1.weight"),
        sections=("d",),
        beside=(),
        read_config=architecture.rosinality_discriminator,
        rows=_stylegan_rows(rules.ROSINALITY_DISCRIMINATOR),
        shapes=_discriminator_shapes,
        conventions=_LAYOUT,
        licence=_DERIVED_TERMS,
        summary=_stylegan_summary,
    ),
    Format(
        kind="generator",
        project="nvidia",
        signature=("synthesis.b4.const", "mapping.fc0.weight"),
        sections=("G_ema", "G"),
        beside=(),
        read_config=architecture.nvidia_generator,
        rows=_stylegan_rows(rules.NVIDIA_GENERATOR),
        shapes=_generator_shapes,
        conventions=_RAW,
        licence=_NVIDIA_TERMS,
        summary=_stylegan_summary,
    ),
    Format(
        kind="discriminator",
        project="nvidia",
        signature=("b4.conv.weight", "b4.fc.weight", "b4.out.weight"),
        sections=("D",),
        beside=(),
        read_config=architecture.nvidia_discriminator,
        rows=_stylegan_rows(rules.NVIDIA_DISCRIMINATOR),
        shapes=_discriminator_shapes,
        conventions=_LAYOUT,
        licence=_NVIDIA_TERMS,
        summary=_stylegan_summary,
    ),
    Format(
        kind="generator",
        project="nvidia-tensorflow",
        signature=("synthesis/4x4/Const/const", "mapping/Dense0/weight"),
        sections=("Gs", "G"),
        beside=(),
        read_config=architecture.tf_generator,
        rows=_stylegan_rows(rules_tf.TF_GENERATOR),
        shapes=_generator_shapes,
        conventions=_SCALED,
        licence=_NVIDIA_TERMS,
        summary=_stylegan_summary,
    ),
    Format(
        kind="discriminator",
        project="nvidia-tensorflow",
        signature=("4x4/Conv/weight", "4x4/Dense0/weight", "Output/weight"),
        sections=("D",),
        beside=(),
        read_config=architecture.tf_discriminator,
        rows=_stylegan_rows(rules_tf.TF_DISCRIMINATOR),
        shapes=_discriminator_shapes,
        conventions=_LAYOUT,
        licence=_NVIDIA_TERMS,
        summary=_stylegan_summary,
    ),
)
"""Every network that is understood."""

LICENCES: Mapping[str, str] = dict.fromkeys(
    ("ffhq.pkl", "stylegan2-ffhq-config-f.pkl"),
    "as the file is named: NVIDIA Source Code License, non-commercial",
)
"""Terms of files that are known by name."""

KINDS = tuple(dict.fromkeys(row.kind for row in FORMATS))
