"""The face parser, Hopenet and Inception: what is taken over, dropped and refused."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

from alrl_jax.errors import UserError
from tests.support.checkpoints.golden_files import (
    MEASURING_GOLDENS,
    Tensors,
    blank_tensors,
    convert_tensors,
)


@pytest.mark.parametrize("kind", MEASURING_GOLDENS)
def test_every_tensor_has_its_place(kind: str) -> None:
    tensors = blank_tensors(kind)
    converted = convert_tensors(dict(tensors), "auto")
    assert converted.kind == kind
    report = converted.source["tensors"]
    assert report.keys() == tensors.keys()
    unused = {name for name, fate in report.items() if fate.startswith("not used")}
    dropped = {n for n in tensors if n.endswith("num_batches_tracked")}
    dropped |= {n for n in tensors if n.split(".")[0] in ("fc", "fc_finetune")}
    assert unused == dropped
    assert len(jax.tree.leaves(converted.variables)) == len(tensors) - len(dropped)


@pytest.mark.parametrize("kind", MEASURING_GOLDENS)
def test_what_ours_does_without_may_be_absent(kind: str) -> None:
    unused = ("num_batches_tracked", "fc.weight", "fc.bias")
    tensors = {n: x for n, x in blank_tensors(kind).items() if not n.endswith(unused)}
    tensors = {n: x for n, x in tensors.items() if not n.startswith("fc_finetune")}
    assert convert_tensors(tensors, kind).kind == kind


def test_a_data_parallel_wrapper_does_not_matter() -> None:
    tensors = {f"module.{name}": x for name, x in blank_tensors("hopenet").items()}
    converted = convert_tensors(tensors, "auto")
    assert converted.config == {"depths": [3, 4, 6, 3]}


def test_architectures_are_read_from_the_tensors() -> None:
    tensors = blank_tensors("face_parser")
    heads = ("conv_out", "conv_out16", "conv_out32")
    for name in (f"{head}.conv_out.weight" for head in heads):
        tensors[name] = tensors[name][:11]
    assert convert_tensors(tensors, "face_parser").config == {"num_classes": 11}
    tensors = {n: x for n, x in blank_tensors("hopenet").items() if not n.startswith("layer3.5.")}
    assert convert_tensors(tensors, "hopenet").config == {"depths": [3, 4, 5, 3]}


Change = Callable[[Tensors], object]


def _cut(name: str) -> Change:
    return lambda tensors: tensors.update({name: tensors[name][1:]})


FAULTS: dict[str, tuple[str, Change, str]] = {
    "parser without a head": ("face_parser", lambda t: t.pop("conv_out16.conv.conv.weight"), "16"),
    "parser with a layer more": ("face_parser", lambda t: t.update(x=np.zeros(1)), "with x;"),
    "heads that disagree": ("face_parser", _cut("conv_out32.conv_out.weight"), "conv_out32"),
    "parser without statistics": (
        "face_parser",
        lambda t: t.pop("ffm.convblk.bn.running_var"),
        "without ffm.convblk.bn.running_var",
    ),
    "hopenet without an angle": ("hopenet", lambda t: t.pop("fc_roll.weight"), "fc_roll.weight"),
    "hopenet without a block": (
        "hopenet",
        lambda t: t.pop("layer2.1.conv2.weight"),
        "without layer2.1.conv2.weight",
    ),
    "hopenet of other bins": ("hopenet", _cut("fc_pitch.bias"), "fc_pitch.bias"),
    "hopenet with another leftover": ("hopenet", _cut("fc_finetune.weight"), "fc_finetune.weight"),
    "inception of torchvision": ("inception", _cut("fc.weight"), "fc.weight.*another network"),
    "inception with its auxiliary head": (
        "inception",
        lambda t: t.update({"AuxLogits.fc.bias": np.zeros(1000, np.float32)}),
        "with AuxLogits.fc.bias",
    ),
    "inception with a kernel turned": (
        "inception",
        lambda t: t.update(
            {"Mixed_6b.branch7x7_2.conv.weight": np.zeros((128, 128, 7, 1), np.float32)}
        ),
        "Mixed_6b.branch7x7_2.conv.weight",
    ),
    "inception with NaN": (
        "inception",
        lambda t: t.update({"Conv2d_1a_3x3.bn.bias": np.full(32, np.nan, np.float32)}),
        "Conv2d_1a_3x3.bn.bias with NaN",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str) -> None:
    kind, change, message = FAULTS[fault]
    tensors = blank_tensors(kind)
    change(tensors)
    with pytest.raises(UserError, match=message) as error:
        convert_tensors(tensors, kind)
    assert "\n" not in str(error.value)
