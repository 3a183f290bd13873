"""Turns a training run into a model directory, with the record of how it was made.

    python -m tools.package_model --workdir=runs/NAME --output=alrl_jax/embedded/NAME --half

The record goes into ``source`` of ``model.json``: configuration, command, seed, steps, hardware and
the last training figures.
"""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from alrl_jax.command_line import run
from alrl_jax.loading import export_workdir
from alrl_jax.metrics import read_metrics
from alrl_jax.model_directory import save_model
from alrl_jax.workdir import read_config

TRAINING_ONLY = ("probe", "discriminator")
"""Networks that only training reads."""


def training_record(workdir: Path, step: int, command: str) -> dict[str, Any]:
    """How a run was made: what someone needs who wants to make it again.

    Args:
        workdir: directory of the run.
        step: of the checkpoint that is packaged.
        command: line that started the training.
    """
    lines = [line for line in read_metrics(workdir) if line["step"] <= step]
    config = read_config(workdir) or {}
    return {
        "command": command,
        "seed": config.get("seed"),
        "steps": step,
        "images": step * config.get("batch_size", 0),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}, {jax.default_backend()}",
        "jax": jax.__version__,
        "config": config,
        "last_metrics": lines[-1] if lines else None,
        "licence": "Apache-2.0; trained on faces that this project renders",
    }


def main(argv: Sequence[str]) -> None:
    """Packages the run that the flags name."""
    values = flags.FLAGS
    workdir = Path(values.workdir)
    step, model = export_workdir(workdir)
    dropped = () if values.training_networks else TRAINING_ONLY
    kept = {name: tree for name, tree in model.variables.items() if name not in dropped}
    source = training_record(workdir, step, values.command)
    save_model(values.output, model.kind, model.config, kept, source=source, half=values.half)
    print(f"{values.output}: {model.kind} after {step} steps")


def cli() -> None:
    """Defines the flags and runs."""
    flags.DEFINE_string("workdir", None, "Directory of the training run.")
    flags.DEFINE_string("output", None, "Model directory to write.")
    flags.DEFINE_string("command", "", "Line that started the training, for the record.")
    flags.DEFINE_bool("half", False, "Store half precision.")
    flags.DEFINE_bool("training_networks", False, "Keep what only training reads.")
    flags.mark_flags_as_required(["workdir", "output"])
    run(main)


if __name__ == "__main__":
    cli()
