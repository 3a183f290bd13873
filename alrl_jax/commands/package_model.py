"""Turns a training run into a model directory, with the record of how it was made.

    alrl package-model --workdir=runs/NAME --output=alrl_jax/embedded/NAME --half

The record goes into ``source`` of ``model.json``: configuration, command, seed, steps, hardware,
the last training figures, and the data and weights it was made from with their licences.
``MODEL_CARD.md`` says it in words, with the figures of ``metrics.json`` where the run has one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from absl import flags

from alrl_jax.loading.loader import export_workdir
from alrl_jax.provenance.model_card import FIGURES_FILE, training_record, write_card
from alrl_jax.storage.model_directory import save_model
from alrl_jax.utils import command_line
from alrl_jax.utils.files import write_text

TRAINING_ONLY = ("probe", "discriminator")
"""Networks that only training reads."""


def package(
    workdir: Path,
    output: Path,
    command: str,
    half: bool = False,
    int8: Sequence[str] = (),
    training_networks: bool = False,
    base: str | None = None,
) -> str:
    """Writes the averaged networks of a run's newest checkpoint as a model directory.

    Args:
        workdir: directory of the run.
        output: model directory to write.
        command: line that started the training; by default what training noted.
        half: store half precision.
        int8: networks whose matrices and filters are stored in 8 bits.
        training_networks: keep what only training reads.
        base: model directory; what is the same there is left out.

    Returns:
        What was written, in words.
    """
    step, model = export_workdir(workdir)
    dropped = () if training_networks else TRAINING_ONLY
    kept = {name: tree for name, tree in model.variables.items() if name not in dropped}
    source = training_record(workdir, step, command)
    stored = {"half": half, "int8": int8, "base": base}
    save_model(output, model.kind, model.config, kept, source=source, **stored)
    figures = workdir / FIGURES_FILE
    if figures.is_file():
        write_text(output / FIGURES_FILE, figures.read_text(encoding="utf-8"))
    write_card(output)
    return f"{output}: {model.kind} after {step} steps"


def main(_: list[str]) -> int:
    """Packages the run that the flags name."""
    values = flags.FLAGS
    workdir, output = Path(values.workdir), Path(values.output)
    kept = (values.half, values.int8, values.training_networks, values.base)
    print(package(workdir, output, values.command, *kept))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("workdir", None, "Directory of the training run.", required=True)
    command_line.DEFINE_path("output", None, "Model directory to write.", required=True)
    flags.DEFINE_string("command", "", "Line that started the training, if it noted none.")
    flags.DEFINE_boolean("half", False, "Store half precision.")
    flags.DEFINE_list(
        "int8", [], "Networks whose matrices are stored in 8 bits (encoder,swap); the rest in half."
    )
    flags.DEFINE_boolean("training_networks", False, "Keep what only training reads.")
    command_line.DEFINE_path("base", None, "Model directory; leave out what is the same there.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
