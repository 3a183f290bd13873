"""A trace of some steps, for TensorBoard's profiler or xprof."""

from pathlib import Path

import jax
from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.utils import buckets

DIRECTORY = "profile"
STEPS_BEFORE = 10
"""Steps of a start that pass before the trace: the first ones compile and fill queues."""


class Trace:
    """Traces some steps of this start into ``workdir/profile``."""

    def __init__(self, workdir: Path, steps: int, first: int) -> None:
        """Makes the directory.

        Args:
            workdir: of the run.
            steps: to trace; 0 traces nothing.
            first: finished updates.

        Raises:
            UserError: if the directory cannot be written.
        """
        self._directory = workdir / DIRECTORY
        self._begin = first + STEPS_BEFORE
        self._end = self._begin + steps
        self._running = False
        if steps:
            try:
                self._directory.mkdir(exist_ok=True)
                (self._directory / ".lock").touch()
                (self._directory / ".lock").unlink()
            except OSError as error:
                raise UserError(
                    f"got profile_steps={steps} and {self._directory}, which cannot be written "
                    f"({error.strerror}); expected a directory; make it writable, or set "
                    "--config.profile_steps=0"
                ) from error

    def at(self, step: int) -> None:
        """Begins or ends the trace where that is due after ``step`` finished updates."""
        if self._begin <= step < self._end and not self._running:
            jax.profiler.start_trace(str(self._directory))
            self._running = True
        elif step >= self._end and self._running:
            self.close()

    def close(self) -> None:
        """Ends the trace, if it runs; traces nothing more."""
        if self._running:
            jax.profiler.stop_trace()
            buckets.put([self._directory])
            logging.info("traced steps %d to %d: %s", self._begin, self._end, self._directory)
        self._running, self._begin = False, self._end
