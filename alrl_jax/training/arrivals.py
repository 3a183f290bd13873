"""Who has come to a meeting of processes, so that those that do not come are named.

JAX's coordinator waits for all and then ends the process with a trace that names nobody. So whoever
waits for long leaves a file where all of them work, and reads those of the others at the end.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.files import remove, write_text
from alrl_jax.utils.parts import WAITING
from alrl_jax.utils.printing import say
from alrl_jax.utils.waiting import named_processes

QUIET = 10.0
"""Seconds of waiting after which a process leaves its file: most meet before."""


class Arrivals:
    """Watches a meeting; use it as a context manager that lasts until all have met.

    Args:
        place: a directory that all see, the work directory or that of the results; it may be
            missing. None where there is none: then it is not known who has come.
        asked: the flag that said where to meet, for the message.
        numbers: this process's number and how many there are, as soon as that is known; else None.
        seconds: how long to wait.
        quiet: see ``QUIET``.
        end: what ends the process, with its exit status.
    """

    def __init__(
        self,
        place: Path | None,
        asked: str,
        numbers: Callable[[], tuple[int, int] | None],
        seconds: float,
        quiet: float = QUIET,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self._place, self._asked, self._numbers = place or Path(), asked, numbers
        self._has_place = place is not None
        self._seconds, self._quiet, self._end = seconds, quiet, end
        self._began = time.time()
        self._met = threading.Event()
        self._file: Path | None = None

    def __enter__(self) -> "Arrivals":
        threading.Thread(target=self._wait, daemon=True, name="arrivals").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._met.set()
        known = self._numbers()
        with contextlib.suppress(OSError, UserError):
            if self._file is not None:
                remove(self._file)
            if known is not None and known[0] == 0:  # what earlier meetings left
                for name in self._names():
                    remove(self._place / name)

    def _wait(self) -> None:
        begin, self._began = time.monotonic(), time.time()
        if self._met.wait(min(self._quiet, self._seconds)):
            return
        known = self._numbers()
        with contextlib.suppress(OSError, UserError):
            if self._has_place and known is not None:
                self._place.mkdir(parents=True, exist_ok=True)
                self._file = self._place / f"{WAITING}{known[0]:04d}"
                write_text(self._file, str(time.time()))
        if self._met.wait(max(0.0, begin + self._seconds - time.monotonic())):
            return
        came: set[int] = set()
        with contextlib.suppress(OSError, UserError, ValueError):
            came = self._came()
        # Its file stays: others end at about the same time, and have to read it.
        say(f"error: {explain(self._asked, self._numbers(), came, self._seconds)}", sys.stderr)
        self._end(2)

    def _came(self) -> set[int]:
        """Numbers of those whose file is of this meeting."""
        found = set()
        for name in self._names():
            path = self._place / name
            text = buckets.read_bytes(path) if address_of(path) else path.read_bytes()
            # Those of an earlier meeting were written before it failed.
            if float(text or b"0") > self._began - self._seconds + 2 * self._quiet:
                found.add(int(name.removeprefix(WAITING)))
        return found

    def _names(self) -> list[str]:
        """Names of the files of those that wait, or waited."""
        local = address_of(self._place) is None
        if not self._has_place or (local and not self._place.is_dir()):
            return []
        names = os.listdir(self._place) if local else buckets.names_in(self._place)
        return [n for n in names if n.startswith(WAITING) and n[len(WAITING) :].isdecimal()]


def explain(asked: str, known: tuple[int, int] | None, came: set[int], seconds: float) -> str:
    """One line about a meeting to which not all came.

    Args:
        asked: the flag that said where to meet.
        known: this process's number, and how many were to come.
        came: those that are known to have come.
        seconds: that it was waited for.
    """
    late = [] if known is None or not came else [i for i in range(known[1]) if i not in came]
    who = f"{named_processes(late)} did not come" if late else "not all came, it is not known who"
    return (
        f"got {asked}, but within {seconds:.0f} s {who}; expected all processes, and one "
        "coordinator that all can reach; look at their logs and start again"
    )
