"""Training with an augmented discriminator: its probability is measured and kept."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.config import Config
from alrl_jax.storage.checkpoint import read_fields
from alrl_jax.train import train
from alrl_jax.training.tasks import make_task
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

STRIDE = 4 * tiny.BATCH / 100
"""What the probability moves in four steps, where it may rise to 1 in a hundred images."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(directory / f"{i}.png")
    return directory


def config(task: str, photos: Path, num_steps: int, **changes: object) -> Config:
    """With this seed, a discriminator that is surer of real faces than the target asks."""
    values = {
        "seed": 1,
        "num_steps": num_steps,
        "data__source": "folder",
        "data__path": str(photos),
        "log_every": 1,
        "checkpoint_every": 100,
        "sample_every": 0,
        "discriminator__ada": "adaptive",
        "discriminator__ada_kimg": 0.1,
        "discriminator__ada_target": 0.0,
        "losses__r1": 0.0,
        **changes,
    }
    return tiny.tiny_config(task, **values)


def metrics(workdir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_resumed_run_keeps_the_probability(photos: Path, tmp_path: Path) -> None:
    """Stopped between two moves, so that the sum of signs has to be kept too."""
    for steps in (6, 10):
        train(config("generator_64", photos, steps), tmp_path)
    lines = metrics(tmp_path)
    signs, expected = [line["ada/real_sign"] for line in lines], [0.0]
    for step in range(1, 11):
        moved = np.sign(np.mean(signs[step - 4 : step])) if step % 4 == 0 else 0
        expected.append(np.clip(expected[-1] + STRIDE * moved, 0, 1))
    np.testing.assert_allclose([line["ada/p"] for line in lines], expected[:-1], atol=1e-6)
    assert max(expected) > 0
    _, fields = read_fields(tmp_path, ("mutable",))
    assert float(fields["mutable"]["ada_p"]) == pytest.approx(expected[-1])
    assert float(fields["mutable"]["ada_signs"]) == pytest.approx(sum(signs[8:]))


def swap_config(photos: Path, folder: Path, **changes: object) -> Config:
    off = ("perceptual", "self_perceptual", "self_reconstruction", "background", "attributes")
    return config(
        "synthetic_64",
        photos,
        1,
        discriminator__ada="fixed",
        discriminator__ada_p=0.5,
        pretrained__identity=str(tiny.save_tiny_identity(folder / "identity")),
        **{f"losses__{name}": 0.0 for name in off},
        **changes,
    )


def test_a_swap_has_its_probability(photos: Path, tmp_path: Path) -> None:
    """Traced, not compiled: what else the augmentation does is not the task's."""
    task = make_task(swap_config(photos, tmp_path))
    state = jax.eval_shape(task.init, jax.random.key(0), {})
    batch, frozen = tiny.random_batch("pairs"), task.load_frozen()
    step = jax.make_jaxpr(lambda s: task.step(s, frozen, batch, task.phase(1)), return_shape=True)
    program, (after, metrics) = step(state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {"ada/p", "ada/real_sign"} <= metrics.keys() and "logits/real_sign" not in metrics
    assert str(program).count("gather[") >= 3 * 4  # generator, real, fake: four pixels each


@pytest.mark.slow
def test_the_swap_trains_with_it(photos: Path, tmp_path: Path) -> None:
    train(swap_config(photos, tmp_path), tmp_path / "run")
    (line,) = metrics(tmp_path / "run")
    assert line["ada/p"] == 0.5 and -1 <= line["ada/real_sign"] <= 1
    assert np.isfinite([value for value in line.values() if isinstance(value, float)]).all()
    _, fields = read_fields(tmp_path / "run", ("mutable",))
    assert float(fields["mutable"]["ada_p"]) == 0.5
