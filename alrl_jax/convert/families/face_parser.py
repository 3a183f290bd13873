"""The face parser of face-parsing.PyTorch (BiSeNet); our modules bear its names."""

from alrl_jax.convert.format import CONVENTIONS, Format
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import COUNTERS
from alrl_jax.convert.same_names import same_names
from alrl_jax.convert.shapes import Config, shape_of, shapes_by
from alrl_jax.models.build import build_face_parser

_shapes = shapes_by(build_face_parser, lambda _: [(1, 64, 64, 3)])


def _config(network: Network) -> Config:
    return {"num_classes": shape_of(network.tensors, "conv_out.conv_out.weight", 4)[0]}


FORMATS: tuple[Format, ...] = (
    Format(
        kind="face_parser",
        project="face-parsing.PyTorch",
        signature=("cp.arm16.conv_atten.weight", "ffm.convblk.conv.weight"),
        read_config=_config,
        rows=same_names(_shapes),
        shapes=_shapes,
        conventions={**CONVENTIONS, "normalisation": "ImageNet, inside"},
        optional=COUNTERS,
    ),
)
