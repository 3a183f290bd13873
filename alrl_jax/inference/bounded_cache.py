"""A small cache for threads: each value is made once, and the least recently used one goes."""

import collections
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """At most ``most`` values by key.

    Who asks for a value that another thread is making waits for it. An error is raised to all who
    wait, and is not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: collections.OrderedDict[Hashable, Future[V]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Values that are kept or being made."""
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        """Whether the value of a key is kept or being made."""
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made where it is not there."""
        with self._lock:
            future = self._values.pop(key, None)
            missing = future is None
            if future is None:
                future = Future()
            self._values[key] = future  # the last one: used just now
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        if missing:
            self._fill(key, future, make)
        return future.result()

    def _fill(self, key: Hashable, future: Future[V], make: Callable[[], V]) -> None:
        try:
            future.set_result(make())
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is future:
                    del self._values[key]
            future.set_exception(error)
