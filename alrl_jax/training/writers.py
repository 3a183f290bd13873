"""Where the figures of a run go beside ``metrics.jsonl``: a table of writers. The only place that
knows clu and Weights & Biases."""

import importlib.util
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from absl import logging
from jaxtyping import UInt8

from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.utils import buckets

SECONDS_BETWEEN_PUTS = 60.0
"""Of TensorBoard's files to a bucket, which are put whole."""


@runtime_checkable
class Writer(Protocol):
    """Takes the figures and pictures of a run."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """The figures of a line."""
        ...

    def write_image(self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """A picture."""
        ...

    def close(self) -> None:
        """Writes what is left."""
        ...


class _TensorBoard:
    def __init__(self, workdir: Path) -> None:
        from clu import metric_writers

        self._workdir, self._put = workdir, time.monotonic()
        self._writer = metric_writers.SummaryWriter(str(workdir))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._writer.write_scalars(step, dict(values))
        self._writer.flush()
        if time.monotonic() - self._put > SECONDS_BETWEEN_PUTS:
            self._put_events()

    def write_image(self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]) -> None:
        self._writer.write_images(step, {name: image[None]})

    def close(self) -> None:
        self._writer.close()
        self._put_events()

    def _put_events(self) -> None:
        """Puts the files to the bucket that the work directory is in, if it is in one."""
        self._put = time.monotonic()
        buckets.put(self._workdir.glob("events.out.tfevents.*"))


class _WandB:
    """A run of Weights & Biases whose name follows from the work directory: a resumed run is the
    same one there, and steps that it trains again are ignored there."""

    def __init__(self, workdir: Path) -> None:
        import wandb

        self._wandb = wandb
        path = workdir.resolve()
        run = "-".join(path.parts[-2:])
        self._run: Any = wandb.init(
            project="alrl_jax", id=run, name=run, dir=str(path), resume="allow"
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def write_image(self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]) -> None:
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        self._run.finish()


def _tensorboard(workdir: Path) -> Writer | None:
    """None where clu, TensorFlow and TensorBoard are not installed."""
    if not all(importlib.util.find_spec(name) for name in ("clu", "tensorflow", "tensorboard")):
        logging.info("no TensorBoard files: these need clu, tensorflow and tensorboard")
        return None
    return _TensorBoard(workdir)


def _wandb(workdir: Path) -> Writer:
    if importlib.util.find_spec("wandb") is None:
        raise UserError(
            'got writers with "wandb", which is not installed; expected the package wandb; install '
            "alrl-jax[wandb], or leave it out"
        )
    return _WandB(workdir)


WRITERS: dict[str, Callable[[Path], Writer | None]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
"""By name, what opens a writer for a work directory; None where it does without."""


def check_writers(names: Collection[str]) -> None:
    """Raises UserError unless all names are in the table."""
    for name in names:
        if name not in WRITERS:
            raise UserError(
                f"config: writers names {name!r}; {did_you_mean(name, WRITERS)}expected some of "
                f"{tuple(WRITERS)}; metrics.jsonl is always written"
            )


def open_writers(workdir: Path, names: Collection[str]) -> list[Writer]:
    """Opens the writers of a run.

    Args:
        workdir: directory of the run.
        names: of the table.

    Raises:
        UserError: if a name is unknown, or one asks for what is not installed.
    """
    check_writers(names)
    opened = (WRITERS[name](workdir) for name in dict.fromkeys(names))
    return [writer for writer in opened if writer is not None]
