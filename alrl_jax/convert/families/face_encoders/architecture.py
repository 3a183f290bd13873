"""The architecture of face backbones and of encoders into W+, from shapes and options."""

import itertools
import math

from alrl_jax.convert.families.face_encoders.rules import MAX_SIDE
from alrl_jax.convert.families.stylegan2.centres import LATENT_AVERAGE
from alrl_jax.convert.faults import shown
from alrl_jax.convert.networks import OPTIONS, Network, Tensors
from alrl_jax.convert.shapes import Config, check_agrees, count_numbers, shape_of
from alrl_jax.errors import UserError
from alrl_jax.models.published.face_backbones import STRIDE

NUM_STAGES = 4
MAX_UNITS = 256
MAX_STYLES = 64
MAX_DEPTH = 8
"""Limits that keep a damaged file from asking for an absurd network."""

ENCODER_KINDS = {"GradualStyleEncoder": "psp", "Encoder4Editing": "e4e"}
"""What an encoder is by the option ``encoder_type``."""

SIZE_KINDS = {"output_size": "psp", "stylegan_size": "e4e"}
"""Whose code wrote a checkpoint, by its name for the side of the image that is generated."""


def is_arcface(network: Network) -> bool:
    """Whether a body ends in an embedding; the encoders into W+ have the same body."""
    names = (name for name in network.tensors if isinstance(name, str))
    return any(name.startswith("output_layer.") for name in names)


def encoder_kinds(network: Network) -> tuple[str, ...]:
    """What an encoder may be by what its file says: ``psp``, ``e4e`` or both."""
    if is_arcface(network):
        return ()
    options = network.settings.get(OPTIONS, {})
    said = options.get("encoder_type")
    if isinstance(said, str) and said in ENCODER_KINDS:
        return (ENCODER_KINDS[said],)
    both = tuple(SIZE_KINDS.values())
    kinds = tuple(kind for name, kind in SIZE_KINDS.items() if options.get(name) is not None)
    return kinds if said is None and len(kinds) == 1 else both


def arcface(network: Network) -> Config:
    """Architecture of a ``Backbone`` of TreB1eN's code."""
    body = _ir_body(network.tensors)
    return body | _head(network.tensors, "output_layer.3.weight", "output_layer.0.weight", False)


def iresnet(network: Network) -> Config:
    """Architecture of an ``IResNet`` of insightface's."""
    tensors = network.tensors
    layers = range(1, NUM_STAGES + 1)
    units = [count_numbers(tensors, rf"layer{i}\.(\d+)\..*") for i in layers]
    _check_units(sum(units))
    widths = [shape_of(tensors, f"layer{i}.0.conv1.weight", 4)[0] for i in layers]
    body = {"widths": widths, "units": units, "squeeze": None}
    return body | _head(tensors, "fc.weight", "bn2.weight", True)


def style_encoder(network: Network, kind: str) -> Config:
    """Architecture of an encoder of pSp's or e4e's code.

    Args:
        network: its tensors, and the options of the file.
        kind: ``psp`` or ``e4e``.

    Raises:
        UserError: if it is an encoder of another type.
    """
    tensors, options = network.tensors, network.settings.get(OPTIONS, {})
    said = options.get("encoder_type")
    if said is not None and not (isinstance(said, str) and said in ENCODER_KINDS):
        raise UserError(
            f"got encoder_type={shown(said)}; expected one of {', '.join(ENCODER_KINDS)}; such "
            "encoders, and ReStyle's, are unsupported; take pSp's or e4e's own"
        )
    if options.get("learn_in_w"):
        raise UserError("got learn_in_w=True; expected codes of W+; such encoders are unsupported")
    if not any(str(name).startswith("latlayer") for name in tensors):
        raise UserError(
            "got an encoder whose heads all read the last map, such as ReStyle's; expected pSp's "
            "or e4e's; take psp_ffhq_encode.pt or e4e_ffhq_encode.pt"
        )
    body = _ir_body(tensors)
    count = count_numbers(tensors, r"styles\.(\d+)\..*")
    if count > MAX_STYLES:
        raise UserError(f"got {count} heads; expected at most {MAX_STYLES}; is it damaged?")
    code_width = shape_of(tensors, "styles.0.linear.weight", 2)[0]
    depth = count_numbers(tensors, r"styles\.0\.convs\.(\d+)\.weight")
    if not 1 <= depth <= MAX_DEPTH:
        raise UserError(f"got a head of {depth} layers; expected 1 to {MAX_DEPTH}; is it damaged?")
    if count % 2 == 0:
        size = 2 ** (count // 2 + 1)
        check_agrees(options, {n: size for n in SIZE_KINDS if options.get(n) is not None})
    return {
        "resolution": STRIDE * 2**depth,
        "input_channels": shape_of(tensors, "input_layer.0.weight", 4)[1],
        **body,
        "num_styles": count,
        "code_width": code_width,
        "offsets": kind == "e4e",
        "centred": LATENT_AVERAGE in tensors,
    }


def _ir_body(tensors: Tensors) -> Config:
    """Widths and numbers of the units of a body; where the width changes, a stage begins."""
    count = count_numbers(tensors, r"body\.(\d+)\..*")
    _check_units(count)
    each = [shape_of(tensors, f"body.{i}.res_layer.1.weight", 4)[0] for i in range(count)]
    stages = [(width, len(list(run))) for width, run in itertools.groupby(each)]
    if len(stages) != NUM_STAGES:
        raise UserError(
            f"got {len(stages)} stages in a body of {count} units; expected {NUM_STAGES}, each of "
            "another width; is it damaged?"
        )
    squeeze = None
    if "body.0.res_layer.5.fc1.weight" in tensors:
        narrow = shape_of(tensors, "body.0.res_layer.5.fc1.weight", 4)[0]
        squeeze = max(1, each[0] // narrow)
    widths, units = zip(*stages, strict=True)
    return {"widths": list(widths), "units": list(units), "squeeze": squeeze}


def _check_units(count: int) -> None:
    if not NUM_STAGES <= count <= MAX_UNITS:
        raise UserError(
            f"got {count} residual units; expected {NUM_STAGES} to {MAX_UNITS}; is it damaged?"
        )


def _head(tensors: Tensors, dense: str, norm: str, is_iresnet: bool) -> Config:
    """Side of the image and width of the embedding, from the layer that flattens the last map."""
    width, columns = shape_of(tensors, dense, 2)
    channels = shape_of(tensors, norm, 1)[0]
    side = math.isqrt(columns // channels)
    if channels * side**2 != columns or not 1 <= side <= MAX_SIDE:
        raise UserError(
            f"got {dense} of {columns} columns; expected {channels} times the pixels of a square "
            f"map of side 1 to {MAX_SIDE}; is it damaged?"
        )
    return {"resolution": STRIDE * side, "iresnet": is_iresnet, "embedding_width": width}
