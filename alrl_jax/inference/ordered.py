"""Work done side by side whose results come in order, a bounded way ahead of who takes them."""

import collections
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered(
    work: Callable[[T], R],
    items: Iterable[T],
    pool: Executor,
    ahead: int,
    weigh: Callable[[T], int] = lambda _: 0,
    most: int = sys.maxsize,
) -> Iterator[R]:
    """Results of ``work``, in the order of the items.

    Items are taken when a result is asked for, in the thread that asks. Under way are those whose
    results have not been given: never more than ``ahead`` of them, nor so many that they weigh more
    than ``most`` together; one that weighs more by itself is under way alone. An error of ``work``
    is raised when its turn comes. Closing the iterator cancels what has not begun.

    Args:
        work: what to do with an item, in a thread of the pool.
        items: taken one by one; may have no end.
        pool: where the work is done.
        ahead: how many items may be under way; at least one is.
        weigh: weight of an item, from when it is begun until its result has been given and the next
            one is asked for; called in the thread that asks.
        most: that all items under way may weigh.
    """
    waiting: collections.deque[Future[R]] = collections.deque()
    weights: collections.deque[int] = collections.deque()
    weighed, more = ((item, weigh(item)) for item in items), True
    following: tuple[T, int] | None = None  # taken, but not begun: too heavy just now
    try:
        while True:
            while more and len(waiting) < max(1, ahead):
                following = following or next(weighed, None)
                more = following is not None
                if following is None or (waiting and sum(weights) + following[1] > most):
                    break
                weights.append(following[1])
                waiting.append(pool.submit(work, following[0]))
                following = None
            if not waiting:
                return
            yield waiting.popleft().result()
            weights.popleft()
    finally:
        for future in waiting:
            future.cancel()
