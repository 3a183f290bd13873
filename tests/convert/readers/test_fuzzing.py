import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkpoints.fuzz import convert_mutants, sound_files

ROOT = Path(__file__).parents[3]
MANY = 20_000


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    (tmp_path / "mutants").mkdir()
    files = sound_files(tmp_path / "sound")
    assert 0 < convert_mutants(files, tmp_path / "mutants", 60) < 60


@pytest.mark.slow
@pytest.mark.endurance
def test_many_damaged_files() -> None:
    """In a process of its own, where no annotation is checked at every call."""
    command = [sys.executable, "-m", "tests.support.checkpoints.fuzz", str(MANY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 < int(done.stdout) < MANY
