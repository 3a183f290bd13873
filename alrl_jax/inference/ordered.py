"""Work done side by side whose results come in order, a bounded way ahead of who takes them."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered(
    work: Callable[[T], R], items: Iterable[T], pool: Executor, ahead: Callable[[], int]
) -> Iterator[R]:
    """Results of ``work``, in the order of the items.

    Items are taken when a result is asked for, in the thread that asks; never are more than
    ``ahead()`` of them taken whose results have not been given. An error of ``work`` is raised when
    its turn comes. Closing the iterator cancels what has not begun.

    Args:
        work: what to do with an item, in a thread of the pool.
        items: taken one by one; may have no end.
        pool: where the work is done.
        ahead: how many items may be under way just now; at least one is.
    """
    waiting: collections.deque[Future[R]] = collections.deque()
    source, more = iter(items), True
    try:
        while more or waiting:
            while more and len(waiting) < max(1, ahead()):
                try:
                    waiting.append(pool.submit(work, next(source)))
                except StopIteration:
                    more = False
            if waiting:
                yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
