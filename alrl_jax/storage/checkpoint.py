"""Checkpoints of training: with ``bucket_checkpoints`` the only place that knows Orbax.

One directory ``WORKDIR/checkpoints/STEP`` a save. It holds the state as a dictionary of its fields,
so that a reader can take the averaged networks alone, and in its metadata, as JSON, what is not an
array (the data iterator, sums of metrics). Orbax writes to a temporary name and renames, so that a
save that was cut off never has a plain number. A removal that was cut off may: Orbax takes an old
step apart where it lies. There is a newer one then, and ``restore`` passes over what is not whole.
"""

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost
from orbax.checkpoint import v1 as ocp

from alrl_jax.errors import UserError
from alrl_jax.storage.bucket_checkpoints import move, reach, steps_in
from alrl_jax.storage.faults import is_lack_of_memory, reason_of
from alrl_jax.storage.workdir import earlier_run
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.buckets import check_held, patience
from alrl_jax.utils.waiting import late_processes, named_processes, note_hung, within

PyTree = Any

DIRECTORY = "checkpoints"
DAMAGED_DIRECTORY = "damaged_checkpoints"
LONGEST_WAIT_SECONDS = 3600
_METADATA = "training"
_EARLIER_FIELD = "moving"
"""Field of the state of runs of an earlier version."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint held.

    Attributes:
        step: finished updates.
        state: the state, laid out as the abstract state that was asked for.
        metadata: the JSON object that was saved with it.
    """

    step: int
    state: PyTree
    metadata: dict[str, Any]


