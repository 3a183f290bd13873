"""Weight files of others, at the command line: exit status, line and outcome."""

from pathlib import Path

import numpy as np
import pytest

from alrl_jax.commands import convert_weights
from tests.support.checkpoints.torch_writer import save_torch
from tests.support.commands import run_command


def _truncated(path: Path) -> None:
    save_torch(path, {"weight": np.zeros((64, 64), np.float32)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_the_readers_own_message_reaches_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a download is called one: no handler on the way makes something vaguer of it."""
    source, output = tmp_path / "g.pt", tmp_path / "model"
    _truncated(source)
    arguments = (f"--source={source}", "--kind=generator", f"--output={output}")
    status, _ = run_command(monkeypatch, convert_weights, *arguments)
    assert status == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "a damaged zip archive" in said[0] and "download it" in said[0]
    assert not output.exists()
