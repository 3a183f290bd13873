"""Real tasks on a real source: a directory of photos without any label."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

import alrl_jax
from alrl_jax.commands.package_model import package
from alrl_jax.config import Config
from alrl_jax.data.opening import open_batches
from alrl_jax.data.prepare.layouts import Wish
from alrl_jax.data.prepare.photo_records import LAYOUTS, photo_plan
from alrl_jax.data.shards import prepare
from alrl_jax.errors import UserError
from alrl_jax.photos.file_trees import open_tree
from alrl_jax.provenance.model_card import CARD_FILE
from alrl_jax.storage.checkpoint import read_fields
from alrl_jax.storage.model_directory import read_model
from alrl_jax.train import batch_request, data_request, train
from tests.support import fabricated, tiny
from tests.support.same_run import lines

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (40 + i, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(directory / f"{i:02d}.png")
    return directory


def on_photos(name: str, photos: Path, identity: Path | None = None, **changes: Any) -> Config:
    common = {
        "data__source": "folder",
        "data__path": str(photos),
        "log_every": 1,
        "checkpoint_every": 2,
        "sample_every": 0,
    }
    return tiny.tiny_config(name, identity, **{**common, **changes})


def arcface(photos: Path, num_steps: int) -> Config:
    weights = {
        "losses__identity_regression": 0.0,
        "losses__attribute_regression": 0.0,
        "losses__pose_regression": 0.0,
        "losses__landmark_regression": 0.0,
        "losses__arcface": 1.0,
    }
    return on_photos(
        "identity_64",
        photos,
        num_steps=num_steps,
        optimizer__decay=False,
        data__num_identities=12,
        **weights,
    )


def of_task(task: str, photos: Path, directory: Path, num_steps: int) -> Config:
    if task == "identity":
        return arcface(photos, num_steps)
    # What falls over the length of a run is held still: the first run is planned to be shorter.
    still: dict[str, Any] = {
        "num_steps": num_steps,
        "optimizer__decay": False,
        "swap__temperature_end": 1.0,
    }
    if task == "generator":
        return on_photos("generator_64", photos, None, **still)
    identity = tiny.save_tiny_identity(directory / "identity")
    return on_photos("synthetic_64", photos, identity, **still)


@pytest.mark.parametrize(
    "task",
    ["identity", *(pytest.param(task, marks=pytest.mark.slow) for task in ("generator", "swap"))],
)
def test_two_and_two_steps_are_four(task: str, photos: Path, tmp_path: Path) -> None:
    train(of_task(task, photos, tmp_path, 4), tmp_path / "four")
    train(of_task(task, photos, tmp_path, 2), tmp_path / "two")
    train(of_task(task, photos, tmp_path, 4), tmp_path / "two")
    names = ("params", "ema", "opt_state")
    _, whole = read_fields(tmp_path / "four", names)
    _, resumed = read_fields(tmp_path / "two", names)
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    assert lines(tmp_path / "four") == lines(tmp_path / "two")


def test_a_run_becomes_a_model_directory(photos: Path, tmp_path: Path) -> None:
    train(arcface(photos, 2), tmp_path / "run")
    package(tmp_path / "run", tmp_path / "model", "make it so", half=True)
    meta, _ = read_model(tmp_path / "model")
    assert meta["source"]["steps"] == 2 and meta["source"]["command"] == "make it so"
    assert meta["source"]["data"]["images"] == 12, "the people in them are not known"
    assert "not stated" in meta["source"]["licence"]
    for name in ("run", "model"):
        text = (tmp_path / name / CARD_FILE).read_text()
        assert "| training steps | 2 |" in text and "| images | 12 |" in text
    faces = tiny.random_faces(2).image
    packaged, live = (alrl_jax.load(tmp_path / name)(faces) for name in ("model", "run"))
    np.testing.assert_allclose(packaged, live, atol=0.01)


def lean_swap(photos: Path, identity: Path, **changes: Any) -> Config:
    """One step of the swap task without what takes long to compile."""
    few = {
        f"losses__{name}": 0.0
        for name in ("adversarial", "perceptual", "self_perceptual", "self_reconstruction")
    }
    return on_photos(
        "synthetic_64",
        photos,
        identity,
        num_steps=1,
        data__same_identity_share=0.25,
        **few,
        **changes,
    )


@pytest.mark.slow
def test_the_swap_trains_without_labels(photos: Path, tmp_path: Path) -> None:
    identity = tiny.save_tiny_identity(tmp_path / "identity")
    assert train(lean_swap(photos, identity), tmp_path / "run") == 1
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["loss/region"] == json.loads(line)["loss/parsing"] == 0.0


@pytest.mark.slow
def test_the_swap_learns_the_masks_of_real_faces(tmp_path: Path) -> None:
    """Of faces whose masks are known and nothing else."""
    root, prepared = tmp_path / "CelebAMask-HQ", tmp_path / "prepared"
    fabricated.write_celebamask(root, range(8), {n: n + 1 for n in range(8)})
    wish, tree = Wish(root), open_tree(root)
    album = LAYOUTS["celebamask"](tree, wish)
    prepare(prepared, photo_plan("celebamask", album, tiny.RESOLUTION, wish, None, 1))
    identity = tiny.save_tiny_identity(tmp_path / "identity")
    config = lean_swap(prepared, identity, data__source="prepared")
    assert train(config, tmp_path / "run") == 1
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    metrics = json.loads(line)
    assert metrics["loss/region"] > 0 and metrics["loss/parsing"] > 0
    card = (tmp_path / "run" / CARD_FILE).read_text()
    assert "| identity | identity | identity |" in card and "CelebAMask-HQ: non-com" in card
    assert np.isfinite([value for value in metrics.values() if isinstance(value, float)]).all()


def test_without_labels_a_regression_of_labels_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        train(on_photos("identity_64", photos, None, num_steps=1), tmp_path / "run")
    assert str(error.value).startswith("got data.source folder without labels; expected at least")
    assert "losses.arcface" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_arcface_has_a_class_for_everybody(photos: Path) -> None:
    config = arcface(photos, 1)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, num_identities=11))
    with pytest.raises(UserError, match="up to number 11 .*set it to 12"):
        open_batches(data_request(config), batch_request(config, "faces"))
