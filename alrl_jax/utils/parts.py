"""Work that several processes share without waiting for each other, and what they leave.

Each process takes every ``count``-th piece. What it makes for the first one to put together lies in
a folder of its own beside the results, which it holds as long as it lives (``locks``), so that the
first one knows whether to wait. Who dies leaves the others be; what it did not do is done by the
next start, whatever number of processes that has.
"""

import contextlib
import dataclasses
import itertools
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from alrl_jax.errors import UserError
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.files import remove, write_json
from alrl_jax.utils.locks import is_held, locked
from alrl_jax.utils.printing import say
from alrl_jax.utils.waiting import named_processes

T = TypeVar("T")

PREFIX = ".part-"
WAITING = ".waits-"
"""How the file of a process begins that waits for others to come."""
DONE = "done.json"
SECONDS_TO_BEGIN = 300.0
"""A process that has met the others is given to open its folder."""
POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Share:
    """Which of several processes this one is.

    Attributes:
        index: number of the process, from 0.
        count: how many there are.
        run: the same word for all processes of a run, another one for every run.
    """

    index: int = 0
    count: int = 1
    run: str = ""

    def of(self, items: Iterable[T]) -> Iterator[T]:
        """Those of some pieces of work that are this process's."""
        return itertools.islice(items, self.index, None, self.count)

    @property
    def is_first(self) -> bool:
        """Whether it puts together what all make."""
        return self.index == 0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.count == 1


ALONE = Share()
"""One process does it all."""


class Part:
    """What one process of a run makes; use it as a context manager, which holds the folder.

    Args:
        directory: of the results; exists.
        share: of this process.
        called: what the user knows the directory as, such as a flag.
    """

    def __init__(self, directory: Path, share: Share, called: str = "--output") -> None:
        self._directory, self._share, self._called = directory, share, called
        self.folder = part_folder(directory, share, share.index)
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "Part":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(locked(self.folder, self._called))
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder."""
        self._held.close()

    def finish(self, facts: dict[str, Any]) -> None:
        """Says that all of this process's pieces are done."""
        write_json(self.folder / DONE, facts)


def part_folder(directory: Path, share: Share, index: int) -> Path:
    """Where a process of a run leaves what it makes."""
    return directory / f"{PREFIX}{share.run}-{index:04d}"


def check_no_others(directory: Path, share: Share, called: str = "--output") -> None:
    """Removes what earlier runs left in a directory that this process holds.

    Raises:
        UserError: a process of such a run is still at work, though the one that held it is gone.
    """
    for folder in _part_folders(directory):
        if folder.name.startswith(f"{PREFIX}{share.run}-") and not share.alone:
            continue
        if is_held(folder):
            raise UserError(
                f"got {called}={directory}, in which process {int(folder.name[-4:])} of an earlier "
                "run is at work; expected one run at a time; wait for it to end, or end it"
            )
        shutil.rmtree(folder, ignore_errors=True)
        remove(folder)


def _part_folders(directory: Path) -> list[Path]:
    names = (
        buckets.names_in(directory)
        if address_of(directory) is not None
        else {path.name for path in directory.iterdir()}
    )
    return [directory / name for name in sorted(names) if is_part(name)]


def is_part(name: str) -> bool:
    """Whether a name is one that ``part_folder`` gives."""
    return name.startswith(PREFIX) and name[-4:].isdecimal()


def is_of_processes(name: str) -> bool:
    """Whether a name is one that processes leave only while they work together."""
    return is_part(name) or name.startswith(WAITING)


def wait_for_parts(directory: Path, share: Share) -> tuple[list[Path], list[int]]:
    """Waits until every other process is done or gone.

    Args:
        directory: of the results.
        share: that of the first process.

    Returns:
        The folders of all processes that left one, in their order, and the numbers of those that
        did not come to an end.
    """
    begin, waiting, lost = time.monotonic(), list(range(1, share.count)), []
    if waiting:
        say(f"done; waiting for {named_processes(waiting)}")
    while waiting:
        for index in list(waiting):
            folder = part_folder(directory, share, index)
            begun = _exists(folder)
            if begun and _exists(folder / DONE):
                waiting.remove(index)
            # Looked at again: it may have come to its end between the two.
            elif begun and not is_held(folder) and not _exists(folder / DONE):
                waiting.remove(index)
                lost.append(index)
            elif not begun and time.monotonic() - begin > SECONDS_TO_BEGIN:
                waiting.remove(index)
                lost.append(index)
        if waiting:
            time.sleep(POLL_SECONDS)
    folders = [part_folder(directory, share, index) for index in range(share.count)]
    for folder in folders[1:]:
        buckets.pull(folder)
    return [folder for folder in folders if folder.is_dir()], lost


def remove_parts(folders: Sequence[Path]) -> None:
    """Removes what was put together."""
    for folder in folders:
        remove(folder)


def explain_lost(lost: Sequence[int]) -> str:
    """One line about processes that did not come to their end; empty where all did."""
    if not lost:
        return ""
    return (
        f"{named_processes(lost)} ended before their share was done: start again, and what is done "
        "will be skipped"
    )


def _exists(path: Path) -> bool:
    if address_of(path) is not None:
        return bool(buckets.listing(path))
    return path.exists()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; the last one, where it was not written whole, is left
    out, as is a file that is not there."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found = []
    for line in filter(None, lines):
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found
