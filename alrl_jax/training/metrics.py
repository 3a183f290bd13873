"""What training reports: log lines, ``metrics.jsonl``, images."""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from alrl_jax.errors import UserError
from alrl_jax.storage.workdir import METRICS_FILE, step_of
from alrl_jax.training.writers import Writer, open_writers
from alrl_jax.utils import buckets
from alrl_jax.utils.files import atomic_write, remove_leftovers, write_text

SAMPLES = "samples"
_GAP = 2
_HEADER = 14
# Smaller images are enlarged, so that they can be seen and their names have room.
_SMALLEST = 96
_STEPS_IN_FLIGHT = 2

Metrics = Mapping[str, Any]
_Names = Sequence[Collection[str]]


SKIPPED = "skipped"
"""Metric of an update: 1 where it was left out, as its gradients are not finite."""


class TrainingDiverged(RuntimeError):
    """A metric or a parameter became infinite or not a number; the message is one line."""


class MetricLog:
    """Writes the metrics of a run; use it as a context manager."""

    def __init__(
        self,
        workdir: Path,
        first_step: int,
        enabled: bool = True,
        writers: Collection[str] = ("tensorboard",),
    ) -> None:
        """Opens ``workdir/metrics.jsonl`` so that it goes on after ``first_step``.

        Args:
            workdir: directory of the run.
            first_step: finished updates; what the file says about later ones is removed.
            enabled: False writes nothing at all, as do all processes but the first.
            writers: where figures go besides; see ``WRITERS``.
        """
        self._file = None
        self._writers: list[Writer] = []
        self._workdir = Path(workdir)
        if enabled:
            # First, as one may be missing.
            self._writers = open_writers(self._workdir, writers)
            remove_leftovers(self._workdir / SAMPLES, locked=True)
            path = self._workdir / METRICS_FILE
            _truncate(path, first_step)
            self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one line, and makes sure that it is in the file when this returns.

        Raises:
            UserError: if it cannot be written, as on a full disk.
        """
        if self._file is not None:
            try:
                self._file.write(json.dumps({"step": step, **values}) + "\n")
                self._file.flush()
                # Before the checkpoint of the same step: a resumed run writes what comes after it.
                buckets.put([self._workdir / METRICS_FILE])
            except OSError as error:
                raise UserError(
                    f"got {self._workdir / METRICS_FILE}, to which step {step} cannot be written "
                    f"({error.strerror}); expected a disk with room; make room and start again"
                ) from error
        for writer in self._writers:
            writer.write(step, values)

    def write_samples(self, step: int, columns: Mapping[str, np.ndarray]) -> None:
        """Draws ``workdir/samples/STEP.png``; see ``sample_grid`` for the columns."""
        if self._file is None:
            return
        grid = sample_grid(columns)
        path = self._workdir / SAMPLES / f"{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as temporary:
            Image.fromarray(grid).save(temporary, format="png")
        for writer in self._writers:
            writer.write_image(step, SAMPLES, grid)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._file is not None:
            # What a full disk leaves in the buffer has been reported before.
            with contextlib.suppress(OSError):
                self._file.close()
        for writer in self._writers:
            writer.close()


class MetricWindow:
    """Means of the metrics since the last line.

    Metrics stay on the devices until they are needed, so that the host runs ahead of them. The
    sums are part of a checkpoint: a resumed run writes the line that an unbroken one writes.
    """

    def __init__(self, skips: int = 0) -> None:
        """Nothing is noted yet; ``skips`` updates in a row may be left out, as ``SKIPPED`` says."""
        self._skips, self._in_a_row = skips, 0
        self._pending: list[tuple[int, Metrics, _Names | None]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, step: int, metrics: Metrics, names: _Names | None = None) -> None:
        """Notes the metrics of an update, or of some, and waits for those before the last.

        Args:
            step: number of the update, or of the first one.
            metrics: by name; of several updates arrays, whose places past the last are ignored.
            names: of several updates, the metrics that each has.
        """
        self._pending.append((step, metrics, names))
        if len(self._pending) > _STEPS_IN_FLIGHT:
            jax.block_until_ready(self._pending[-1 - _STEPS_IN_FLIGHT][1])

    def collect(self) -> None:
        """Fetches what is pending.

        Raises:
            TrainingDiverged: naming the first metric that is not finite, and its step.
        """
        pending, self._pending = self._pending, []
        for first, metrics, names in pending:
            values = jax.device_get(dict(metrics))
            for i, present in enumerate(names or [values]):
                found = {n: float(values[n] if names is None else values[n][i]) for n in present}
                self._add(first + i, found)

    def take_means(self) -> dict[str, float]:
        """Means by name over the steps that had the metric; the next window begins."""
        self.collect()
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sorted(sums.items())}

    def get_state(self) -> dict[str, list[int | float]]:
        """The sums as JSON; ``collect`` comes before."""
        return {name: [total, count] for name, (total, count) in self._sums.items()}

    def set_state(self, state: Mapping[str, list[int | float]]) -> None:
        """Goes on from saved sums."""
        self._sums = {name: (total, int(count)) for name, (total, count) in state.items()}

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the metrics of an update; of one that was left out, that alone."""
        if not values.get(SKIPPED):
            self._in_a_row = 0
            for name, value in values.items():
                self._add_value(step, name, value)
            return
        self._in_a_row += 1
        bad = [name for name, value in values.items() if not np.isfinite(value)]
        what = bad[0] if bad else "a gradient"
        if self._in_a_row > self._skips:
            raise TrainingDiverged(
                f"{what} is not finite at step {step}, nor was it in the {self._in_a_row - 1} "
                f"steps before (skip_nonfinite is {self._skips})"
            )
        logging.warning("step %d changed nothing: %s is not finite", step, what)
        self._add_value(step, SKIPPED, values[SKIPPED])

    def _add_value(self, step: int, name: str, value: float) -> None:
        if not np.isfinite(value):
            raise TrainingDiverged(f"{name} is {value} at step {step}")
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = (total + value, count + 1)


