"""Training by several processes is training by one: the command, for every task."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.storage.checkpoint import DIRECTORY, read_fields
from alrl_jax.storage.workdir import read_metrics
from tests.support import several, tiny
from tests.support.same_run import figures

pytestmark = pytest.mark.slow

STEPS = 3
"""The losses of the second and the third see what updates have done."""
DEVICES = 2
"""Of every process; one process that trains alone has all that two have."""
FIELDS = ("params", "ema", "opt_state", "mutable")
WITHOUT_GRADIENT = "['keys']['bias']"
"""A softmax takes this bias away again: what reaches it is rounding alone."""
DEAR = ("perceptual", "self_perceptual", "self_reconstruction", "background", "r1")
"""Losses of a swap that take long to compile, and mix no pairs of a batch."""
TASKS: dict[str, dict[str, Any]] = {
    "identity_64": {
        "identity__hidden": 64,
        "losses__arcface": 1.0,
        "data__num_identities": 16,
        "data__same_identity_share": 1.0,
    },
    "generator_64": {"losses__path_length": 2.0},
    "synthetic_64": {f"losses__{name}": 0.0 for name in DEAR},
}
CONFIG = """
import json
import ml_collections
def get_config():
    return ml_collections.ConfigDict(json.loads({!r}))
"""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for i in range(16):
        pixels = rng.integers(0, 256, (tiny.RESOLUTION, tiny.RESOLUTION, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(directory / f"{i:02d}.png")
    return directory


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_identity(tmp_path_factory.mktemp("identity") / "model")


def write_config(
    name: str, steps: int, faces: Path, identity: Path, path: Path, shards: int = 1
) -> Path:
    """A config file of a few steps on photos without labels."""
    changes = {
        "parameter_shards": shards,
        "num_steps": steps,
        "log_every": 1,
        "checkpoint_every": 1,
        "keep_checkpoints": STEPS,
        "sample_every": 0,
        "optimizer__algorithm": "adam",
        "optimizer__beta1": 0.0,
        "optimizer__decay": False,  # so that a run can be made longer
        "data__source": "folder",
        "data__path": str(faces),
        **TASKS[name],
    }
    if name == "synthetic_64":
        changes["pretrained__identity"] = str(identity)
    values = tiny.tiny_config(name, **changes).to_dict()
    path.write_text(CONFIG.format(json.dumps(values)))
    return path


def train(config: Path, workdir: Path, processes: int, devices: int = DEVICES) -> None:
    """The command, once a process; Slurm's variables bring two together, flags any other number."""
    command = ["alrl_jax.train", f"--config={config}", f"--workdir={workdir}"]
    values = several.environment(devices)
    if processes == 1:
        several.finish([several.start(command, values)])
    elif processes == 2:
        environments = several.under_slurm(2)
        flags = [*command, "--distributed=slurm"]
        several.finish([several.start(flags, values | each) for each in environments])
    else:
        flags = several.by_hand(processes)
        several.finish([several.start([*command, *each], values) for each in flags])


def differences(one: Any, many: Any) -> np.ndarray:
    """Of all numbers of a tree that have a gradient, as shares of the largest of their array."""
    pairs = zip(jax.tree.leaves_with_path(one), jax.tree.leaves(many), strict=True)
    shares = [
        np.ravel(np.abs(a - b) / max(np.abs(a).max(initial=0), 1e-12))
        for (path, a), b in pairs
        if not jax.tree_util.keystr(path).endswith(WITHOUT_GRADIENT)
    ]
    return np.concatenate([np.zeros(0), *shares])


def after_the_first_step(workdir: Path) -> dict[str, Any]:
    """The state of a run then; what was saved later goes."""
    for step in range(2, STEPS + 1):
        shutil.rmtree(workdir / DIRECTORY / str(step), ignore_errors=True)
    step, fields = read_fields(workdir, FIELDS)
    assert step == 1
    return fields


@pytest.fixture(scope="module")
def alone(
    faces: Path, identity: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a task's config, and of the run of one process with it."""

    @functools.cache
    def run(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        config = write_config(name, STEPS, faces, identity, folder / "config.py")
        train(config, folder / "one", 1, devices=4)
        return folder

    return run


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("name", TASKS)
def test_processes_train_as_one(
    name: str, processes: int, alone: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = alone(name)
    train(folder / "config.py", tmp_path / "many", processes)
    one, many = read_metrics(folder / "one"), read_metrics(tmp_path / "many")
    assert len(one) == len(many) == STEPS
    for a, b in zip(one, many, strict=True):
        assert figures(b) == pytest.approx(figures(a), rel=1e-5, abs=1e-6)
    one, many = after_the_first_step(folder / "one"), after_the_first_step(tmp_path / "many")
    # With a first decay of 0, Adam's state holds the gradients and their squares.
    assert differences(one["opt_state"], many["opt_state"]).max() < 2e-5
    assert differences(one["mutable"], many["mutable"]).max(initial=0) < 2e-5
    # Its first update is a sign: where a gradient is rounding noise, it points either way, which
    # is why later states are no measure.
    for field in ("params", "ema"):
        parameters = differences(one[field], many[field])
        assert np.mean(parameters < 1e-5) > 0.999 and len(parameters) > 1000


def test_a_run_goes_on_with_other_processes(faces: Path, identity: Path, tmp_path: Path) -> None:
    """Its state is whole on every device, then split over two processes, then over two devices."""
    for steps, processes, shards in ((2, 2, 1), (4, 4, 4), (6, 1, 2)):
        config = write_config("identity_64", steps, faces, identity, tmp_path / "config.py", shards)
        train(config, tmp_path / "parts", processes)
    train(config, tmp_path / "whole", 1)
    parts, whole = read_metrics(tmp_path / "parts"), read_metrics(tmp_path / "whole")
    assert [line["step"] for line in parts] == [1, 2, 3, 4, 5, 6]
    for a, b in zip(parts, whole, strict=True):
        assert figures(a) == pytest.approx(figures(b), rel=1e-3)
    assert figures(parts[0]) == pytest.approx(figures(whole[0]), rel=1e-5)
