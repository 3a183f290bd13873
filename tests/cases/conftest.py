"""What the cases share."""

from pathlib import Path

import pytest

from tests.cases.running import Command


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs commands in a folder of the test."""
    return Command(tmp_path, monkeypatch, capsys)
