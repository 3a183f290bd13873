"""ArcFace as ONNX keeps it, held against the PyTorch file of the same values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import alrl_jax
from alrl_jax.convert.engine import convert_file
from alrl_jax.storage.model_directory import read_model
from tests.goldens.golden import assert_close, nhwc
from tests.support.checkpoints import face_files
from tests.support.checkpoints.onnx_writer import Graph, save_iresnet
from tests.support.checkpoints.refusals import assert_refused
from tests.support.checkpoints.torch_writer import save_torch

pytestmark = pytest.mark.usefixtures("quick_compilation")

TENSORS = face_files.fill(face_files.iresnet_spec())
FACES = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)


def _embeddings(directory: Path) -> np.ndarray:
    return np.asarray(alrl_jax.load(directory)(nhwc(FACES)))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What the PyTorch file of the same values gives."""
    folder = tmp_path_factory.mktemp("torch")
    convert_file(save_torch(folder / "a.pth", TENSORS), "iresnet", folder / "a")
    return _embeddings(folder / "a")


@pytest.mark.parametrize("folds", [True, False])
def test_the_graph_gives_the_same_embeddings(
    tmp_path: Path, expected: np.ndarray, folds: bool
) -> None:
    path = save_iresnet(tmp_path / "w600k_r50.onnx", TENSORS, folds=folds)
    converted = convert_file(path, "auto", tmp_path / "a")
    assert converted.kind == "iresnet" and converted.config["units"] == [1, 2, 1, 2]
    assert "non-commercial" in converted.source["licence"]
    assert_close(_embeddings(tmp_path / "a"), expected)


def test_a_graph_that_scales_its_input_takes_images_in_one_range_too(tmp_path: Path) -> None:
    """(x - 127.5) / 128 of 8 bits is 127.5 / 128 times what the network gets from us."""
    path = save_iresnet(tmp_path / "a.onnx", TENSORS, scales=True)
    convert_file(path, "iresnet", tmp_path / "a")
    meta, _ = read_model(tmp_path / "a")
    assert "0.996094" in meta["source"]["normalisation"]
    bits = 127.5 * FACES + 127.5
    plain = face_files.iresnet(((bits - 127.5) / 128).astype(np.float32), TENSORS)
    assert_close(_embeddings(tmp_path / "a"), plain)


def _other(path: Path) -> Path:
    """A graph with the same kinds of layers and another order."""
    graph = Graph()
    x = graph.prelu(graph.conv("input.1", TENSORS, "conv1", "bn1"), TENSORS, "prelu")
    x = graph.norm(x, TENSORS, "layer1.0.bn1")
    return graph.save(path, graph.add("GlobalAveragePool", [x]))


def _detector(path: Path) -> Path:
    graph = Graph()
    x = graph.conv("input.1", TENSORS, "conv1", "bn1")
    return graph.save(path, graph.add("Relu", [x]))


FAULTS: dict[str, tuple[Any, str]] = {
    "another order": (_other, "expected ArcFace's IResNet"),
    "another network": (_detector, "an ONNX graph of another network"),
    "more at the end": (
        lambda path: save_iresnet(path, TENSORS, beyond="Softmax"),
        "Softmax.0 beyond its layers",
    ),
    "half": (
        lambda path: (
            path.write_bytes(save_iresnet(path, TENSORS).read_bytes()[: path.stat().st_size // 2])
            and path
        ),
        "damaged ONNX",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_graphs_are_refused(tmp_path: Path, fault: str) -> None:
    make, message = FAULTS[fault]
    make(tmp_path / "a.onnx")
    assert_refused(tmp_path / "a.onnx", "iresnet", message)


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_iresnet(tmp_path / "a.onnx", TENSORS)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert_refused(path, "iresnet", r"without the package onnx.*pip install")
