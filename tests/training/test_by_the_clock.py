"""Real tasks with their faces on the devices, many steps in a call, and an end by the clock."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

import alrl_jax
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.storage.workdir import read_metrics
from alrl_jax.train import train
from alrl_jax.training import held_data
from tests.support import tiny
from tests.support.same_run import figures

pytestmark = pytest.mark.usefixtures("quick_compilation")

FIELDS = ("step", "params", "ema")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people, two photographs of each."""
    directory = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        (directory / f"p{i // 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(directory / f"p{i // 2}" / f"{i:02d}.png")
    return directory


def config(name: str, photos: Path, identity: Path | None = None, **changes: Any) -> Config:
    common = {
        "data__source": "folder",
        "data__path": str(photos),
        "data__identities": "folder",
        "log_every": 3,
        "checkpoint_every": 100,
        "sample_every": 0,
        "num_steps": 6,
    }
    return tiny.tiny_config(name, identity, **{**common, **changes})


def analyser(photos: Path, **changes: Any) -> Config:
    """Learns who is who, as nothing else is known of photographs."""
    names = ("identity", "attribute", "pose", "landmark")
    weights: dict[str, Any] = {f"losses__{name}_regression": 0.0 for name in names}
    many = {"data__num_identities": 12, "losses__arcface": 1.0}
    return config("identity_64", photos, **weights, **many, **changes)


def swapper(photos: Path, identity: Path, **changes: Any) -> Config:
    """Has lazy regularisation: of three steps, one has the gradient penalty."""
    kept = ("reconstruction", "adversarial", "r1")
    weights = tiny.load_config_file("synthetic_64").get_config().losses
    few: dict[str, Any] = {f"losses__{name}": 0.0 for name in weights if name not in kept}
    return config("synthetic_64", photos, identity, optimizer__r1_interval=3, **few, **changes)


BY_THE_CLOCK: dict[str, Any] = {"data__on_device": True, "steps_per_call": 4}


def assert_same_state(a: Path, b: Path) -> None:
    (step_a, state_a), (step_b, state_b) = read_fields(a, FIELDS), read_fields(b, FIELDS)
    assert step_a == step_b
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)  # noqa: E731
    jax.tree.map(close, state_a, state_b)


def assert_same_losses(a: Path, b: Path) -> None:
    lines_a, lines_b = read_metrics(a), read_metrics(b)
    assert [list(line) for line in lines_a] == [list(line) for line in lines_b]
    for x, y in zip(lines_a, lines_b, strict=True):
        assert figures(x) == pytest.approx(figures(y), rel=1e-6, abs=1e-6)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary run."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert train(analyser(photos), workdir) == 6
    return workdir


def test_ends_with_a_model_and_goes_on(photos: Path, whole: Path, tmp_path: Path) -> None:
    """Less than a call's time ends it after its first one; the limit may change."""
    run = tmp_path / "run"
    assert train(analyser(photos, **BY_THE_CLOCK, max_minutes=1e-6), run) == 3
    assert newest_step(run) == 3
    faces = tiny.random_faces(2).image
    before = alrl_jax.load(run / "model")(faces)
    assert len(read_metrics(run)) == 1
    assert train(analyser(photos, **BY_THE_CLOCK, max_minutes=60.0), run) == 6
    meta = json.loads((run / "model" / "model.json").read_text())
    assert meta["source"]["steps"] == 6
    after = alrl_jax.load(run / "model")(faces)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, alrl_jax.load(run)(faces), atol=1e-6)
    assert_same_state(run, whole)
    assert_same_losses(run, whole)


@pytest.mark.slow
def test_lazy_regularisation_within_a_call(
    photos: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    identity = tiny.save_tiny_identity(tmp_path_factory.mktemp("identity") / "model")
    train(swapper(photos, identity), tmp_path / "host")
    train(swapper(photos, identity, **BY_THE_CLOCK), tmp_path / "device")
    # Not the states: where a gradient is 0, optimisers make much of its rounding.
    assert_same_losses(tmp_path / "device", tmp_path / "host")
    assert "loss/r1" in read_metrics(tmp_path / "device")[0]


def test_faces_without_room_are_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any of them is read onto a device."""

    def refuse(devices: Any, wanted: int) -> None:
        assert wanted == 12 * (32 * 32 * 4 + 4 + 12 + 1)
        raise UserError("no room")

    monkeypatch.setattr(held_data, "check_room", refuse)
    with pytest.raises(UserError, match="no room"):
        train(analyser(photos, **BY_THE_CLOCK), tmp_path)
