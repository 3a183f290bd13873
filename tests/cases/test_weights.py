"""Weight files of others, at the command line: exit status, line and outcome."""

from pathlib import Path

import numpy as np
import pytest

from alrl_jax.commands import convert_weights
from alrl_jax.convert.readers import inert_pickle
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


MAKE_SET = b"c__builtin__\nset\nh\0\x85R"
TEXT = b"X" + (2**17).to_bytes(4, "little") + b"a" * 2**17 + b"q\0"
ENCODE = b"c_codecs\nencode\nh\0X\x06\0\0\0latin1\x86R"
NUMBERS = b"".join(b"J" + number.to_bytes(4, "little") for number in range(2000))
BOMBS = {
    "sets of one list": b"(]q\0(" + NUMBERS + b"e" + MAKE_SET * 30 + b"l.",
    "one text, encoded": b"(" + TEXT + ENCODE * 60 + b"l.",
    "empty sets": b"(" + b"\x8f" * 20_000 + b"l.",
}
"""Pickles that make some megabytes; with what any file may make, longer ones make gigabytes."""


@pytest.mark.parametrize("name", BOMBS)
def test_kilobytes_do_not_become_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """What a pickle makes is counted in bytes, not in instructions alone."""
    monkeypatch.setattr(inert_pickle, "FREE_BYTES", 2**20)
    source, output = tmp_path / "g.pkl", tmp_path / "model"
    source.write_bytes(b"\x80\x02" + BOMBS[name])
    arguments = (f"--source={source}", "--kind=generator", f"--output={output}")
    status, _ = run_command(monkeypatch, convert_weights, *arguments)
    assert status == 2
    assert "it makes far more than it holds" in capsys.readouterr().err
