"""Training that is killed at any moment goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.storage.checkpoint import DAMAGED_DIRECTORY, DIRECTORY, newest_step, read_fields
from tests.conftest import LONGEST_WAIT
from tests.support import several, tiny
from tests.support.same_run import lines

pytestmark = [pytest.mark.slow, pytest.mark.endurance]

FIELDS = ("step", "params", "ema", "opt_state")
LIVES = {"fake": 40, "identity": 10}
"""Kills by task: fifty in all."""
LONGEST_START = {"fake": 2.0, "identity": 6.0}
"""Seconds after the start of a life that may end before it has saved anything: every third."""
LONGEST_LIFE = {"fake": 0.6, "identity": 2.0}
"""Seconds after a life's first new checkpoint, of the other lives that do not end within a save."""
ENDS = ("any time", "save", "any time", "save", "saved", "save")
"""How lives end, in turn."""
ENDLESS = 100_000
REST = 7
"""Steps after the last kill."""


class Trainings:
    """One training after the other, each in a process of its own."""

    def __init__(self, cache: Path) -> None:
        values = several.environment(1, JAX_COMPILATION_CACHE_DIR=str(cache))
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked_training"],
            cwd=several.ROOT,
            env=values,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, workdir: Path, steps: int, config: dict[str, Any] | None, pause: float) -> int:
        """Begins or goes on; returns the process."""
        values = {"workdir": str(workdir), "num_steps": steps, "seconds": pause, "config": config}
        assert self._program.stdin is not None and self._program.stdout is not None
        self._program.stdin.write(json.dumps(values) + "\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())

    def ended(self) -> int:
        """Waits for the end; its exit status, negative for a signal."""
        assert self._program.stdout is not None
        return int(self._program.stdout.readline())

    def close(self) -> None:
        self._program.kill()
        self._program.communicate()


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    program = Trainings(tmp_path_factory.mktemp("compiled"))
    yield program
    program.close()


def identity_config(folder: Path) -> dict[str, Any]:
    """The identity task on photos, with the real pipeline; a save every second step."""
    rng = np.random.default_rng(0)
    faces = folder / "faces"
    faces.mkdir()
    for i in range(24):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(faces / f"{i:02d}.png")
    changes = {
        "resolution": 16,
        "num_steps": ENDLESS,
        "batch_size": 4,
        "log_every": 3,
        "checkpoint_every": 2,
        "sample_every": 0,
        "optimizer__decay": False,  # else rates depend on the number of steps
        "losses__arcface": 1.0,
        "data__num_identities": 24,
        "data__source": "folder",
        "data__path": str(faces),
    }
    return tiny.tiny_config("identity_64", **changes).to_dict()


def wait_until_saved(workdir: Path, after: int, process: int) -> None:
    """Waits for a checkpoint that is newer than ``after``."""
    deadline = time.monotonic() + LONGEST_WAIT
    while (newest_step(workdir) or 0) <= after:
        assert Path(f"/proc/{process}").exists() and time.monotonic() < deadline
        time.sleep(0.002)


def unfinished(workdir: Path) -> list[str]:
    """Names of saves that are under way, or were."""
    found = (workdir / DIRECTORY).iterdir() if (workdir / DIRECTORY).is_dir() else ()
    return [path.name for path in found if not path.name.isdecimal()]


def wait_for_a_save(workdir: Path) -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    while not unfinished(workdir) and time.monotonic() < deadline:
        time.sleep(0.0005)


def check_what_is_left(workdir: Path, before: int) -> int:
    """The newest checkpoint is whole, and no older than what was there before (0: none)."""
    newest = newest_step(workdir)
    if newest is None and before == 0:
        return 0
    assert newest is not None and newest >= before
    step, fields = read_fields(workdir, FIELDS)
    assert step == newest == fields["step"]
    assert all("tmp" in name for name in unfinished(workdir))
    return newest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("task", LIVES)
def test_killed_at_any_moment(task: str, trainings: Trainings, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    config = identity_config(tmp_path) if task == "identity" else None
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    step, within_saves = 0, 0
    for life in range(LIVES[task]):
        process = trainings.start(killed, ENDLESS, config, pause=0.08)
        end = ENDS[life % len(ENDS)]
        if end != "any time":
            wait_until_saved(killed, step, process)
        if end == "save":
            wait_for_a_save(killed)
        longest = {"any time": LONGEST_START[task], "save": 0.03, "saved": LONGEST_LIFE[task]}
        time.sleep(rng.uniform(0.0, longest[end]))
        os.kill(process, signal.SIGKILL)
        assert trainings.ended() == -signal.SIGKILL
        within_saves += bool(unfinished(killed))
        step = check_what_is_left(killed, step)
    last = step + REST
    if config is not None:
        config = {**config, "num_steps": last}
    for workdir in (killed, whole):
        trainings.start(workdir, last, config, pause=0.0)
        assert trainings.ended() == 0, Path(f"{workdir}.log").read_text()[-3000:]
    print(f"{task}: {LIVES[task]} kills, {within_saves} within a save, {last} steps")
    assert within_saves >= LIVES[task] // 8
    assert lines(killed) == lines(whole)
    for a, b in zip(
        *(jax.tree.leaves(read_fields(w, FIELDS)) for w in (killed, whole)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert not (killed / DAMAGED_DIRECTORY).exists()
    assert "cannot be read" not in Path(f"{killed}.log").read_text()