class Checkpointer:
    """Saves and restores the state of one run; use it as a context manager."""

    def __init__(self, workdir: Path, keep: int) -> None:
        """Opens ``workdir/checkpoints``, creating it if need be.

        Args:
            workdir: directory of the run.
            keep: newest checkpoints to keep; older ones are removed after a save.
        """
        self._workdir = Path(workdir).absolute()
        self._in_bucket = address_of(workdir) is not None
        self._keep = keep
        self._pending: ocp.AsyncResponse[bool] | None = None
        self._saving = self._size = 0
        self._failed = False
        self._manager = self._open()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return [checkpoint.step for checkpoint in self._manager.checkpoints]

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, or None if there is none yet."""
        return max(self.steps(), default=None)

    def check_room(self, abstract_state: PyTree) -> None:
        """Makes sure that the disk can take a checkpoint, before minutes of compiling.

        Several processes share the work and perhaps no disk: they find out as they save. What room
        a bucket has is not known.

        Raises:
            UserError: it has less room than the state takes.
        """
        leaves = jax.tree.leaves(abstract_state)
        wanted = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
        if self._in_bucket:
            return
        free = shutil.disk_usage(self._workdir).free
        if jax.process_count() == 1 and free < wanted:
            raise UserError(
                f"got {self._workdir} on a disk with {free // 2**20} MiB left; expected room for a "
                f"checkpoint of {-(-wanted // 2**20)} MiB; make room or use another --workdir"
            )

    def save(self, step: int, state: PyTree, metadata: dict[str, Any]) -> None:
        """Starts a save; the state may be donated or changed as soon as this returns.

        Args:
            step: finished updates, the name of the checkpoint.
            state: dataclass or dictionary of array trees.
            metadata: JSON object saved with it.

        Raises:
            UserError: if this save, or the one before, cannot be written.
        """
        self.wait()
        check_held(address_of(self._workdir) or "")
        self._size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        with self._reporting(step):
            self._pending = self._manager.save_async(
                step, _fields(state), force=True, custom_metadata={_METADATA: metadata}
            )
        self._saving = step

    def wait(self) -> None:
        """Waits for the save in progress.

        Raises:
            UserError: if it cannot be written, as on a full disk.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._reporting(self._saving):
                pending.result(timeout=patience(self._size) if self._in_bucket else None)

    def restore(self, abstract_state: PyTree) -> Restored | None:
        """Reads the newest checkpoint that can be read.

        Damaged ones are named in the log and moved to ``workdir/damaged_checkpoints``, so that
        training can save the same steps again. Several processes take the newest of those that
        process 0 sees which all of them can read.

        Args:
            abstract_state: the state as ``jax.ShapeDtypeStruct`` leaves with shardings.

        Returns:
            The checkpoint, or None if there is none at all.

        Raises:
            UserError: if there are checkpoints but none can be read.
            MemoryError: or an error of the devices: a state that finds no room is not damaged.
        """
        steps = _agreed_steps(self.steps())
        faults: dict[int, str] = {}
        for step in reversed(steps):
            restored, fault = None, ""
            try:
                restored = self._restore(step, abstract_state)
            # Orbax lets errors of files, of its format and of the arrays pass as they are.
            except Exception as error:
                if is_lack_of_memory(error):
                    raise
                fault = reason_of(error)
            if not _everywhere(restored is not None):
                faults[step] = fault or "another process cannot read it"
                logging.warning("checkpoint %d cannot be read: %s", step, faults[step])
                continue
            self._set_aside(list(faults))
            return restored
        if steps:
            raise UserError(
                f"{self._directory} holds no checkpoint that can be read (the newest, "
                f"{steps[-1]}: {faults[steps[-1]]}); expected one written by this program with "
                "this configuration; bring back a good copy or use another --workdir"
            )
        return None

    def close(self) -> None:
        """Waits for the save in progress and frees threads."""
        try:
            self.wait()
        finally:
            # Orbax reports a failed save once more, in words that would hide ours.
            with contextlib.suppress(*(Exception,) if self._failed else ()):
                if self._in_bucket and self._failed:
                    within(self._manager.close, patience())
                else:
                    self._manager.close()

    @property
    def _directory(self) -> Path:
        return self._workdir / DIRECTORY

    @contextlib.contextmanager
    def _reporting(self, step: int) -> Iterator[None]:
        """Reports a save that failed; what was saved before it stays."""
        try:
            yield
        except UserError:
            raise
        # As in ``restore``: errors of files pass as they are, or as what their library makes of it.
        except Exception as error:
            self._failed = True
            if self._in_bucket:
                note_hung()  # threads of Orbax wait up to 300 s for what this save never says
            kept = "those before stay"
            with contextlib.suppress(UserError):  # of a bucket that is gone
                good = newest_step(self._workdir)
                kept = "there is none yet" if good is None else f"checkpoint {good} is good"
            raise UserError(
                f"got {self._directory}, where checkpoint {step} cannot be written "
                f"({reason_of(error)}); expected room, and that it can be written; {kept}; make "
                "room and start again"
            ) from error

    def _open(self) -> ocp.training.Checkpointer:
        keep: Any = ocp.training.preservation_policies.LatestN(self._keep)
        return ocp.training.Checkpointer(
            reach(self._directory),
            preservation_policy=keep,
            cleanup_tmp_directories=True,
        )

    def _restore(self, step: int, abstract_state: PyTree) -> Restored:
        fields = self._manager.load(step, _fields(abstract_state))
        metadata = self._manager.metadata(step).custom_metadata
        if not isinstance(metadata, dict) or _METADATA not in metadata:
            raise ValueError("its metadata are missing")
        custom: Any = metadata[_METADATA]
        return Restored(step, _with_fields(abstract_state, fields), custom)

    def _set_aside(self, steps: list[int]) -> None:
        if not steps:
            return
        self._manager.close()
        if jax.process_index() == 0:
            for step in steps:
                move(self._directory / str(step), self._workdir / DAMAGED_DIRECTORY / str(step))
        multihost_utils.sync_global_devices("damaged checkpoints are set aside")
        self._manager = self._open()


def newest_step(workdir: Path) -> int | None:
    """Step of the newest complete checkpoint of a run, or None; reads file names only."""
    return max(steps_in(Path(workdir) / DIRECTORY), default=None)


def is_readable(workdir: Path, step: int) -> bool:
    """Whether all of a checkpoint can be read; reads it.

    Raises:
        UserError: it is that of a run of an earlier version.
    """
    directory = (Path(workdir) / DIRECTORY / str(step)).absolute()
    try:
        saved = ocp.metadata(reach(directory))
        _read_fields(directory, tuple(saved.metadata))
        return isinstance(saved.custom_metadata, dict) and _METADATA in saved.custom_metadata
    except UserError:
        raise
    # As in Checkpointer.restore: what is damaged fails in many ways.
    except Exception as error:
        if is_lack_of_memory(error):
            raise
        logging.warning("checkpoint %d cannot be read: %s", step, reason_of(error))
        return False


