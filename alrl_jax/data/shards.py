"""Data sets on disk: ArrayRecord shards, one description, one array of person numbers.

    DIRECTORY/dataset.json              written last: a directory that has it is complete
    DIRECTORY/identities.npy            int32 [n]
    DIRECTORY/faces-00000-of-00040.array_record
    DIRECTORY/.lock                     held by the process that prepares

Every file gets its name only when it is whole, so a killed preparation goes on with the shard that
it was writing. Records are pure functions of their number: who prepares them does not matter.
"""

import collections
import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from array_record.python import (
    array_record_data_source,
    array_record_module,  # pyright: ignore[reportAttributeAccessIssue]  (a binary module)
)
from jaxtyping import Int
from tqdm import tqdm

from alrl_jax.data.records import FORMAT_VERSION, Layout, to_dict
from alrl_jax.errors import UserError

DESCRIPTION = "dataset.json"
IDENTITIES = "identities.npy"
MAX_SHARDS = 500
WRITER_OPTIONS = "group_size:1,zstd:1"  # groups of one record: random access reads no neighbours


@dataclasses.dataclass(frozen=True)
class Plan:
    """A data set to be written.

    Attributes:
        parameters: JSON values that say what the records are; a directory serves one set of them.
        layout: fields of the records.
        identities: person number of every record.
        make: returns the records start..stop, structured; a pure function.
        report: file name and reason of everything that was left out.
        progress: whether to draw a progress bar.
        max_chunk_size: greatest number of records in a call of ``make``.
        chunks_per_shard: least number of calls that fill a file; what is lost when work stops.
    """

    parameters: Mapping[str, Any]
    layout: Layout
    identities: Int[np.ndarray, " n"]
    make: Callable[[int, int], np.ndarray]
    report: Sequence[tuple[str, str]] = ()
    progress: bool = True
    max_chunk_size: int = 64
    chunks_per_shard: int = 16

    @property
    def chunk_size(self) -> int:
        """Records in a call of ``make``: fewer where they are large."""
        return min(self.max_chunk_size, max(8, 2**22 // self.layout.resolution**2))

    @property
    def shard_size(self) -> int:
        """Records in a file: some chunks, and enough of them that all files can be open at once."""
        chunks = -(-len(self.identities) // self.chunk_size)
        return self.chunk_size * max(self.chunks_per_shard, -(-chunks // MAX_SHARDS))

    @property
    def num_shards(self) -> int:
        """Number of files."""
        return -(-len(self.identities) // self.shard_size)

    def shard_names(self) -> list[str]:
        """File names in the order of the records."""
        return [
            f"faces-{i:05d}-of-{self.num_shards:05d}.array_record" for i in range(self.num_shards)
        ]


class ShardSource:
    """Reads a prepared directory; see ``records.Source``."""

    def __init__(self, directory: Path, description: Mapping[str, Any]) -> None:
        """Opens the shards that the description names.

        Raises:
            UserError: a file is missing, broken or of another length than described.
        """
        self.directory = directory
        with _damage_is_the_users(directory):
            self.layout = Layout.from_json(description["layout"])
            self.parameters = dict(description["parameters"])
            self.report = [(name, reason) for name, reason in description["report"]]
            self.identities = np.load(directory / IDENTITIES, allow_pickle=False)
            paths = [str(directory / name) for name in description["shards"]]
            self._records = array_record_data_source.ArrayRecordDataSource(paths)
        if not len(self._records) == len(self.identities) == description["num_records"]:
            raise UserError(
                f"got {len(self._records)} records and {len(self.identities)} person numbers in "
                f"{directory}; expected {description['num_records']}; delete the directory and "
                "prepare it again"
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One record as a dictionary."""
        return to_dict(self.read(np.array([index]))[0], index)

    def read(self, indices: Int[np.ndarray, " b"]) -> np.ndarray:
        """The records of these images, structured, ``[b]``; the array may be written to.

        Raises:
            UserError: a record does not agree with its checksum.
        """
        # One by one: the library's batched call starts threads, which cost more than they save.
        with _damage_is_the_users(self.directory):
            data = bytearray().join(self._records[int(index)] for index in indices)
            return np.frombuffer(data, self.layout.dtype)


def read_description(directory: Path) -> dict[str, Any] | None:
    """Returns the description of a complete data set, None where there is none.

    Raises:
        UserError: the description is damaged or of another format.
    """
    path = directory / DESCRIPTION
    if not path.is_file():
        return None
    with _damage_is_the_users(directory):
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT_VERSION:
            raise UserError(
                f"got a data set of format {description['format']} in {directory}; "
                f"expected {FORMAT_VERSION}; prepare it again with tools.prepare_dataset"
            )
        return description


def open_shards(directory: Path) -> ShardSource:
    """Opens a complete data set.

    Raises:
        UserError: there is none, or it is damaged.
    """
    description = read_description(directory)
    if description is None:
        raise UserError(
            f"got {directory}, which has no {DESCRIPTION}; expected a prepared data set; "
            "prepare one with tools.prepare_dataset, or let it finish"
        )
    return ShardSource(directory, description)


def prepare(directory: Path, plan: Plan) -> ShardSource:
    """Writes the data set unless it is there, and opens it.

    One process prepares, others wait for it; what a killed process left is used.

    Raises:
        UserError: the directory holds something else.
    """
    if read_description(directory) is None:
        directory.mkdir(parents=True, exist_ok=True)
        with _lock(directory):
            _refuse_foreign_files(directory, plan)
            if read_description(directory) is None:
                _write(directory, plan)
    source = open_shards(directory)
    wanted = json.loads(json.dumps(plan.parameters))
    if source.parameters != wanted:
        raise UserError(
            f"got {_differences(source.parameters, wanted)} for the data set in {directory}; "
            "choose another data.path, or read it as it is with data.source=prepared"
        )
    return source


def _write(directory: Path, plan: Plan) -> None:
    """Writes the shards that are missing, then what makes the directory complete."""
    for leftover in directory.glob(".partial-*"):
        leftover.unlink()
    _pin_parameters(directory, plan)
    names = plan.shard_names()
    with progress_bar(len(plan.identities), f"preparing {directory}", plan.progress) as bar:
        for i, name in enumerate(names):
            start, stop = i * plan.shard_size, min((i + 1) * plan.shard_size, len(plan.identities))
            if _shard_length(directory / name) == stop - start:
                bar.update(stop - start)
            else:
                with _named_when_whole(directory / name) as path:
                    _write_shard(path, plan, start, stop, bar)
    with _named_when_whole(directory / IDENTITIES) as path, path.open("wb") as file:
        np.save(file, plan.identities.astype(np.int32))
    description = {
        "format": FORMAT_VERSION,
        "parameters": dict(plan.parameters),
        "layout": plan.layout.to_json(),
        "num_records": len(plan.identities),
        "shards": names,
        "report": [list(entry) for entry in plan.report],
    }
    write_json(directory / DESCRIPTION, description)


def _write_shard(path: Path, plan: Plan, start: int, stop: int, bar: tqdm) -> None:
    """Writes the records start..stop.

    Raises:
        OSError: the file cannot be written.
    """
    with contextlib.closing(_chunks(plan, start, stop)) as chunks:
        writer = array_record_module.ArrayRecordWriter(str(path), WRITER_OPTIONS)
        for records in chunks:
            for record in records:
                _in_os_terms(path, writer.write, record.tobytes())
            bar.update(len(records))
        _in_os_terms(path, writer.close)


def _in_os_terms(path: Path, call: Callable[..., Any], *arguments: Any) -> None:
    """Calls a writer, whose RuntimeError says "disk full" and the like."""
    try:
        call(*arguments)
    except RuntimeError as error:
        raise OSError(errno.EIO, str(error).split(";")[0], str(path)) from error


def _chunks(plan: Plan, start: int, stop: int) -> Generator[np.ndarray, None, None]:
    """Yields the records start..stop in order, made by one thread a core, few chunks ahead."""
    workers = os.cpu_count() or 1
    with futures.ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
        pending: collections.deque[futures.Future[np.ndarray]] = collections.deque()
        for first in range(start, stop, plan.chunk_size):
            last = min(first + plan.chunk_size, stop)
            pending.append(pool.submit(plan.make, first, last))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


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


PINNED = ".parameters.json"


def _pin_parameters(directory: Path, plan: Plan) -> None:
    """Writes down what an unfinished directory is for, so that nobody goes on with other values."""
    write_json(directory / PINNED, {"format": FORMAT_VERSION, "parameters": dict(plan.parameters)})


def _refuse_foreign_files(directory: Path, plan: Plan) -> None:
    """UserError where an unfinished directory is somebody else's."""
    known = {DESCRIPTION, IDENTITIES, PINNED, ".lock", *plan.shard_names()}
    names = {p.name for p in directory.iterdir() if not p.name.startswith(".partial-")}
    foreign = sorted(names - known)
    pinned = directory / PINNED
    if pinned.is_file():
        with _damage_is_the_users(directory):
            parameters = json.loads(pinned.read_text(encoding="utf-8"))["parameters"]
        wanted = json.loads(json.dumps(plan.parameters))
        if parameters != wanted:
            raise UserError(
                f"got {_differences(parameters, wanted)} for the unfinished data set in "
                f"{directory}; choose another directory, or delete that one"
            )
    if foreign:
        raise UserError(
            f"got {directory}, which holds {foreign[0]!r} (one of {len(foreign)}); "
            "expected an empty directory or a data set; choose another one"
        )


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Tells in words which parameters differ."""
    keys = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    return ", ".join(f"{key}={wanted.get(key)!r} where it has {found.get(key)!r}" for key in keys)


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Holds the lock of a directory; the system frees it when the process ends, however it ends."""
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("waiting for the process that prepares %s", directory)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _named_when_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path``; renames the file when the block has ended well."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON file at once."""
    with _named_when_whole(path) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _damage_is_the_users(directory: Path) -> Iterator[None]:
    """Turns what readers raise about missing or broken files into a UserError."""
    try:
        yield
    except UserError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"got a damaged data set in {directory} ({error}); expected all of its files; "
            "delete the directory and prepare it again"
        ) from error


def progress_bar(total: int, title: str, enabled: bool = True) -> tqdm:
    """A bar on standard error; slow to repeat itself where nobody watches."""
    interval = 0.5 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total,
        desc=title,
        unit=" images",
        mininterval=interval,
        dynamic_ncols=True,
        disable=not enabled,
    )
