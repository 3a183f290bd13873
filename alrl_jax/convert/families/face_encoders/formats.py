"""Face backbones of ArcFace, and the encoders of pSp and e4e."""

import functools

from alrl_jax.convert.families.face_encoders import architecture, centres, onnx_graph, rules
from alrl_jax.convert.families.stylegan2.centres import LATENT_AVERAGE
from alrl_jax.convert.format import CONVENTIONS, UNKNOWN_TERMS, Format
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import COUNTERS
from alrl_jax.convert.shapes import Config, shapes_by
from alrl_jax.models.build import build_face_embedder, build_style_encoder

_STORED = {
    **CONVENTIONS,
    "image": "NHWC in [-1, 1], RGB",
    "batch_norm": "stored statistics, epsilon 1e-5",
}
_EMBEDDER = _STORED | {"embedding": "scaled to unit length"}
_ENCODER = _STORED | {
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
    return kind in architecture.encoder_kinds(network)


def _encoder(kind: str, codes: str) -> Format:
    return Format(
        kind=kind,
        project=kind,
        signature=("input_layer.0.weight", "body.0.res_layer.1.weight"),
        applies=functools.partial(_is, kind),
        sections=("state_dict/encoder",),
        beside=(LATENT_AVERAGE, *centres.DECODER_MAPPING),
        prepare=centres.encoder_centre,
        read_config=functools.partial(architecture.style_encoder, kind=kind),
        rows=rules.style_encoder_rows,
        layouts=rules.LAYOUTS,
        shapes=shapes_by(build_style_encoder, _encoder_inputs),
        conventions=_ENCODER | {"codes": codes},
        licence=_ENCODER_TERMS,
        summary=_summary,
        optional=COUNTERS,
    )


_embedder = functools.partial(
    Format,
    layouts=rules.LAYOUTS,
    shapes=shapes_by(build_face_embedder, _embedder_inputs),
    conventions=_EMBEDDER,
    summary=_summary,
    optional=COUNTERS,
)

FORMATS: tuple[Format, ...] = (
    _encoder("psp", "absolute, before latent_avg"),
    _encoder("e4e", "the first one for all layers, the others are added to it"),
    _embedder(
        kind="arcface",
        project="InsightFace_Pytorch",
        # The encoders into W+ have the same body, so ``applies`` looks at what follows it.
        signature=("input_layer.0.weight", "body.0.res_layer.1.weight"),
        applies=architecture.is_arcface,
        read_config=architecture.arcface,
        rows=rules.arcface_rows,
    ),
    _embedder(
        kind="iresnet",
        project="insightface",
        signature=("conv1.weight", "layer1.0.prelu.weight", "features.weight"),
        read_config=architecture.iresnet,
        rows=rules.iresnet_rows,
        licence=_INSIGHTFACE_TERMS,
    ),
    _embedder(
        kind="iresnet",
        project="insightface, ONNX",
        # Any graph with such layers; the names of its tensors say no more than that.
        signature=("Conv.0.weight", "PRelu.0.slope", "BatchNormalization.0.scale"),
        applies=onnx_graph.is_graph,
        prepare=onnx_graph.name_tensors,
        read_config=architecture.iresnet,
        rows=rules.iresnet_rows,
        licence=_INSIGHTFACE_TERMS,
    ),
)
"""Networks that look at faces."""
