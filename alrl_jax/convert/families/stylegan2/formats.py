"""StyleGAN2 as NVIDIA's and rosinality's code saves it."""

import functools
from collections.abc import Callable, Mapping

from alrl_jax.convert.families.stylegan2 import architecture, centres, rules, rules_tf, settings
from alrl_jax.convert.families.stylegan2.centres import LATENT_AVERAGE
from alrl_jax.convert.format import CONVENTIONS, UNKNOWN_TERMS, Format
from alrl_jax.convert.rules import Row
from alrl_jax.convert.shapes import Config, shapes_by
from alrl_jax.models.build import build_discriminator, build_generator


def _generator_inputs(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["z_dim"]), *_labels(config)]


def _discriminator_inputs(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["resolution"], config["resolution"], 3), *_labels(config)]


def _labels(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["label_dim"])] if config["label_dim"] else []


def _rows(table: rules.Rules) -> Callable[[Config], dict[str, Row]]:
    """The rows of ``table`` that a generator or discriminator of an architecture has."""

    def rows(config: Config) -> dict[str, Row]:
        depth, conditional = config.get("num_mapping_layers", 0), config["label_dim"] > 0
        return rules.expand(table, config["resolution"], depth, conditional)

    return rows


def _summary(config: Config) -> dict[str, str]:
    widths = config["channels"] or f"{config['channel_base']} / r, at most {config['channel_max']}"
    return {"resolution": str(config["resolution"]), "channels": str(widths)}


_FILTERS = r"(.*\.)?(kernel|resample_filter)"
"""Constants that are only checked: some files lack them."""

_RAW_GAIN = {**CONVENTIONS, "gain": "raw weights, gains applied at run time"}
_ON_RAW = _RAW_GAIN | {"demodulation": "epsilon on raw weights"}
_ON_SCALED = _RAW_GAIN | {"demodulation": "epsilon on weights times 1/sqrt(fan in)"}

_NVIDIA_TERMS = (
    f"{UNKNOWN_TERMS}. What NVIDIA published is under the NVIDIA Source Code License "
    "(non-commercial)"
)
_DERIVED_TERMS = f"{UNKNOWN_TERMS}. If converted from NVIDIA's weights, NVIDIA's terms hold"

_NAMED_TERMS: Mapping[str, str] = dict.fromkeys(
    ("ffhq.pkl", "stylegan2-ffhq-config-f.pkl"),
    "as the file is named: NVIDIA Source Code License, non-commercial",
)

_generator = functools.partial(
    Format,
    kind="generator",
    shapes=shapes_by(build_generator, _generator_inputs),
    summary=_summary,
    named_licences=_NAMED_TERMS,
    optional=_FILTERS,
)
_discriminator = functools.partial(
    Format,
    kind="discriminator",
    shapes=shapes_by(build_discriminator, _discriminator_inputs),
    summary=_summary,
    named_licences=_NAMED_TERMS,
    conventions=_RAW_GAIN,
    optional=_FILTERS,
)

FORMATS: tuple[Format, ...] = (
    _generator(
        project="rosinality",
        signature=("input.input", "conv1.conv.modulation.weight", "style.1.weight"),
        sections=("g_ema", "G_ema", "generator_ema", "ema", "g", "generator", "decoder"),
        beside=(LATENT_AVERAGE,),
        prepare=centres.complete_generator,
        read_config=architecture.rosinality_generator,
        rows=_rows(rules.ROSINALITY_GENERATOR),
        layouts=rules.LAYOUTS,
        conventions=_ON_SCALED,
        licence=_DERIVED_TERMS,
    ),
    _discriminator(
        project="rosinality",
        signature=("convs.0.0.weight", "final_conv.0.weight", "final_linear.1.weight"),
        sections=("d",),
        read_config=architecture.rosinality_discriminator,
        rows=_rows(rules.ROSINALITY_DISCRIMINATOR),
        layouts=rules.LAYOUTS,
        licence=_DERIVED_TERMS,
    ),
    _generator(
        project="nvidia",
        signature=("synthesis.b4.const", "mapping.fc0.weight"),
        sections=("G_ema", "G"),
        prepare=settings.note_float16,
        read_config=architecture.nvidia_generator,
        rows=_rows(rules.NVIDIA_GENERATOR),
        layouts=rules.LAYOUTS,
        conventions=_ON_RAW,
        licence=_NVIDIA_TERMS,
    ),
    _discriminator(
        project="nvidia",
        signature=("b4.conv.weight", "b4.fc.weight", "b4.out.weight"),
        sections=("D",),
        prepare=settings.note_float16,
        read_config=architecture.nvidia_discriminator,
        rows=_rows(rules.NVIDIA_DISCRIMINATOR),
        layouts=rules.LAYOUTS,
        licence=_NVIDIA_TERMS,
    ),
    _generator(
        project="nvidia-tensorflow",
        signature=("synthesis/4x4/Const/const", "mapping/Dense0/weight"),
        sections=("Gs", "G"),
        read_config=architecture.tf_generator,
        rows=_rows(rules_tf.TF_GENERATOR),
        layouts=rules_tf.LAYOUTS,
        conventions=_ON_SCALED,
        licence=_NVIDIA_TERMS,
    ),
    _discriminator(
        project="nvidia-tensorflow",
        signature=("4x4/Conv/weight", "4x4/Dense0/weight", "Output/weight"),
        sections=("D",),
        read_config=architecture.tf_discriminator,
        rows=_rows(rules_tf.TF_DISCRIMINATOR),
        layouts=rules_tf.LAYOUTS,
        licence=_NVIDIA_TERMS,
    ),
)
"""Generators and discriminators; a file's own generator is the averaged one where it has both."""
