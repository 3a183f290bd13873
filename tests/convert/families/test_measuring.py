"""Weights of the networks that measure real faces: what is taken over, dropped and refused."""

import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.convert.engine import Converted, convert, convert_file
from alrl_jax.convert.finding import choose, find_networks
from alrl_jax.convert.joining import split_sources
from alrl_jax.errors import UserError
from alrl_jax.models.published.lpips import SCALE, SHIFT
from alrl_jax.storage.model_directory import read_model
from tests.conftest import RunCli
from tests.goldens.golden import FOLDER, read_golden
from tests.support.checkpoints.golden_files import Tensors, lin_weights
from tests.support.checkpoints.torch_writer import save_torch

GOLDENS = {
    "face_parser": "bisenet_parsing",
    "hopenet": "hopenet",
    "inception": "fid_inception",
}


def _blank(kind: str) -> Tensors:
    """Tensors of the names and shapes of a golden, without numbers worth drawing."""
    spec = json.loads((FOLDER / f"{GOLDENS[kind]}.json").read_text())["spec"]
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in spec.items()}


ALEX = read_golden("lpips_alex_own_lin")


def _lpips() -> Tensors:
    return dict(ALEX.tensors) | lin_weights(ALEX)


def _convert(tensors: Tensors, kind: str) -> Converted:
    return convert(choose(find_networks(tensors)[0], kind))


@pytest.mark.parametrize("kind", GOLDENS)
def test_every_tensor_has_its_place(kind: str) -> None:
    tensors = _blank(kind)
    converted = _convert(dict(tensors), "auto")
    assert converted.kind == kind
    report = converted.source["tensors"]
    assert report.keys() == tensors.keys()
    unused = {name for name, fate in report.items() if fate.startswith("not used")}
    dropped = {n for n in tensors if n.endswith("num_batches_tracked")}
    dropped |= {n for n in tensors if n.split(".")[0] in ("fc", "fc_finetune")}
    assert unused == dropped
    assert len(jax.tree.leaves(converted.variables)) == len(tensors) - len(dropped)


@pytest.mark.parametrize("kind", GOLDENS)
def test_what_ours_does_without_may_be_absent(kind: str) -> None:
    unused = ("num_batches_tracked", "fc.weight", "fc.bias")
    tensors = {n: x for n, x in _blank(kind).items() if not n.endswith(unused)}
    tensors = {n: x for n, x in tensors.items() if not n.startswith("fc_finetune")}
    assert _convert(tensors, kind).kind == kind


def test_a_data_parallel_wrapper_does_not_matter() -> None:
    tensors = {f"module.{name}": x for name, x in _blank("hopenet").items()}
    converted = _convert(tensors, "auto")
    assert converted.config == {"depths": [3, 4, 6, 3]}


def test_architectures_are_read_from_the_tensors() -> None:
    tensors = _blank("face_parser")
    heads = ("conv_out", "conv_out16", "conv_out32")
    for name in (f"{head}.conv_out.weight" for head in heads):
        tensors[name] = tensors[name][:11]
    assert _convert(tensors, "face_parser").config == {"num_classes": 11}
    tensors = {n: x for n, x in _blank("hopenet").items() if not n.startswith("layer3.5.")}
    assert _convert(tensors, "hopenet").config == {"depths": [3, 4, 5, 3]}


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
    tensors = _blank(kind)
    change(tensors)
    with pytest.raises(UserError, match=message) as error:
        _convert(tensors, kind)
    assert "\n" not in str(error.value)


LPIPS_FAULTS: dict[str, tuple[Change, str]] = {
    "lin of the wrong backbone": (
        lambda t: t.update({"lin1.model.1.weight": np.zeros((1, 128, 1, 1), np.float32)}),
        r"lin1.model.1.weight of shape \[1, 128, 1, 1\].*expected \[1, 1, 192, 1\]",
    ),
    "missing tap": (lambda t: t.pop("lin4.model.1.weight"), "without lin4.model.1.weight"),
    "missing layer": (lambda t: t.pop("features.8.bias"), "without features.8.bias"),
    "another layer": (lambda t: t.update({"features.12.bias": np.zeros(1)}), "features.12.bias"),
    "another backbone": (
        lambda t: t.update({"features.0.weight": np.zeros((64, 3, 7, 7), np.float32)}),
        "expected the first kernel of AlexNet",
    ),
    "no lin at all": (
        lambda t: [t.pop(n) for n in list(t) if n.startswith("lin")],
        "lpips as --source=BACKBONE,LIN",
    ),
}