def read_fields(workdir: Path, names: Iterable[str]) -> tuple[int, dict[str, PyTree]]:
    """Reads chosen fields of the newest readable checkpoint, without knowing their structure.

    Args:
        workdir: directory of a run.
        names: fields of the state, such as ``"ema"``.

    Returns:
        The step, and for every name its tree of NumPy arrays.

    Raises:
        UserError: if the run has no checkpoint that can be read.
    """
    directory = (Path(workdir) / DIRECTORY).absolute()
    reason = "there is none"
    for step in reversed(steps_in(directory)):
        try:
            return step, _read_fields(directory / str(step), tuple(names))
        except UserError:
            raise
        # As in Checkpointer.restore: what is damaged fails in many ways.
        except Exception as error:
            reason = f"checkpoint {step}: {reason_of(error)}"
            logging.warning("checkpoint %d cannot be read: %s", step, reason_of(error))
    raise UserError(
        f"{directory} has no checkpoint that can be read ({reason}); expected the directory of a "
        "training run; train first, or name a model directory"
    )


def _read_fields(directory: Path, names: tuple[str, ...]) -> dict[str, PyTree]:
    saved = ocp.metadata(reach(directory)).metadata
    if _EARLIER_FIELD in saved:
        raise earlier_run(directory.parents[1], f"{_EARLIER_FIELD} in its checkpoints")
    # Given as NumPy arrays, leaves come back as such, whatever devices wrote them.
    abstract = {
        name: jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), saved[name])
        if name in names
        else jax.tree.map(lambda leaf: ocp.PLACEHOLDER, saved[name])
        for name in saved
    }
    loaded = ocp.load(reach(directory), abstract)
    return {name: loaded[name] for name in names}


@contextlib.contextmanager
def metadata_of(step: int) -> Iterator[None]:
    """Turns what is raised over the metadata of a checkpoint into a user error.

    Args:
        step: of the checkpoint.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"got checkpoint {step} with metadata that training did not write "
            f"({type(error).__name__}: {error}); expected its own; remove that checkpoint to go on "
            "from the one before"
        ) from error


def wait_for_all(point: str) -> None:
    """Returns when all processes of the run have come to this point.

    They meet at the coordinator, not over their devices, whose first common operation gives up
    after 30 seconds on CPUs.

    Args:
        point: name of it; no run comes to a point of the same name twice.

    Raises:
        UserError: naming those that did not come within an hour, or died.
    """
    if jax.process_count() == 1:
        return
    try:
        multihost.get_barrier_sync_fn()(key=point, timeout_ms=1000 * LONGEST_WAIT_SECONDS)
    except jax.errors.JaxRuntimeError as error:
        late = late_processes(error)
        who = f"without {named_processes(late)}" if late else "in vain"
        raise UserError(
            f"got to the point {point!r} {who}, within {LONGEST_WAIT_SECONDS} s at most "
            f"({reason_of(error)}); expected all processes; look at their logs and start again"
        ) from error


def _agreed_steps(steps: list[int]) -> list[int]:
    """Those that process 0 sees: a shared disk may show others to others."""
    if jax.process_count() == 1:
        return steps
    count = int(multihost_utils.broadcast_one_to_all(np.int32(len(steps))))
    if count == 0:
        return []
    padded = np.resize(np.array([*steps, -1], np.int32), count)
    return [int(step) for step in multihost_utils.broadcast_one_to_all(padded)]


def _everywhere(done: bool) -> bool:
    """Whether all processes did it."""
    if jax.process_count() == 1:
        return done
    return bool(np.all(multihost_utils.process_allgather(np.bool_(done))))


def _fields(state: PyTree) -> dict[str, PyTree]:
    if isinstance(state, dict):
        return state
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}


def _with_fields(state: PyTree, fields: dict[str, PyTree]) -> PyTree:
    return fields if isinstance(state, dict) else dataclasses.replace(state, **fields)
