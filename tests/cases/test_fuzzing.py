"""Damaged files of every kind: a few of each here, many in ``make test-endurance``."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.fuzz import KINDS, read_mutants

FEW = {"video": 6, "model_json": 25, "safetensors": 25, "onnx": 20}
MANY = {"video": 500, "model_json": 5000, "safetensors": 5000, "onnx": 5000}
SEED = 26


def _needs(kind: str) -> None:
    needed = {"video": "av", "onnx": "onnx"}
    if kind in needed:
        pytest.importorskip(needed[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_some_damaged_files(kind: str, tmp_path: Path) -> None:
    _needs(kind)
    read_mutants(kind, FEW.get(kind, 60), SEED, tmp_path)


@pytest.mark.slow
@pytest.mark.endurance
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(kind: str, tmp_path: Path) -> None:
    """In a process of its own, which a fault of a decoder may end."""
    _needs(kind)
    count = MANY.get(kind, 20_000)
    command = [sys.executable, "-m", "tests.support.fuzz", kind, str(count), str(SEED)]
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 <= int(done.stdout.splitlines()[-1]) < count
