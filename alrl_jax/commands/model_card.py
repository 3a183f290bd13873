"""Writes the model card of a model: MODEL_CARD.md in its directory.

    alrl model-card --model=DIR [--metrics=FILE]

Training and ``alrl package-model`` write cards by themselves. FILE is the metrics.json of an
evaluation, or a JSON object of numbers by name; it is kept in the directory as metrics.json, whose
figures every later card shows.
"""

import json
from pathlib import Path
from typing import NoReturn

from absl import flags

from alrl_jax.provenance.model_card import FIGURES_FILE, read_figures, read_record, write_card
from alrl_jax.storage.model_directory import resolve_directory
from alrl_jax.utils import command_line
from alrl_jax.utils.files import write_text


def main(_: list[str]) -> int:
    """Writes the card that the flags ask for."""
    values = flags.FLAGS
    directory = resolve_directory(values.model)
    read_record(directory)  # is there a model?
    if values.metrics:
        figures = read_figures(Path(values.metrics))
        write_text(directory / FIGURES_FILE, json.dumps(figures, indent=1) + "\n")
    print(write_card(directory))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "model", None, "Model or work directory, embedded/NAME.", required=True
    )
    command_line.DEFINE_path("metrics", None, "Figures that somebody measured.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
