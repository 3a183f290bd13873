"""The search over fixed selections: it tries all, and finds the one that is right."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.commands import search_selection
from alrl_jax.commands.search_selection import Found, note, search
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.tasks import make_task
from tests.support import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained swapper of 32 px, whose 8 layers make 512 selections."""
    folder = tmp_path_factory.mktemp("model")
    task = make_task(tiny.tiny_config("synthetic_64", tiny.save_tiny_identity(folder / "identity")))
    state = jax.jit(task.init)(jax.random.key(0), {})
    exported = task.export(state, task.load_frozen())
    save_model(folder / "swapper", exported.kind, exported.config, exported.variables)
    return folder / "swapper"


def test_the_best_of_all_selections_wins(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of a made-up benchmark, whose second round disagrees with the first."""
    wanted, rounds = np.array([0, 1, 0, 1, 1, 0, 0, 1, 1]), []

    def score(_: Any, selections: Any, seed: int, count: int, title: str) -> np.ndarray:
        rounds.append((len(selections), count))
        apart = np.array([np.abs(source_weights - wanted).sum() for source_weights in selections])
        return -np.abs(apart - (1 if count == 2 else 0))

    monkeypatch.setattr(search_selection, "_score", score)
    found = search(alrl_jax.load(model), 0, pairs=2, finalists=60, final_pairs=4)
    assert rounds == [(512, 2), (60, 4)]
    assert found == Found(tuple(map(float, wanted)), 0.0, 512)


def test_scores_are_those_of_the_benchmark(model: Path) -> None:
    loaded = alrl_jax.load(model)
    selections = [np.zeros(9, np.float32), np.ones(9, np.float32)]
    scores = search_selection._score(loaded, selections, 0, 3, "test")
    plan = search_selection.plan_pairs("development", 0, 3)
    pair = search_selection.render_pairs(plan, 32)
    for name, found in zip(("all_target", "all_source"), scores, strict=True):
        image = loaded.swap(pair.source, pair.target, selector=name).image
        expected = float(jnp.mean(search_selection.psnr(image, pair.truth, pair.face_region)))
        assert found == pytest.approx(expected, rel=1e-4)


def test_what_was_found_is_a_selector_of_the_model(model: Path) -> None:
    source_weights = (0.0, *[1.0] * 4, *[0.0] * 4)
    note(model, Found(source_weights, 20.0, 512))
    loaded = alrl_jax.load(model)
    assert loaded.selectors[-1] == "best_fixed"
    faces = tiny.random_faces(2).image
    gates = loaded.swap(faces, faces, selector="best_fixed").gates
    np.testing.assert_array_equal(gates.attributes[0, :, 0], source_weights[1:])
    with pytest.raises(UserError, match="expected one of"):
        loaded.swap(faces, faces, selector="worst_fixed")
    assert json.loads((model / "model.json").read_text())["kind"] == "swapper"
