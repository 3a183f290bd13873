"""Hopenet of deep-head-pose, which measures where a head points; our modules bear its names."""

from alrl_jax.convert.format import CONVENTIONS, Format
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import COUNTERS, Table
from alrl_jax.convert.same_names import same_names
from alrl_jax.convert.shapes import Config, check_dense, count_numbers, shape_of, shapes_by
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_hopenet
from alrl_jax.models.published import hopenet

MAX_BLOCKS = 64
"""Blocks of a stage; more is no ResNet but a damaged file."""

# The project trains with this layer and computes the angles without it.
_UNUSED: Table = {"fc_finetune.weight": (None, "dense"), "fc_finetune.bias": (None, "same")}

_shapes = shapes_by(build_hopenet, lambda _: [(1, hopenet.SIDE, hopenet.SIDE, 3)])


def _config(network: Network) -> Config:
    tensors = network.tensors
    depths = [count_numbers(tensors, rf"layer{i}\.(\d+)\.conv1\.weight") for i in (1, 2, 3, 4)]
    if not all(1 <= depth <= MAX_BLOCKS for depth in depths):
        raise UserError(
            f"got stages of {depths} blocks; expected 1 to {MAX_BLOCKS} in each of four, in "
            "ResNet-50 [3, 4, 6, 3]; is it damaged?"
        )
    width = shape_of(tensors, "fc_yaw.weight", 2)[1]
    check_dense(tensors, "fc_finetune", (len(hopenet.ANGLES), width + len(hopenet.ANGLES)))
    return {"depths": depths}


FORMATS: tuple[Format, ...] = (
    Format(
        kind="hopenet",
        project="deep-head-pose",
        signature=("fc_yaw.weight", "conv1.weight"),
        read_config=_config,
        rows=same_names(_shapes, _UNUSED),
        shapes=_shapes,
        # 66 bins of 3 degrees each, the first from -99 on.
        conventions={**CONVENTIONS, "normalisation": "ImageNet, inside", "degrees": "3 bin - 99"},
        optional=rf"{COUNTERS}|fc_finetune\..*",
    ),
)
