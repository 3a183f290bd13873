"""Sampled faces: the same for a seed, of no split, refused without one."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import alrl_jax
from alrl_jax.errors import UserError
from alrl_jax.inference.samples import write_sample
from alrl_jax.loading.loader import SwapperModel
from alrl_jax.provenance import image_metadata
from tests.conftest import RunCli
from tools.bench.measure_deidentification import measure

SWAPPER = "embedded/swapper_64"


@pytest.mark.parametrize("rendered", [True, False])
def test_a_seed_is_a_person(
    rendered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the procedural world, or one whom the swapper's own generator draws."""
    monkeypatch.setattr(SwapperModel, "samples_are_rendered", rendered)
    model = alrl_jax.load(SWAPPER)
    faces = [np.asarray(model.sample_face(seed)) for seed in (3, 3, 4)]
    assert faces[0].shape == (64, 64, 3) and np.abs(faces[0]).max() <= 1
    np.testing.assert_array_equal(faces[0], faces[1])
    assert np.abs(faces[0] - faces[2]).max() > 0.1
    metadata = image_metadata.read_metadata(write_sample(model, "sample:3", tmp_path))
    names = {True: "algorithmicMedia", False: "trainedAlgorithmicMedia"}
    assert metadata["digitalSourceType"].rpartition("/")[2] == names[rendered]


def test_a_sample_is_a_source(run_cli: RunCli, tmp_path: Path) -> None:
    target = tmp_path / "me.png"
    Image.fromarray(np.full((80, 70, 3), 120, np.uint8)).save(target)
    arguments = [f"--model={SWAPPER}", "--source=sample:7", f"--target={target}", "--aligned"]
    done = run_cli("alrl_jax.infer", *arguments, f"--output={tmp_path / 'out'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    result = json.loads(line)
    assert result["source"] == "sample_7.png" and result["status"] == "done"
    with Image.open(tmp_path / "out" / result["output"]) as photo:
        assert photo.size == (70, 80)
    again = run_cli("alrl_jax.infer", *arguments, f"--output={tmp_path / 'out'}", cwd=tmp_path)
    assert "1 skipped" in again.stdout, again.stderr


class NoSampler:
    """Has all that drawing a face takes, and draws none."""

    kind = "swapper"
    variables: dict[str, Any] = {}
    samples_are_rendered = True

    def sample_face(self, seed: int) -> np.ndarray:
        raise AssertionError(f"drew {seed}")


@pytest.mark.parametrize("named", ["sample:", "sample:-1", "sample:one", f"sample:{2**32}"])
def test_what_is_no_seed_is_refused(named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected sample:SEED"):
        write_sample(NoSampler(), named, tmp_path)


def test_people_are_recognised_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A swapper that changes nothing hides no identity."""
    model, judge = alrl_jax.load(SWAPPER), alrl_jax.load("embedded/judge_64")
    monkeypatch.setattr(model, "swap", lambda _, target: SimpleNamespace(image=target))
    found = measure(model, judge, "development", 0, 7)
    assert found["before"] == found["after"] and found["before"]["top1"] > 0.5
