"""The Inception of pytorch-fid, whose features FID compares; our modules bear its names."""

from alrl_jax.convert.format import CONVENTIONS, Format
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import COUNTERS, Table
from alrl_jax.convert.same_names import same_names
from alrl_jax.convert.shapes import Config, check_dense, shapes_by
from alrl_jax.models.build import build_inception
from alrl_jax.models.published import inception

# The features are taken before the layer that classifies.
_UNUSED: Table = {"fc.weight": (None, "dense"), "fc.bias": (None, "same")}

_shapes = shapes_by(build_inception, lambda _: [(1, inception.SIDE, inception.SIDE, 3)])


def _config(network: Network) -> Config:
    # FID's network has 1008 classes; torchvision's, of the same names, has 1000 and other numbers.
    check_dense(network.tensors, "fc", (inception.NUM_CLASSES, inception.FEATURES))
    return {}


FORMATS: tuple[Format, ...] = (
    Format(
        kind="inception",
        project="pytorch-fid",
        signature=("Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"),
        read_config=_config,
        rows=same_names(_shapes, _UNUSED),
        shapes=_shapes,
        conventions={**CONVENTIONS, "resize": "bilinear to 299, inside"},
        optional=rf"{COUNTERS}|fc\..*",
    ),
)
