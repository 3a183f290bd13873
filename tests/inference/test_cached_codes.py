"""Codes of faces that are kept: what is read, what is computed again, and training on them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.data.records import Layout
from alrl_jax.errors import UserError
from alrl_jax.inference import cached_codes, selection_task
from alrl_jax.inference.cached_codes import codes_of, model_key
from alrl_jax.inference.selection_task import SelectionTask
from alrl_jax.loading import SwapperModel, load_swapper
from alrl_jax.loading.assembling import Parts, assemble
from tests.conftest import ROOT
from tests.support.photo_files import write_photo
from tests.support.tiny import NARROW

pytestmark = pytest.mark.usefixtures("quick_compilation")
SIDE, FACES = 32, 5


class Faces:
    """Noise, as a data set gives it."""

    layout = Layout(SIDE)
    identities = np.arange(FACES)
    report: list[tuple[str, str]] = []

    def __init__(self) -> None:
        self.records = self.layout.empty(FACES)
        shape = (FACES, SIDE, SIDE, 3)
        self.records["identity"] = self.identities
        self.records["image"] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def __len__(self) -> int:
        return FACES

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.records[indices]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swapper of narrow random networks."""
    root = tmp_path_factory.mktemp("parts")
    parts = fabricate(root, ("generator", "encoder", "identity"), SIDE, NARROW)
    named = {name: str(path) for name, path in parts.items()}
    assemble(Parts(named, "psp_middle", "ellipse"), root / "swapper")
    return root / "swapper"


@pytest.fixture(scope="module")
def model(directory: Path) -> SwapperModel:
    return load_swapper(directory)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many faces were encoded, call by call, and a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cached_codes, "CHUNK", 2)
    monkeypatch.setattr(cached_codes, "BATCH", 2)
    counts, chunk = [], cached_codes._write

    def write(path: Path, arrays: Any) -> None:
        counts.append(len(arrays["attributes"]))
        chunk(path, arrays)

    monkeypatch.setattr(cached_codes, "_write", write)
    return counts


def same(a: Any, b: Any) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_codes_are_computed_once(model: SwapperModel, computed: list[int], tmp_path: Path) -> None:
    faces = Faces()
    first = codes_of(model, faces, progress=False)
    assert computed == [2, 2, 1] and len(first.attributes) == FACES
    assert same(codes_of(model, faces, progress=False), first) and len(computed) == 3
    images = faces.records["image"].astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(first.identity, model.embed(images), atol=1e-5)
    faces.records["image"][3, 0, 0, 0] ^= 1  # a pixel changes: its chunk alone is computed
    codes_of(model, faces, progress=False)
    assert computed[3:] == [2]
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    again = codes_of(model, Faces(), progress=False)
    assert computed[4:] == [2, 2, 1] and same(again, first), "damaged files are computed again"


def test_all_that_makes_codes_is_in_their_name(model: SwapperModel) -> None:
    variables = jax.tree.map(np.copy, model.variables)
    other = SwapperModel(model.kind, model.config, variables)
    assert model_key(other) == model_key(model)
    moved = {**variables, "encoder": jax.tree.map(lambda leaf: leaf + 1, variables["encoder"])}
    other = SwapperModel(model.kind, model.config, moved)
    assert model_key(other) != model_key(model)
    config = {**model.config, "swap": {**model.config["swap"], "mask": "none"}}
    assert model_key(SwapperModel(model.kind, config, model.variables)) != model_key(model)


def test_faces_of_another_size(model: SwapperModel) -> None:
    faces = Faces()
    faces.layout = Layout(64)
    with pytest.raises(UserError, match="got faces of 64 px; expected 32"):
        codes_of(model, faces, progress=False)


def test_a_model_that_takes_features_is_refused(model: SwapperModel) -> None:
    class Taking(SwapperModel):
        takes_features = True  # type: ignore[assignment]

    with pytest.raises(UserError, match="takes features of its targets"):
        SelectionTask(Taking(model.kind, model.config, model.variables), 1, 1e-3, 1, 0)


@pytest.mark.slow
def test_a_selection_is_trained_and_nothing_else(
    directory: Path, model: SwapperModel, tmp_path: Path
) -> None:
    """In a process of its own: the data pipeline has flags that it looks for."""
    for number in range(FACES):
        write_photo(tmp_path / "faces" / f"{number}.png", number, (SIDE, SIDE))
    command = [sys.executable, "-m", "alrl_jax.commands.main", "train-selection"]
    command += [f"--model={directory}", f"--data={tmp_path / 'faces'}", "--data_source=folder"]
    command += [f"--output={tmp_path / 'm'}", "--steps=3", "--batch_size=16"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run(*more: str) -> tuple[int, str]:
        given = [*command, f"--workdir={tmp_path / 'run'}", *more]
        done = subprocess.run(given, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    status, said = run("--parts=2")
    assert status == 0, said
    trained = load_swapper(tmp_path / "m")
    assert trained.selectors[0] == "adaptive" and "psp_middle" in trained.selectors
    for name in ("encoder", "generator", "identity"):
        assert same(trained.variables[name], model.variables[name])
    faces = Faces().records["image"][:2].astype(np.float32) / 127.5 - 1
    assert np.isfinite(np.asarray(trained.swap(faces, faces[::-1].copy()).image)).all()
    status, said = run("--parts=3")
    assert status == 2 and "expected parts of one size" in said
    status, said = run("--parts=2", "--steps=2")
    assert status == 0, "has all of its steps"
    status, said = run("--parts=4")
    assert status == 2 and "parts is 4 but this run began with 2" in said


def test_gates_begin_as_the_rule(model: SwapperModel) -> None:
    fresh = {"params": {"bias": jnp.full(4 * 3, 0.25), "other": jnp.ones(2)}}
    begun = selection_task._as_rule(fresh, (0.0, 1.0, 0.5, 0.0))["params"]
    halves = [-0.5] * 3 + [0.5] * 3 + [0.25] * 3 + [-0.5] * 3
    assert np.array_equal(begun["bias"], halves) and np.array_equal(begun["other"], [1, 1])


def test_parts_add_up(model: SwapperModel) -> None:
    task = SelectionTask(model, 1, 1e-3, 2, 0)
    rows = jnp.arange(8).reshape(4, 2)
    assert np.array_equal(task._in_parts(rows), [[[0, 1], [4, 5]], [[2, 3], [6, 7]]])