def sample_grid(columns: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    """Draws named columns of images side by side under a row of their names.

    Args:
        columns: by name, images ``[b h w 3]`` in [-1, 1], masks ``[b h w 1]`` in [0, 1], or
            tables ``[b rows columns]`` in [0, 1], drawn as heat maps.

    Returns:
        One image with a row for every element of the batch.
    """
    drawn = {name: _as_images(values) for name, values in columns.items()}
    height = max(p.shape[1] for p in drawn.values())
    height *= -(-_SMALLEST // height)
    parts = [_column(name, _enlarge(p, height)) for name, p in drawn.items()]
    return np.concatenate(parts, axis=1)


def _column(name: str, images: UInt8[np.ndarray, "b h w 3"]) -> UInt8[np.ndarray, "y x 3"]:
    padded = np.pad(images, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    body = padded.reshape(-1, *padded.shape[2:])
    header = Image.new("RGB", (body.shape[1], _HEADER), "white")
    ImageDraw.Draw(header).text((1, 1), name, fill="black")
    return np.concatenate([np.asarray(header), body])


def _as_images(values: np.ndarray) -> UInt8[np.ndarray, "b h w 3"]:
    values = np.asarray(values, np.float32)
    if values.ndim == 3:
        shares = _heat(values)
    elif values.shape[-1] == 1:
        shares = np.repeat(values, 3, axis=-1)
    else:
        shares = (values + 1.0) / 2.0
    return np.round(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8)


def _heat(values: Float[np.ndarray, "b y x"]) -> Float[np.ndarray, "b y x 3"]:
    """Blue for 0, white for a half, orange for 1."""
    ends = np.array([[0.1, 0.3, 0.7], [1.0, 1.0, 1.0], [0.9, 0.45, 0.1]], np.float32)
    channels = [np.interp(values, (0.0, 0.5, 1.0), ends[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _enlarge(images: UInt8[np.ndarray, "b h w 3"], height: int) -> UInt8[np.ndarray, "b y x 3"]:
    """Repeats pixels as often as fits into a height and fills the rest with white."""
    times = max(1, height // images.shape[1])
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    rest = height - images.shape[1]
    return np.pad(images, ((0, 0), (0, rest), (0, 0), (0, 0)), constant_values=255)


def _truncate(path: Path, last_step: int) -> None:
    """Removes lines after a step, and lines that cannot be read, as a killed run leaves the last.

    The file is written only where something must go: a start needs no room on the disk.
    """
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    kept, reached = [], last_step
    for line in text.splitlines():
        step = step_of(line)
        if step is None:
            logging.warning("%s: dropped an unreadable line %.40r", path, line)
            continue
        reached = max(reached, step)
        if step <= last_step:
            kept.append(line + "\n")
    if reached > last_step:
        newest = (
            f"the newest checkpoint is of step {last_step}" if last_step else "no update is saved"
        )
        logging.warning(
            "%s: metrics reach step %d, %s: these steps are trained again", path, reached, newest
        )
    if "".join(kept) != text:
        write_text(path, "".join(kept))
