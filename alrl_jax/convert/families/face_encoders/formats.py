"""Face backbones of ArcFace, and the encoders of pSp and e4e."""

import functools

from alrl_jax.convert.families.face_encoders import architecture as architecture_faces
from alrl_jax.convert.families.face_encoders import rules
from alrl_jax.convert.families.stylegan2.architecture import Config
from alrl_jax.convert.families.stylegan2.centres import LATENT_AVERAGE
from alrl_jax.convert.format import UNKNOWN_TERMS, Format, shapes_by
from alrl_jax.convert.networks import Network
from alrl_jax.models.build import build_face_embedder, build_style_encoder

_LAYOUT = {
    "image": "NHWC in [-1, 1], RGB",
    "kernel": "HWIO, dense [in, out]",
    "batch_norm": "stored statistics, epsilon 1e-5",
}
_EMBEDDER = _LAYOUT | {"embedding": "scaled to unit length"}
_ENCODER = _LAYOUT | {
    "upsampling": "bilinear, corners aligned",
    "latent_avg": "added where config.centred",
}

_ENCODER_TERMS = (
    f"{UNKNOWN_TERMS}. The code of pSp and e4e is under the MIT License; a decoder that was "
    "converted from NVIDIA's weights keeps NVIDIA's terms"
)
_INSIGHTFACE_TERMS = f"{UNKNOWN_TERMS}. What insightface published is for non-commercial research"


def _embedder_inputs(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["resolution"], config["resolution"], 3)]


def _encoder_inputs(config: Config) -> list[tuple[int, ...]]:
    return [(1, config["resolution"], config["resolution"], config["input_channels"])]


def _summary(config: Config) -> dict[str, str]:
    shown = {"input": f"{config['resolution']} px", "units": str(config["units"])}
    if "num_styles" in config:
        shown["codes"] = f"{config['num_styles']} of {config['code_width']}"
        shown["latent_avg"] = "added" if config["centred"] else "none"
    return shown


def _is(kind: str, network: Network) -> bool:
    return kind in architecture_faces.encoder_kinds(network)


def _encoder(kind: str, codes: str) -> Format:
    return Format(
        kind=kind,
        project=kind,
        signature=("input_layer.0.weight", "body.0.res_layer.1.weight"),
        prefixes=("", "encoder."),
        applies=functools.partial(_is, kind),
        sections=("state_dict/encoder",),
        beside=(LATENT_AVERAGE, *architecture_faces.DECODER_MAPPING),
        prepare=architecture_faces.encoder_centre,
        read_config=functools.partial(architecture_faces.style_encoder, kind=kind),
        rows=rules.style_encoder_rows,
        shapes=shapes_by(build_style_encoder, _encoder_inputs),
        conventions=_ENCODER | {"codes": codes},
        licence=_ENCODER_TERMS,
        summary=_summary,
        optional=rules.COUNTERS,
    )


FACES: tuple[Format, ...] = (
    _encoder("psp", "absolute, before latent_avg"),
    _encoder("e4e", "the first one for all layers, the others are added to it"),
    Format(
        kind="arcface",
        project="InsightFace_Pytorch",
        signature=("input_layer.0.weight", "body.0.res_layer.1.weight"),
        prefixes=("", "backbone."),
        applies=architecture_faces.is_arcface,
        sections=(),
        beside=(),
        read_config=architecture_faces.arcface,
        rows=rules.arcface_rows,
        shapes=shapes_by(build_face_embedder, _embedder_inputs),
        conventions=_EMBEDDER,
        licence=UNKNOWN_TERMS,
        summary=_summary,
        optional=rules.COUNTERS,
    ),
    Format(
        kind="iresnet",
        project="insightface",
        signature=("conv1.weight", "layer1.0.prelu.weight", "features.weight"),
        prefixes=("", "backbone."),
        sections=(),
        beside=(),
        read_config=architecture_faces.iresnet,
        rows=rules.iresnet_rows,
        shapes=shapes_by(build_face_embedder, _embedder_inputs),
        conventions=_EMBEDDER,
        licence=_INSIGHTFACE_TERMS,
        summary=_summary,
        optional=rules.COUNTERS,
    ),
)
"""Networks that look at faces."""
