"""Writes the model card of a model: MODEL_CARD.md in its directory.

    python -m tools.model_card --model=DIR [--metrics=FILE]

Training and tools.package_model write cards by themselves. FILE is the metrics.json of an
evaluation, or a JSON object of numbers by name; it is kept in the directory as metrics.json, whose
figures every later card shows.
"""

import json
from pathlib import Path
from typing import NoReturn

from absl import flags

from alrl_jax.provenance.model_card import FIGURES_FILE, read_figures, read_record, write_card
from alrl_jax.storage.model_directory import resolve_directory
from alrl_jax.utils.command_line import run
from alrl_jax.utils.files import write_text

MODEL = flags.DEFINE_string("model", None, "Model or work directory, embedded/NAME.", required=True)
METRICS = flags.DEFINE_string("metrics", None, "Figures that somebody measured.")


def main(_: list[str]) -> int:
    """Writes the card that the flags ask for."""
    directory = resolve_directory(MODEL.value)
    read_record(directory)  # is there a model?
    if METRICS.value:
        figures = read_figures(Path(METRICS.value).expanduser())
        write_text(directory / FIGURES_FILE, json.dumps(figures, indent=1) + "\n")
    print(write_card(directory))
    return 0


def cli() -> NoReturn:
    """The command."""
    run(main)
