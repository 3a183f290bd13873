"""Processes that do not come to the meeting are named by those that wait."""

import threading
from pathlib import Path

import pytest

from alrl_jax.training.arrivals import Arrivals, explain
from alrl_jax.utils.parts import WAITING


@pytest.mark.parametrize("place", ["run", None])
def test_who_does_not_come_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str | None
) -> None:
    folder = None if place is None else tmp_path / place
    ended, statuses = threading.Event(), []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    with (
        Arrivals(folder, "--distributed=slurm", lambda: (0, 4), 3.0, 0.1, end),
        Arrivals(folder, "--distributed=slurm", lambda: (2, 4), 60.0, 0.1, end),
    ):
        assert ended.wait(30)
    error = capsys.readouterr().err
    named = "processes 1, 3 did not come" if place else "it is not known who"
    assert statuses == [2] and named in error
    assert error.startswith("error: got --distributed=slurm, but within 3 s ")
    assert folder is None or not list(folder.iterdir())


def test_who_meets_at_once_leaves_nothing(tmp_path: Path) -> None:
    with Arrivals(tmp_path / "run", "--distributed=auto", lambda: None, 60.0):
        pass
    assert not list(tmp_path.iterdir())


def test_files_of_earlier_meetings_do_not_count(tmp_path: Path) -> None:
    (tmp_path / f"{WAITING}0001").write_text("1000.0")
    arrivals = Arrivals(tmp_path, "--distributed=auto", lambda: (0, 2), 60.0)
    assert arrivals._came() == set()
    assert "it is not known who" in explain("x", None, set(), 1.0)
