"""LPIPS as two files and as its package's own one: what is taken over, dropped and refused."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.convert.engine import convert_file
from alrl_jax.convert.joining import split_sources
from alrl_jax.errors import UserError
from alrl_jax.models.published.lpips import SCALE, SHIFT
from alrl_jax.storage.model_directory import read_model
from tests.conftest import RunCli
from tests.goldens.golden import read_golden
from tests.support.checkpoints.golden_files import (
    Tensors,
    blank_tensors,
    convert_tensors,
    lin_weights,
)
from tests.support.checkpoints.torch_writer import save_torch

ALEX = read_golden("lpips_alex_own_lin")


def _lpips() -> Tensors:
    return dict(ALEX.tensors) | lin_weights(ALEX)


FAULTS: dict[str, tuple[Callable[[Tensors], object], str]] = {
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


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str) -> None:
    change, message = FAULTS[fault]
    tensors = _lpips()
    change(tensors)
    with pytest.raises(UserError, match=message):
        convert_tensors(tensors, "lpips")


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
    ours, theirs = convert_tensors(_lpips(), "lpips"), convert_tensors(_package(), "lpips")
    assert theirs.config == ours.config == {"backbone": "alex"}
    jax.tree.map(np.testing.assert_array_equal, theirs.variables, ours.variables)
    assert "lins.4.model.1.weight" in theirs.source["checked"]
    for name in ("scaling_layer.shift", "lins.2.model.1.weight"):
        changed = _package()
        changed[name] = changed[name] * 2
        with pytest.raises(UserError, match=f"other numbers in {name}"):
            convert_tensors(changed, "lpips")


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
    parser = save_torch(tmp_path / "parser.pth", dict(blank_tensors("face_parser")))
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
