"""Data sets on disk: ArrayRecord shards, one description, one array of person numbers.

    DIRECTORY/dataset.json              written last: a directory that has it is complete
    DIRECTORY/identities.npy            int32 [n]
    DIRECTORY/faces-00000-of-00040.array_record
    DIRECTORY/.lock                     held by the process that prepares

Every file gets its name only when it is whole, so a killed preparation goes on with the shard that
it was writing. Records are pure functions of their number: who prepares them does not matter.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from array_record.python import array_record_data_source
from jaxtyping import Int

from alrl_jax.data.records import FORMAT_VERSION, Layout, to_dict
from alrl_jax.data.shard_files import (
    FAULTS_SUFFIX,
    Job,
    Made,
    forget_faults,
    progress_bar,
    write_shard,
)
from alrl_jax.data.shard_workers import write_in_processes
from alrl_jax.errors import UserError
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.files import atomic_write, is_temporary, remove_leftovers, write_json
from alrl_jax.utils.leases import leased
from alrl_jax.utils.parts import (
    ALONE,
    Part,
    Share,
    check_no_others,
    explain_lost,
    is_of_processes,
    remove_parts,
    wait_for_parts,
)

DESCRIPTION = "dataset.json"
IDENTITIES = "identities.npy"
MAX_SHARDS = 500
TABLES = ("records.csv", "report.json")
"""What alrl prepare-dataset writes beside a data set for people to read."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A data set to be written.

    Attributes:
        parameters: JSON values that say what the records are; a directory serves one set of them.
        layout: fields of the records.
        identities: person number of every record.
        make: returns the records start..stop, structured; a pure function. It may leave some
            out and say why.
        report: file name and reason of everything that was left out.
        progress: whether to draw a progress bar.
        max_chunk_size: greatest number of records in a call of ``make``.
        chunks_per_shard: least number of calls that fill a file; what is lost when work stops.
        workers: processes that make records, where ``make`` can be sent to them (see
            ``write_in_processes``); 0 and 1 stand for threads of this one, as many as there are
            cores, or one.
    """

    parameters: Mapping[str, Any]
    layout: Layout
    identities: Int[np.ndarray, " n"]
    make: Callable[[int, int], Made]
    report: Sequence[tuple[str, str]] = ()
    progress: bool = True
    max_chunk_size: int = 64
    chunks_per_shard: int = 16
    workers: int = 0

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

    def jobs(self, directory: Path) -> list[Job]:
        """What fills these files."""
        size, threads = self.shard_size, self.workers or os.cpu_count() or 1
        return [
            Job(
                directory / name,
                self.make,
                start=i * size,
                stop=min((i + 1) * size, len(self.identities)),
                chunk_size=self.chunk_size,
                threads=threads,
            )
            for i, name in enumerate(self.shard_names())
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
                f"expected {FORMAT_VERSION}; prepare it again with alrl prepare-dataset"
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
            "prepare one with alrl prepare-dataset, or let it finish"
        )
    with _damage_is_the_users(directory):
        return ShardSource(directory, description)


def prepare(directory: Path, plan: Plan, share: Share = ALONE) -> ShardSource:
    """Writes the data set unless it is there, and opens it.

    One process prepares, others wait for it; what a killed process left is used. Of several that
    share the work this is what the first does; the others call ``help_prepare``.

    Raises:
        UserError: the directory holds something else.
    """
    buckets.pull(directory)
    if read_description(directory) is None:
        directory.mkdir(parents=True, exist_ok=True)
        with _lock(directory):
            check_no_others(directory, share)
            _refuse_foreign_files(directory, plan)
            if read_description(directory) is None:
                _write(directory, plan, share)
    source = open_shards(directory)
    wanted = json.loads(json.dumps(plan.parameters))
    if source.parameters != wanted:
        raise UserError(
            f"got {_differences(source.parameters, wanted)} for the data set in {directory}; "
            "choose another data.path, or read it as it is with data.source=prepared"
        )
    return source


def help_prepare(directory: Path, plan: Plan, share: Share) -> int:
    """Writes this process's share of the shards that are missing; gives their number.

    Raises:
        UserError: the directory holds something else.
    """
    buckets.pull(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if read_description(directory) is not None:
        return 0
    _refuse_foreign_files(directory, plan)
    with Part(directory, share) as part:
        written = _write_missing(directory, plan, list(share.of(plan.jobs(directory))))
        part.finish({"shards": written})
    return written


def _write_missing(directory: Path, plan: Plan, jobs: Sequence[Job]) -> int:
    """Writes those of some shards that are not there; gives their number."""
    total = sum(job.stop - job.start for job in jobs)
    with progress_bar(total, f"preparing {directory}", plan.progress) as bar:
        missing = [job for job in jobs if not job.is_done()]
        bar.update(total - sum(job.stop - job.start for job in missing))
        if min(plan.workers, len(missing)) > 1:
            write_in_processes(missing, plan.workers, bar.update)
        else:
            for job in missing:
                write_shard(job, bar.update)
    return len(missing)


def _write_shared(directory: Path, plan: Plan, jobs: Sequence[Job], share: Share) -> None:
    """Writes the first process's share, waits for the others, and does what the dead ones left."""
    with Part(directory, share) as part:
        _write_missing(directory, plan, list(share.of(jobs)))
        part.finish({})
        folders, lost = wait_for_parts(directory, share)
    if lost:
        logging.warning("%s", explain_lost(lost))
    buckets.pull(directory)
    _write_missing(directory, plan, jobs)
    remove_parts(folders)


