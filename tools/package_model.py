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


def package(
    workdir: Path, output: Path, command: str, half: bool = False, training_networks: bool = False
) -> str:
    """Writes the averaged networks of a run's newest checkpoint as a model directory.

    Args:
        workdir: directory of the run.
        output: model directory to write.
        command: line that started the training.
        half: store half precision.
        training_networks: keep what only training reads.

    Returns:
        What was written, in words.
    """
    step, model = export_workdir(workdir)
    dropped = () if training_networks else TRAINING_ONLY
    kept = {name: tree for name, tree in model.variables.items() if name not in dropped}
    source = training_record(workdir, step, command)
    save_model(output, model.kind, model.config, kept, source=source, half=half)
    return f"{output}: {model.kind} after {step} steps"


def main(argv: Sequence[str]) -> None:
    """Packages the run that the flags name."""
    values = flags.FLAGS
    workdir, output = Path(values.workdir), Path(values.output)
    print(package(workdir, output, values.command, values.half, values.training_networks))


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
