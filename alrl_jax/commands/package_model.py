"""Turns a training run into a model directory, with the record of how it was made.

    alrl package-model --workdir=runs/NAME --output=alrl_jax/embedded/NAME --half

The record goes into ``source`` of ``model.json``: configuration, command, seed, steps, hardware,
the last training figures, and the data and weights it was made from with their licences.
``MODEL_CARD.md`` says it in words, with the figures of ``metrics.json`` where the run has one.
"""

from pathlib import Path
from typing import NoReturn

from absl import flags

from alrl_jax.loading.packaging import package
from alrl_jax.storage.workdir import LARGE
from alrl_jax.utils import buckets, command_line


def main(_: list[str]) -> int:
    """Packages the run that the flags name."""
    values = flags.FLAGS
    workdir, output = buckets.pull(Path(values.workdir), LARGE), Path(values.output)
    kept = (values.half, values.int8, values.training_networks, values.base)
    print(package(workdir, output, values.command, *kept))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "workdir", None, "Directory of the training run.", required=True, bucket="read"
    )
    command_line.DEFINE_path(
        "output", None, "Model directory to write.", required=True, bucket="written"
    )
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
