"""Where the tensors of face backbones and of encoders into W+ go.

Placeholders: {unit} counts all residual units, {layer} and {i} number a stage from 1 and a unit in
it; {place} is our name of that unit; {style} and {conv} number a head and its convolutions, {at}
the place of a convolution in the head of others; {side} is the side of the last map.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alrl_jax.convert.rules import LAYOUTS as COMMON
from alrl_jax.convert.rules import Layout, Row, Table, fill, on_maps, same
from alrl_jax.models.published.face_backbones import STRIDE
from alrl_jax.models.published.psp import head_depth

MAX_SIDE = 64
"""Largest side of a last map that is flattened."""

LAYOUTS: Mapping[str, Layout] = {
    **COMMON,
    # A code for every layer of W+, [layer, width], as ours are.
    "codes": Layout(2, same),
    # Networks of other input sizes flatten last maps of other sides.
    **{f"dense_on_{side}x{side}": on_maps(side) for side in range(1, MAX_SIDE + 1)},
}
"""What the rows here name."""


def _norm(name: str, path: str) -> dict[str, Row]:
    return {
        f"{name}.weight": (f"params/{path}/scale", "same"),
        f"{name}.bias": (f"params/{path}/bias", "same"),
        f"{name}.running_mean": (f"batch_stats/{path}/mean", "same"),
        f"{name}.running_var": (f"batch_stats/{path}/var", "same"),
        f"{name}.num_batches_tracked": (None, "scalar"),
    }


def _conv(name: str, path: str) -> dict[str, Row]:
    return {f"{name}.weight": (f"params/{path}/kernel", "conv")}


def _biased(name: str, path: str, layout: str = "conv") -> dict[str, Row]:
    return {
        f"{name}.weight": (f"params/{path}/kernel", layout),
        f"{name}.bias": (f"params/{path}/bias", "same"),
    }


def _slope(name: str, path: str) -> dict[str, Row]:
    return {f"{name}.weight": (f"params/{path}/slope", "same")}


IR_INPUT: Table = {
    **_conv("input_layer.0", "input_layer/conv"),
    **_norm("input_layer.1", "input_layer/norm"),
    **_slope("input_layer.2", "input_layer/prelu"),
}
IR_UNIT: Table = {
    **_norm("body.{unit}.res_layer.0", "body/{place}/norm0"),
    **_conv("body.{unit}.res_layer.1", "body/{place}/conv0"),
    **_slope("body.{unit}.res_layer.2", "body/{place}/prelu"),
    **_conv("body.{unit}.res_layer.3", "body/{place}/conv1"),
    **_norm("body.{unit}.res_layer.4", "body/{place}/norm2"),
}
IR_SQUEEZE: Table = {
    **_conv("body.{unit}.res_layer.5.fc1", "body/{place}/se/squeeze"),
    **_conv("body.{unit}.res_layer.5.fc2", "body/{place}/se/excite"),
}
IR_PROJECTION: Table = {
    **_conv("body.{unit}.shortcut_layer.0", "body/{place}/shortcut"),
    **_norm("body.{unit}.shortcut_layer.1", "body/{place}/shortcut_norm"),
}
IR_OUTPUT: Table = {
    **_norm("output_layer.0", "output_layer/norm"),
    **_biased("output_layer.3", "output_layer/dense", "dense_on_{side}x{side}"),
    **_norm("output_layer.4", "output_layer/embedding_norm"),
}

IRESNET_ENDS: Table = {
    **_conv("conv1", "input_layer/conv"),
    **_norm("bn1", "input_layer/norm"),
    **_slope("prelu", "input_layer/prelu"),
    **_norm("bn2", "output_layer/norm"),
    **_biased("fc", "output_layer/dense", "dense_on_{side}x{side}"),
    **_norm("features", "output_layer/embedding_norm"),
}
IRESNET_UNIT: Table = {
    **_norm("layer{layer}.{i}.bn1", "body/{place}/norm0"),
    **_conv("layer{layer}.{i}.conv1", "body/{place}/conv0"),
    **_norm("layer{layer}.{i}.bn2", "body/{place}/norm1"),
    **_slope("layer{layer}.{i}.prelu", "body/{place}/prelu"),
    **_conv("layer{layer}.{i}.conv2", "body/{place}/conv1"),
    **_norm("layer{layer}.{i}.bn3", "body/{place}/norm2"),
}
IRESNET_PROJECTION: Table = {
    **_conv("layer{layer}.{i}.downsample.0", "body/{place}/shortcut"),
    **_norm("layer{layer}.{i}.downsample.1", "body/{place}/shortcut_norm"),
}

LATERALS: Table = {
    **_biased("latlayer1", "latlayer1"),
    **_biased("latlayer2", "latlayer2"),
}
HEAD: Table = {
    "styles.{style}.linear.weight": ("params/styles/style{style}/linear/weight", "dense"),
    "styles.{style}.linear.bias": ("params/styles/style{style}/linear/bias", "same"),
}
HEAD_CONV: Table = _biased("styles.{style}.convs.{at}", "styles/style{style}/conv{conv}")
CENTRE: Table = {"latent_avg": ("constants/latent_avg", "codes")}


def _units(counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What fills the placeholders of every residual unit."""
    unit = 0
    for stage, count in enumerate(counts):
        for i in range(count):
            place = f"stage{stage}_unit{i}"
            yield {"unit": unit, "layer": stage + 1, "i": i, "place": place}
            unit += 1


def _ir_body(config: Mapping[str, Any]) -> dict[str, Row]:
    rows = fill(IR_INPUT, {})
    widths = config["widths"]
    for numbers in _units(config["units"]):
        stage = numbers["layer"] - 1
        changes = stage > 0 and widths[stage] != widths[stage - 1]
        rows |= fill(IR_UNIT, numbers)
        rows |= fill(IR_SQUEEZE, numbers) if config["squeeze"] else {}
        rows |= fill(IR_PROJECTION, numbers) if changes and numbers["i"] == 0 else {}
    return rows


def arcface_rows(config: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of an ArcFace network of TreB1eN's code."""
    return _ir_body(config) | fill(IR_OUTPUT, {"side": config["resolution"] // STRIDE})


def iresnet_rows(config: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of an ArcFace network of insightface."""
    rows = fill(IRESNET_ENDS, {"side": config["resolution"] // STRIDE})
    for numbers in _units(config["units"]):
        rows |= fill(IRESNET_UNIT, numbers)
        rows |= fill(IRESNET_PROJECTION, numbers) if numbers["i"] == 0 else {}
    return rows


def style_encoder_rows(config: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of an encoder of pSp or e4e."""
    rows = _ir_body(config) | fill(LATERALS, {}) | (fill(CENTRE, {}) if config["centred"] else {})
    for style in range(config["num_styles"]):
        rows |= fill(HEAD, {"style": style})
        for conv in range(head_depth(config["resolution"], style)):
            rows |= fill(HEAD_CONV, {"style": style, "conv": conv, "at": 2 * conv})
    return rows
