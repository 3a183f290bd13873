"""StyleGAN2 as NVIDIA's and rosinality's code saves it."""

from collections.abc import Callable

from alrl_jax.convert.families.stylegan2 import architecture, centres, rules, rules_tf
from alrl_jax.convert.families.stylegan2.architecture import Config
from alrl_jax.convert.families.stylegan2.centres import LATENT_AVERAGE
from alrl_jax.convert.format import UNKNOWN_TERMS, Format, shapes_by
from alrl_jax.models.build import build_discriminator, build_generator


def _generator_inputs(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["z_dim"]), *_labels(config)]


def _discriminator_inputs(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["resolution"], config["resolution"], 3), *_labels(config)]


def _labels(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["label_dim"])] if config["label_dim"] else []


_GENERATOR_SHAPES = shapes_by(build_generator, _generator_inputs)
_DISCRIMINATOR_SHAPES = shapes_by(build_discriminator, _discriminator_inputs)


def _stylegan_rows(table: rules.Rules) -> Callable[[Config], dict[str, rules.Row]]:
    """The rows of ``table`` that a generator or discriminator of an architecture has."""

    def rows(config: Config) -> dict[str, rules.Row]:
        depth, conditional = config.get("num_mapping_layers", 0), config["label_dim"] > 0
        return rules.expand(table, config["resolution"], depth, conditional)

    return rows


def _stylegan_summary(config: Config) -> dict[str, str]:
    widths = config["channels"] or f"{config['channel_base']} / r, at most {config['channel_max']}"
    return {"resolution": str(config["resolution"]), "channels": str(widths)}


_LAYOUT = {
    "image": "NHWC in [-1, 1]",
    "kernel": "HWIO, dense [in, out]",
    "gain": "raw weights, gains applied at run time",
}
_RAW = _LAYOUT | {"demodulation": "epsilon on raw weights"}
_SCALED = _LAYOUT | {"demodulation": "epsilon on weights times 1/sqrt(fan in)"}

_NVIDIA_TERMS = (
    f"{UNKNOWN_TERMS}. What NVIDIA published is under the NVIDIA Source Code License "
    "(non-commercial)"
)
_DERIVED_TERMS = f"{UNKNOWN_TERMS}. If converted from NVIDIA's weights, NVIDIA's terms hold"

STYLEGAN2: tuple[Format, ...] = (
    Format(
        kind="generator",
        project="rosinality",
        signature=("input.input", "conv1.conv.modulation.weight", "style.1.weight"),
        prefixes=("", "decoder."),
        sections=("g_ema", "g"),
        beside=(LATENT_AVERAGE,),
        prepare=centres.generator_centre,
        read_config=architecture.rosinality_generator,
        rows=_stylegan_rows(rules.ROSINALITY_GENERATOR),
        shapes=_GENERATOR_SHAPES,
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
        shapes=_DISCRIMINATOR_SHAPES,
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
        shapes=_GENERATOR_SHAPES,
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
        shapes=_DISCRIMINATOR_SHAPES,
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
        shapes=_GENERATOR_SHAPES,
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
        shapes=_DISCRIMINATOR_SHAPES,
        conventions=_LAYOUT,
        licence=_NVIDIA_TERMS,
        summary=_stylegan_summary,
    ),
)
"""Generators and discriminators."""
