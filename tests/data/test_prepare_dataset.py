"""The command that writes data sets, as a user runs it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alrl_jax.data.decode import read_image
from alrl_jax.data.sources import open_source
from tests.data import images

RunCli = Callable[..., subprocess.CompletedProcess[str]]


def test_photographs(tmp_path: Path, run_cli: RunCli) -> None:
    photos = tmp_path / "photos" / "somebody"
    images.write_zoo(photos)
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"a name that is no UTF-8")
    arguments = (f"--source={tmp_path / 'photos'}", f"--output={tmp_path / 'out'}")
    done = run_cli("tools.prepare_dataset", *arguments, "--resolution=16", "--identities=folder")
    assert done.returncode == 0, done.stderr
    good = images.READABLE | images.OTHER_READABLE
    assert f"{len(good)} images of 1 people" in done.stdout
    assert f"{len(images.BROKEN) + 1} files skipped" in done.stdout
    for name in images.BROKEN:
        assert f"skipped somebody/{name}: " in done.stdout
    source = open_source("prepared", tmp_path / "out", 16)
    assert len(source) == len(good) and len(source.report) == len(images.BROKEN) + 1
    first = read_image(photos / sorted(good)[0], 16)
    np.testing.assert_array_equal(source[0]["image"], first)
    again = run_cli("tools.prepare_dataset", *arguments, "--resolution=32")
    assert again.returncode == 2 and "resolution=32 where it has 16" in again.stderr


def test_synthetic(tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(
        "tools.prepare_dataset",
        "--source=synthetic",
        f"--output={tmp_path / 'out'}",
        "--resolution=16",
        "--num_identities=2",
        "--images_per_identity=2",
    )
    assert done.returncode == 0, done.stderr
    assert "4 images of 2 people at 16 pixels" in done.stdout
    assert "preparing" in done.stderr and "4/4" in done.stderr
    assert open_source("prepared", tmp_path / "out", 16)[3]["labelled"]


def test_mistakes(tmp_path: Path, run_cli: RunCli) -> None:
    output = f"--output={tmp_path / 'out'}"
    for arguments in ((f"--source={tmp_path}", output), ("--source=synthetic",)):
        done = run_cli("tools.prepare_dataset", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
