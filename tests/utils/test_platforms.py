"""Machines without builds get one line, in place of an import error."""

import importlib.util
import sys
from typing import Any

import pytest

from alrl_jax.utils import platforms


def _without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    known: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in names else known(name)
    )


@pytest.mark.parametrize(
    ("system", "machine", "remedy"),
    [("Windows", "AMD64", "WSL 2"), ("Darwin", "x86_64", "Linux machine or container")],
)
def test_a_machine_without_builds_gets_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    system: str,
    machine: str,
    remedy: str,
) -> None:
    assert platforms.line_about(system, machine) is None, "the packages are here"
    _without(monkeypatch, "array_record")
    monkeypatch.setattr(platforms.platform, "system", lambda: system)
    monkeypatch.setattr(platforms.platform, "machine", lambda: machine)
    with pytest.raises(ImportError, match=remedy):
        platforms.check_platform()
    for program in ("-m", "/usr/bin/alrl", "C:\\alrl.exe", "alrl_jax/utils/platforms.py"):
        monkeypatch.setattr(sys, "argv", [program.replace("C:\\", "")])
        with pytest.raises(SystemExit) as end:
            platforms.check_platform()
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.count("\n") == 1 and remedy in said


@pytest.mark.parametrize(
    "machine", [("Linux", "x86_64"), ("Darwin", "arm64"), ("Linux", "aarch64")]
)
def test_other_machines_are_let_through(
    monkeypatch: pytest.MonkeyPatch, machine: tuple[str, str]
) -> None:
    _without(monkeypatch, "array_record", "jaxlib")
    assert platforms.line_about(*machine) is None
