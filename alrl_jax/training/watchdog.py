"""Ends a run of several processes in which a step never ends, with a line that says who is late.

A process that dies is noticed by JAX, whose coordinator misses its heartbeat. One that lives and
does not come, or a network between devices that is stuck, would be waited for without end: a
collective has no limit of its own.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from alrl_jax.utils.printing import say
from alrl_jax.utils.waiting import named_processes

SECONDS = 1800.0
"""A step is given, compiling not counted."""
EVERY = 15.0
"""Seconds between two looks."""
_PREFIX = "alrl_jax/steps"


class Watchdog:
    """Watches calls of the devices in a thread; use it as a context manager.

    Args:
        seconds: that a call is given.
        every: seconds between two looks.
        end: what ends the process, with its exit status.
    """

    def __init__(
        self, seconds: float = SECONDS, every: float = EVERY, end: Callable[[int], Any] = os._exit
    ) -> None:
        self._seconds, self._every, self._end = seconds, every, end
        self._step, self._begun, self._inside = 0, 0.0, False
        self._stop = threading.Event()

    def __enter__(self) -> "Watchdog":
        if jax.process_count() > 1:
            threading.Thread(target=self._watch, daemon=True, name="watchdog").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()

    @contextlib.contextmanager
    def watching(self, step: int) -> Iterator[None]:
        """Watches while the context lasts.

        Args:
            step: finished updates.
        """
        self._step, self._begun, self._inside = step, time.monotonic(), True
        try:
            yield
        finally:
            self._begun, self._inside = 0.0, False

    def rest(self) -> None:
        """Looks away until ``go_on``: while a program compiles."""
        self._begun = 0.0

    def go_on(self) -> None:
        """Watches from now on, within ``watching``."""
        if self._inside:
            self._begun = time.monotonic()

    def _watch(self) -> None:
        client = _client()
        own = f"{_PREFIX}/{jax.process_index()}"
        while not self._stop.wait(self._every):
            with contextlib.suppress(Exception):  # the coordinator is gone: JAX ends the process
                client.key_value_set(own, str(self._step), allow_overwrite=True)
            begun = self._begun
            if begun and time.monotonic() - begun > self._seconds:
                steps: Mapping[int, int] = {}
                with contextlib.suppress(Exception):
                    found = client.key_value_dir_get(_PREFIX)
                    steps = {int(key.rpartition("/")[2]): int(step) for key, step in found}
                line = explain(self._step, steps, jax.process_count(), self._seconds)
                say(f"error: {line}", sys.stderr)
                self._end(1)
                return


def explain(step: int, steps: Mapping[int, int], count: int, seconds: float) -> str:
    """One line about a step that does not end.

    Args:
        step: finished updates of this process.
        steps: of the processes, as far as they say.
        count: number of processes.
        seconds: that it was waited for.
    """
    late = [i for i in range(count) if steps.get(i, -1) < step]
    who = (
        f"{named_processes(late)} did not come so far"
        if late
        else "all processes have come so far, so that a device or the network between them is stuck"
    )
    return (
        f"step {step + 1} has not ended for {seconds:.0f} s: {who}; expected all to go on "
        "together; look at their logs and start again: the newest checkpoint is good"
    )


def _client() -> Any:
    """The coordinator's client; what JAX makes public of it needs one barrier for each word."""
    from jax._src import distributed

    return distributed.global_state.client
