"""Runs ``alrl infer`` or ``alrl infer-frames`` with a slow stand-in for a model.

python -m tests.support.stand_in_command infer|infer_frames FLAGS...
"""

import importlib
import sys
import time
from typing import Any

import jax

from tests.support.fakes import FakeSwapper

SECONDS_A_BATCH = 0.05


class Slow(FakeSwapper):
    """Takes its time, so that there is some to be killed in."""

    def swap(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(SECONDS_A_BATCH)
        return super().swap(*args, **kwargs)


def main() -> None:
    """Runs the command that the first argument names."""
    jax.config.update("jax_num_cpu_devices", 1)
    command = importlib.import_module(f"alrl_jax.{sys.argv.pop(1)}")
    setattr(command, "load_swapper", lambda directory: Slow())  # noqa: B010
    command.cli()


if __name__ == "__main__":
    main()
