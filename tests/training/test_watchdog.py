"""A step that never ends in a run of several processes ends the run, and says who is late."""

import threading
from typing import Any

import jax
import pytest

from alrl_jax.training import watchdog
from alrl_jax.training.watchdog import Watchdog, explain


class Client:
    """What the processes have said."""

    def __init__(self, **steps: str) -> None:
        self.said = {f"alrl_jax/steps/{name.removeprefix('p')}": s for name, s in steps.items()}

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        assert allow_overwrite
        self.said[key] = value

    def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]:
        return [pair for pair in self.said.items() if pair[0].startswith(prefix)]


@pytest.mark.parametrize("late", [True, False])
def test_who_is_late_is_named(
    late: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client: Any = Client(p1="7", p2="6" if late else "7")
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(watchdog, "_client", lambda: client)
    ended, statuses = threading.Event(), []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    with Watchdog(0.2, 0.05, end) as watch:
        with watch.watching(6):
            pass  # what ends is let be
        with watch.watching(7):
            watch.rest()
            assert not ended.wait(0.4), "compiling does not count"
            watch.go_on()
            assert ended.wait(20)
    assert statuses == [1] and client.said["alrl_jax/steps/0"] == "7"
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: step 8 has not ended for 0 s: ")
    assert ("process 2 did not come so far" in error) == late
    assert ("the network between them is stuck" in error) != late


def test_processes_that_say_nothing_are_late() -> None:
    assert "processes 0, 2 did not come so far" in explain(3, {1: 3}, 3, 10.0)


def test_one_process_is_not_watched() -> None:
    before = threading.active_count()
    with Watchdog(0.01, 0.01) as watch, watch.watching(1):
        assert threading.active_count() == before
