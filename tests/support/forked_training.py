"""A program that trains in forks of itself: all is imported, so that a run starts in a moment.

It reads a JSON object a line, ``{"workdir", "num_steps", "seconds", "config"}``: without ``config``
the fake task, ``seconds`` a batch. It prints the process that trains, and at the next line how that
one ended.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging

from alrl_jax.config import Config
from alrl_jax.train import train
from alrl_jax.training.loop import fit
from tests.support.fake_task import FakeBatches, FakeTask, schedule


def run(values: dict[str, Any]) -> None:
    """One training, with its log beside its directory."""
    workdir = Path(values["workdir"])
    log = os.open(f"{workdir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    flags.FLAGS.mark_as_parsed()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if values["config"] is not None:
        train(Config.from_dict(values["config"]), workdir)
        return
    workdir.mkdir(exist_ok=True)
    plan = schedule(values["num_steps"], keep_checkpoints=2)
    fit(FakeTask(), FakeBatches(values["seconds"]), workdir, plan, seed=0)


def fork(values: dict[str, Any]) -> int:
    """Trains in another process, whose number it returns."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        run(values)
        status = 0
    finally:
        # Nothing of the program that forked is cleaned up here.
        os._exit(status)


if __name__ == "__main__":
    for line in sys.stdin:
        child = fork(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
