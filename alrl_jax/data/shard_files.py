"""One file of a data set: how it is written so that a killed process leaves nothing half done.

Every file gets its name only when it is whole. Records that could not be made are left out; which,
and why, stands beside the shard in ``NAME.faults.json`` until the data set is complete.
"""

import collections
import contextlib
import dataclasses
import errno
import json
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_record.python import (
    array_record_module,  # pyright: ignore[reportAttributeAccessIssue]  (a binary module)
)
from tqdm import tqdm

from alrl_jax.utils.files import atomic_write, remove, write_json

WRITER_OPTIONS = "group_size:1,zstd:1"  # groups of one record: random access reads no neighbours


class Fault(NamedTuple):
    """What was wrong with a file; ``record`` is the number that is left out, or None."""

    name: str
    reason: str
    record: int | None = None


Made = np.ndarray | tuple[np.ndarray, Sequence[Fault]]
"""Structured records, and why some of those that were asked for are not among them."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A shard to be written: the records start..stop of a data set.

    Attributes:
        path: name of the file.
        make: returns records by their numbers; a pure function.
        start: first record.
        stop: first record that is no longer in it.
        chunk_size: greatest number of records in a call of ``make``.
        threads: calls that run at once.
    """

    path: Path
    make: Callable[[int, int], Made]
    start: int
    stop: int
    chunk_size: int
    threads: int

    @property
    def faults(self) -> list[Fault]:
        """What was wrong when the shard was written; nothing before."""
        path = faults_path(self.path)
        if not path.is_file():
            return []
        return [Fault(*entry) for entry in json.loads(path.read_text(encoding="utf-8"))["faults"]]

    @property
    def length(self) -> int:
        """Records that are to be in the shard, as far as is known."""
        return self.stop - self.start - sum(f.record is not None for f in self.faults)

    def is_done(self) -> bool:
        """Whether the shard is there, and whole."""
        try:
            return _shard_length(self.path) == self.length
        except (OSError, ValueError, KeyError, TypeError):  # a broken table of faults
            return False


def write_shard(job: Job, advance: Callable[[int], Any]) -> None:
    """Writes a shard and reports to ``advance`` how many records are done.

    Raises:
        OSError: the file cannot be written.
    """
    faults: list[Fault] = []
    with (
        atomic_write(job.path, durable=True) as path,
        contextlib.closing(_chunks(job)) as chunks,
    ):
        writer = array_record_module.ArrayRecordWriter(str(path), WRITER_OPTIONS)
        for made, asked in chunks:
            records, wrong = made if isinstance(made, tuple) else (made, ())
            for record in records:
                _in_os_terms(path, writer.write, record.tobytes())
            faults += wrong
            advance(asked)
        _in_os_terms(path, writer.close)
        if faults:
            write_json(faults_path(job.path), {"faults": faults}, durable=True)
        else:
            remove(faults_path(job.path))


def forget_faults(directory: Path) -> None:
    """Removes the tables of faults of a data set that is complete, and says them itself."""
    for path in directory.glob(f"*{FAULTS_SUFFIX}"):
        remove(path)


FAULTS_SUFFIX = ".faults.json"


def faults_path(shard: Path) -> Path:
    """Where the faults of a shard stand."""
    return shard.with_suffix(FAULTS_SUFFIX)


def _in_os_terms(path: Path, call: Callable[..., Any], *arguments: Any) -> None:
    """Calls a writer, whose RuntimeError says "disk full" and the like."""
    try:
        call(*arguments)
    except RuntimeError as error:
        raise OSError(errno.EIO, str(error).split(";")[0], str(path)) from error


def _chunks(job: Job) -> Generator[tuple[Made, int], None, None]:
    """Yields the records of a job in order and how many were asked for, few chunks ahead."""
    with futures.ThreadPoolExecutor(job.threads, thread_name_prefix="prepare") as pool:
        pending: collections.deque[tuple[futures.Future[Made], int]] = collections.deque()
        for first in range(job.start, job.stop, job.chunk_size):
            last = min(first + job.chunk_size, job.stop)
            pending.append((pool.submit(job.make, first, last), last - first))
            if len(pending) > job.threads:
                made, asked = pending.popleft()
                yield made.result(), asked
        while pending:
            made, asked = pending.popleft()
            yield made.result(), asked


def _shard_length(path: Path) -> int:
    """Number of records in a file, -1 where there is no readable one."""
    if not path.is_file():
        return -1
    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        length = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError):
        return -1
    return length


def progress_bar(total: int, title: str, enabled: bool = True) -> tqdm:
    """A bar on standard error; it repeats itself slowly where no terminal shows it."""
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total,
        desc=title,
        unit=" images",
        mininterval=interval,
        dynamic_ncols=True,
        disable=not enabled,
    )
