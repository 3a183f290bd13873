"""Commands that are killed at random instants, or run where nearly everything is scarce.

Nothing is left half-written, nothing that was done is lost, and what a later run completes equals
an undisturbed run. Training has ``tests/training/test_recovery.py``.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.storage.model_directory import WEIGHTS_FILE, read_model
from tests.cases.test_videos import write_video
from tests.conftest import ROOT
from tests.support.photo_files import write_photo

pytestmark = [pytest.mark.slow, pytest.mark.endurance]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLS = {"infer": 18, "infer_frames": 9, "video": 9, "prepare": 9}
ASSEMBLED = 6
"""Kills of ``assemble-swapper``."""
EARLIEST = 0.4
"""When a command is killed at the earliest, of the time that an undisturbed run takes: most of it
goes into the start, and how long that is hangs on the machine and on what else it does."""
FABRICATE = (
    "import pathlib; from tests.support.tiny import NARROW; "
    "from alrl_jax.commands.fabricate_models import fabricate"
)


def photos(folder: Path) -> list[str]:
    for number in range(24):
        write_photo(folder / "targets" / f"{number:03d}.png", number, (24, 24))
    source = write_photo(folder / "source.png", 99)
    return [
        *("tests.support.stand_in_command", "infer", "--model=m", "--aligned", "--batch_size=1"),
        *(f"--source={source}", f"--target={folder / 'targets'}", "--masks"),
    ]


def frames(folder: Path) -> list[str]:
    named = photos(folder)
    return [
        *("tests.support.stand_in_command", "infer_frames", *named[2:5]),
        *(named[5], f"--frames={folder / 'targets'}"),
    ]


def video(folder: Path) -> list[str]:
    pytest.importorskip("av")
    clip = write_video(folder / "clip.mp4", {0: 32})
    return [*frames(folder)[:-1], f"--frames={clip}"]


def data_set(folder: Path) -> list[str]:
    for number in range(200):
        write_photo(folder / "targets" / f"{number:03d}.png", number, (24, 24))
    named = (f"--source={folder / 'targets'}", "--resolution=16", "--workers=2")
    return ["tools.prepare_dataset", *named]


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "infer": photos,
    "infer_frames": frames,
    "video": video,
    "prepare": data_set,
}


def start(arguments: list[str], output: Path, **given: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", *arguments, f"--output={output}"]
    given = {"env": environment, **pipes, **given}
    return subprocess.Popen(command, cwd=ROOT, text=True, **given)


def finish(arguments: list[str], output: Path) -> float:
    """Runs to the end; returns how many seconds that took."""
    begin = time.monotonic()
    process = start(arguments, output)
    _, said = process.communicate()
    assert process.returncode == 0, said[-2000:]
    return time.monotonic() - begin


def contents(output: Path) -> dict[str, Any]:
    """What a run has made, but for times and what depends on them."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        name = str(path.relative_to(output))
        if path.suffix == ".png":
            with Image.open(path) as image:
                found[name] = np.asarray(image).tobytes()
        elif path.suffix == ".json" and name not in ("dataset.json", "report.json"):
            record = json.loads(path.read_text())
            found[name] = {
                key: value for key, value in record.items() if key not in ("time", "output", "mask")
            }
        elif path.suffix in (".csv", ".jsonl", ".mp4"):
            found[name] = None  # times, and the names that are compared above
        elif path.suffix != ".lock":
            found[name] = path.read_bytes()
    return found


def check_whole(output: Path) -> None:
    """Whatever has its name is whole."""
    for path in output.glob("*.png"):
        json.loads(path.with_suffix(".json").read_text())
        with Image.open(path) as image:
            image.load()
    log = output / "results.jsonl"
    if log.exists():
        text = log.read_text()
        assert not text or text.endswith("\n")
        for line in text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_any_moment(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(26)
    arguments = COMMANDS[name](tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    usual = finish(arguments, whole)
    ended = []
    for life in range(KILLS[name]):
        process = start(arguments, killed)
        time.sleep(rng.uniform(EARLIEST, 1.0) * usual)
        process.send_signal(SIGNALS[life % len(SIGNALS)])
        _, said = process.communicate(timeout=300)
        ended.append(process.returncode)
        # Before a command begins, Python itself ends by the signal.
        ends = (130, 1, -signal.SIGINT)
        assert "Traceback" not in said or process.returncode in ends, said[-2000:]
        check_whole(killed)
        if process.returncode == 0:  # it was done: the next ones begin anew
            killed = tmp_path / f"killed_{life}"
    finish(arguments, killed)
    assert contents(killed) == contents(whole)
    assert not list(killed.glob(".*.tmp")), "what killed runs left half is gone"
    assert len([status for status in ended if status != 0]) >= KILLS[name] // 3, ended


def test_assembling_is_killed_at_any_moment(tmp_path: Path) -> None:
    """There is no model or a whole one; a later run writes what an undisturbed one does."""
    names, folder = ("generator", "encoder", "identity"), tmp_path / "parts"
    # In a process of its own: where JAX has started, later tests cannot fork.
    making = f"fabricate(pathlib.Path({str(folder)!r}), {names}, 32, NARROW)"
    subprocess.run([sys.executable, "-c", f"{FABRICATE}; {making}"], cwd=ROOT, check=True)
    named = [f"--{name}={folder / name}" for name in names]
    arguments = ["tools.assemble_swapper", *named, "--mask=ellipse"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    usual, rng = finish(arguments, whole), np.random.default_rng(27)
    for life in range(ASSEMBLED):
        process = start(arguments, killed)
        time.sleep(rng.uniform(EARLIEST, 1.0) * usual)
        process.send_signal(SIGNALS[life % len(SIGNALS)])
        process.communicate(timeout=300)
        if killed.exists():
            read_model(killed)
    finish(arguments, killed)
    assert (killed / WEIGHTS_FILE).read_bytes() == (whole / WEIGHTS_FILE).read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def limited(kind: int, limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (limit, limit))


SCARCE: dict[str, dict[str, Any]] = {
    "room for files of 200 bytes": {"preexec_fn": limited(resource.RLIMIT_FSIZE, 200)},
    "32 open files": {"preexec_fn": limited(resource.RLIMIT_NOFILE, 32)},
    "1 GiB of addresses": {"preexec_fn": limited(resource.RLIMIT_AS, 2**30)},
}


@pytest.mark.parametrize("lack", SCARCE)
def test_where_something_is_scarce(lack: str, tmp_path: Path) -> None:
    arguments, output = photos(tmp_path), tmp_path / "out"
    process = start(arguments, output, **SCARCE[lack])
    _, said = process.communicate(timeout=300)
    assert process.returncode != 0 or lack == "32 open files", said[-2000:]
    check_whole(output)
    finish(arguments, output)
    finish(arguments, tmp_path / "whole")
    assert contents(output) == contents(tmp_path / "whole")


@pytest.mark.parametrize("lack", ["HOME", "stdout", "a reader"])
def test_what_a_run_does_without(lack: str, tmp_path: Path) -> None:
    arguments, output = photos(tmp_path), tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    given: dict[str, Any] = {}
    if lack == "HOME":
        environment.pop("HOME", None)
    if lack == "stdout":
        given = {"preexec_fn": lambda: os.close(1)}
    process = start(arguments, output, env=environment, **given)
    if lack == "a reader":
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said[-2000:]
    assert len(list(output.glob("*.png"))) == 24