@pytest.mark.parametrize("fault", LPIPS_FAULTS)
def test_faults_of_lpips_are_named(fault: str) -> None:
    change, message = LPIPS_FAULTS[fault]
    tensors = _lpips()
    change(tensors)
    with pytest.raises(UserError, match=message):
        _convert(tensors, "lpips")


def _package() -> Tensors:
    """The state dict of the ``lpips`` package's own module."""
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    tensors: Tensors = {
        "scaling_layer.shift": SHIFT.reshape(1, 3, 1, 1),
        "scaling_layer.scale": SCALE.reshape(1, 3, 1, 1),
    }
    for name, value in ALEX.tensors.items():
        _, number, leaf = name.split(".")
        tensors[f"net.slice{slices[int(number)]}.{number}.{leaf}"] = value
    for name, value in lin_weights(ALEX).items():
        tensors |= {name: value, name.replace("lin", "lins."): value}
    return tensors


def test_the_packages_own_file_is_the_same_network() -> None:
    ours, theirs = _convert(_lpips(), "lpips"), _convert(_package(), "lpips")
    assert theirs.config == ours.config == {"backbone": "alex"}
    jax.tree.map(np.testing.assert_array_equal, theirs.variables, ours.variables)
    assert "lins.4.model.1.weight" in theirs.source["checked"]
    for name in ("scaling_layer.shift", "lins.2.model.1.weight"):
        changed = _package()
        changed[name] = changed[name] * 2
        with pytest.raises(UserError, match=f"other numbers in {name}"):
            _convert(changed, "lpips")


def test_lpips_is_two_files(tmp_path: Path, run_cli: RunCli) -> None:
    classifier = {"classifier.1.weight": np.ones((4, 4), np.float32)}
    parallel = {f"module.{name}": x for name, x in lin_weights(ALEX).items()}
    backbone = save_torch(tmp_path / "alexnet.pth", ALEX.tensors | classifier)
    lin = save_torch(tmp_path / "alex.pth", {"state_dict": parallel, "epoch": 5})
    arguments = (f"--source={backbone},{lin}", "--kind=lpips", f"--output={tmp_path / 'model'}")
    done = run_cli("tools.convert_weights", *arguments)
    assert done.returncode == 0, done.stderr
    assert "backbone    alex" in done.stdout and "2,470,848" in done.stdout
    source = read_model(tmp_path / "model")[0]["source"]
    assert source["file"] == ["alexnet.pth", "alex.pth"]
    assert len(set(source["sha256"])) == 2 and all(len(x) == 64 for x in source["sha256"])
    assert sorted(source["skipped"]) == ["classifier", "epoch"]
    refused = run_cli("tools.convert_weights", f"--source={backbone},", *arguments[1:])
    assert refused.returncode == 2 and "BACKBONE,LIN" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    backbone = save_torch(tmp_path / "alexnet.pth", ALEX.tensors)
    lin = save_torch(tmp_path / "alex.pth", lin_weights(ALEX))
    other = save_torch(tmp_path / "other.pth", {"x": np.zeros(2, np.float32)})
    none = save_torch(tmp_path / "none.pth", {"epoch": 5})
    parser = save_torch(tmp_path / "parser.pth", dict(_blank("face_parser")))
    for sources, kind, message in (
        ((backbone, backbone), "lpips", "alexnet.pth with features.0.bias, which a file before"),
        ((backbone, none), "lpips", "none.pth without tensors"),
        ((backbone, tmp_path / "nowhere.pth"), "lpips", "nowhere.pth"),
        ((backbone, other), "lpips", "no network that is known"),
        ((backbone, lin, other), "lpips", "got 3 files with lpips; expected one or 2"),
        ((parser, other), "face_parser", "got 2 files with face_parser; expected one"),
    ):
        with pytest.raises(UserError, match=message) as error:
            convert_file(sources, kind, tmp_path / "out")
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_comma_in_the_name_of_a_file(tmp_path: Path) -> None:
    odd = tmp_path / "a,b.pth"
    odd.touch()
    assert split_sources(str(odd)) == (odd,)
    assert split_sources("a.pth,b.pth") == (Path("a.pth"), Path("b.pth"))
