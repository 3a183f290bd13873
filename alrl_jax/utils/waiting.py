"""Calls of libraries that may never come back, bounded in time."""

import queue
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

_hung = threading.Event()


def note_hung() -> None:
    """Notes that threads of libraries may wait on, for which the end of a program must not wait."""
    _hung.set()


def has_hung() -> bool:
    """Whether ``note_hung`` was called, as it is where ``within`` gives a call up."""
    return _hung.is_set()


def within(call: Callable[[], T], seconds: float) -> T:
    """What a call returns, or raises; TimeoutError where it does neither for so long.

    It goes on in a thread then that nothing waits for.
    """
    results: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    threading.Thread(target=_collect, args=(call, results), daemon=True, name="bounded").start()
    try:
        done, result = results.get(timeout=seconds)
    except queue.Empty:
        note_hung()
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if not done:
        raise result
    return result


def _collect(call: Callable[[], Any], results: "queue.SimpleQueue[tuple[bool, Any]]") -> None:
    """Hands over what a call returns, or raises."""
    try:
        results.put((True, call()))
    except BaseException as error:
        results.put((False, error))


def late_processes(error: BaseException) -> list[int]:
    """Numbers of the processes that JAX's coordinator waited for, as its error names them."""
    _, _, named = str(error).partition("timed out task names")
    return sorted({int(number) for number in re.findall(r"task:(\d+)", named)})


def named_processes(numbers: Sequence[int]) -> str:
    """Processes in words, such as ``processes 1, 2``."""
    return f"process{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