def _write(directory: Path, plan: Plan, share: Share) -> None:
    """Writes the shards that are missing, then what makes the directory complete."""
    if share.alone:  # what others are writing looks like leftovers
        remove_leftovers(directory, locked=True)
    _pin_parameters(directory, plan)
    jobs = plan.jobs(directory)
    if share.alone:
        _write_missing(directory, plan, jobs)
    else:
        _write_shared(directory, plan, jobs, share)
    faults = [fault for job in jobs for fault in job.faults]
    left_out = [fault.record for fault in faults if fault.record is not None]
    identities = np.delete(plan.identities, left_out).astype(np.int32)
    with (
        atomic_write(directory / IDENTITIES, durable=True) as path,
        path.open("wb") as file,
    ):
        np.save(file, identities)
    description = {
        "format": FORMAT_VERSION,
        "parameters": dict(plan.parameters),
        "layout": plan.layout.to_json(),
        "num_records": len(identities),
        "shards": [job.path.name for job in jobs if job.length],
        "report": [*map(list, plan.report), *([f.name, f.reason] for f in faults)],
    }
    write_json(directory / DESCRIPTION, description, durable=True)
    forget_faults(directory)


PINNED = ".parameters.json"


def _pin_parameters(directory: Path, plan: Plan) -> None:
    """Writes down what an unfinished directory is for, so that no run goes on with other values."""
    pinned = {"format": FORMAT_VERSION, "parameters": dict(plan.parameters)}
    write_json(directory / PINNED, pinned, durable=True)


def _refuse_foreign_files(directory: Path, plan: Plan) -> None:
    """UserError where an unfinished directory is somebody else's."""
    known = {DESCRIPTION, IDENTITIES, PINNED, ".lock", *TABLES}
    for name in plan.shard_names():
        known |= {name, Path(name).with_suffix(FAULTS_SUFFIX).name}
    names = {p.name for p in directory.iterdir()}
    names = {name for name in names if not (is_temporary(name) or is_of_processes(name))}
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
    if address_of(directory) is not None:
        with leased(directory, "--output"):
            yield
        return
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("waiting for the process that prepares %s", directory)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _damage_is_the_users(directory: Path) -> Iterator[None]:
    """Turns what readers raise about missing or broken files into a UserError."""
    try:
        yield
    except UserError:
        raise
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, AttributeError),
    ) as error:
        raise UserError(
            f"got a damaged data set in {directory} ({error}); expected all of its files; "
            "delete the directory and prepare it again"
        ) from error
