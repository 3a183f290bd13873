"""What ends training before its last step: a signal, or the clock."""

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

POLL_SECONDS = 0.2


class StoppedCompiling(Exception):
    """A signal came while a program compiled, which goes on in a thread of its own."""


class StopRequest:
    """Turns SIGTERM and SIGINT into a wish that the loop reads between steps.

    The second SIGINT acts as if this did not exist, so that a hung program can be interrupted.
    SIGTERM stays a wish however often it comes: schedulers send it twice, and the last save must
    not die of that; SIGKILL is what ends a hung job.
    """

    def __init__(self) -> None:
        self._received = False
        self._asked = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        self._listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """Lets signals act as if this did not exist: for what is long and has nothing to save."""
        self._restore()
        try:
            yield
        finally:
            self._listen()

    def while_waiting(self, call: Callable[[], Any]) -> Any:
        """What a long call of a library returns that hears no signals itself, such as a compiler.

        Of several processes the runtime hears the signals, and all stop after the next step.

        Raises:
            StoppedCompiling: if a signal comes first.
        """
        if jax.process_count() > 1:
            return call()
        results: list[Any] = []
        thread = threading.Thread(target=_collect, args=(call, results), daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if self._received and thread.is_alive():
                _LEFT.append(thread)
                raise StoppedCompiling
        (result,) = results
        if isinstance(result, BaseException):
            raise result
        return result

    def wanted(self) -> bool:
        """Whether to stop now; all processes have to ask equally often, and get the same answer."""
        self._asked += 1
        if jax.process_count() > 1:
            # Processes agree on one number, which has to come: steps go by several at a time.
            return bool(multihost_utils.reached_preemption_sync_point(self._asked))
        return self._received

    def _listen(self) -> None:
        # With several processes the runtime listens for SIGTERM and makes them agree on a step.
        numbers = () if jax.process_count() > 1 else (signal.SIGTERM, signal.SIGINT)
        self._previous = {n: signal.signal(n, self._receive) for n in numbers}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        if number == signal.SIGINT:
            signal.signal(number, self._previous[number])

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


_LEFT: list[threading.Thread] = []


def _collect(call: Callable[[], Any], results: list[Any]) -> None:
    """Puts what a call returns, or raises, into a list."""
    try:
        results.append(call())
    except BaseException as error:
        results.append(error)


def end_if_compiling() -> None:
    """Ends the process with status 0 if a program still compiles that no step waits for.

    An interpreter that ends by itself would take libraries apart under the compiler's feet.
    """
    if any(thread.is_alive() for thread in _LEFT):
        logging.flush()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class Clock:
    """Says when the minutes of this start are over; they begin where it is made.

    Attributes:
        ended: whether training has ended for it.
    """

    def __init__(self, minutes: float = 0.0) -> None:
        """Starts it; 0 minutes are no limit."""
        self._end = time.monotonic() + 60.0 * minutes if minutes else math.inf
        self.ended = False

    def is_up(self, at_line: bool) -> bool:
        """Whether to end now; all processes get the same answer.

        Args:
            at_line: whether a line of the log was just written. Several processes compare their
                clocks there alone, as the devices have nothing left to do then.
        """
        if self._end == math.inf:
            return False
        several = jax.process_count() > 1
        if not several or at_line:
            up = np.array(time.monotonic() >= self._end)
            self.ended = bool(multihost_utils.broadcast_one_to_all(up) if several else up)
        return self.ended
