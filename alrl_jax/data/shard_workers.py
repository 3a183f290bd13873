"""Processes that write the shards of a data set, each a whole file at a time.

Nothing but jobs and counts goes through the pipes, so that the pixels of large images never
leave the process that decoded them. A worker whose parent is gone finds its pipe closed and ends.
"""

import contextlib
import dataclasses
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from alrl_jax.data.shard_files import Job, faults_path, write_shard
from alrl_jax.errors import UserError
from alrl_jax.utils.buckets import put


def write_in_processes(jobs: Sequence[Job], workers: int, advance: Callable[[int], Any]) -> None:
    """Writes shards, as many at once as there are workers.

    Args:
        jobs: what to write; ``make`` has a method ``part(start, stop)`` that returns what is
            needed for these records alone and can be sent to another process.
        workers: number of processes.
        advance: called with how many records are done.

    Raises:
        OSError: a file cannot be written.
        UserError: a worker was ended from outside.
    """
    context = multiprocessing.get_context("forkserver")
    # Imported once, by the server that workers are forked from; it has no threads yet.
    context.set_forkserver_preload(["__main__", "alrl_jax.data.prepare.photo_records"])
    remaining = iter(jobs)
    processes: dict[Connection, BaseProcess] = {}
    under_way: dict[Connection, Job] = {}
    try:
        for job in [next(remaining) for _ in range(min(workers, len(jobs)))]:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            processes[ours] = process
            under_way[ours] = job
            ours.send(_for_another_process(job))
        while processes:
            for pipe in wait(list(processes)):
                assert isinstance(pipe, Connection)
                message = _hear(pipe, processes[pipe])
                if isinstance(message, int):
                    advance(message)
                    continue
                if isinstance(message, BaseException):
                    raise message
                done = under_way.pop(pipe).path
                put(path for path in (faults_path(done), done) if path.exists())  # not by workers
                if (job := next(remaining, None)) is None:
                    pipe.send(None)
                    processes.pop(pipe).join()
                else:
                    under_way[pipe] = job
                    pipe.send(_for_another_process(job))
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _for_another_process(job: Job) -> Job:
    """The job with its own share of the data set, done by one thread."""
    part: Any = job.make
    return dataclasses.replace(job, make=part.part(job.start, job.stop), threads=1)


def _hear(pipe: Connection, process: BaseProcess) -> Any:
    """What a worker says: a number of records, None when the shard is done, or what went wrong."""
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        raise UserError(
            f"got a worker that was ended from outside (status {process.exitcode}), perhaps for "
            "want of memory; expected it to finish; start again with fewer --workers: what is "
            "done stays done"
        ) from None


def _work(pipe: Connection) -> None:
    """Writes shards until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends its workers
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # no parent any more
        while (job := pipe.recv()) is not None:
            try:
                write_shard(job, pipe.send)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except (UserError, OSError) as error:
                pipe.send(error)
                return
            except Exception:
                pipe.send(RuntimeError(traceback.format_exc()))
                return
            pipe.send(None)
