"""Converts weights of other projects into a model directory, without running their code.

    python -m tools.convert_weights --source=stylegan2.pt --kind=generator --output=models/ffhq

Picks one network out of the file (a generator is the averaged one) and lists the others as
skipped.  A missing or left-over tensor inside the picked network is an error.
"""

import functools
from pathlib import Path
from typing import NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.convert import engine
from alrl_jax.convert.families import KINDS
from alrl_jax.convert.joining import split_sources
from alrl_jax.utils import command_line

SOURCE = flags.DEFINE_string(
    "source", None, "Checkpoint to convert; of LPIPS: BACKBONE,LIN.", required=True
)
KIND = flags.DEFINE_enum("kind", "auto", ("auto", *KINDS), "Which network of the file.")
OUTPUT = flags.DEFINE_string("output", None, "Model directory to write.", required=True)


def main(_: list[str]) -> int:
    """Reads, converts, writes, and says what was done."""
    sources, output = split_sources(SOURCE.value), Path(OUTPUT.value).expanduser()
    bar = functools.partial(tqdm, desc=f"converting {sources[0].name}", unit="tensor")
    converted = engine.convert_file(sources, KIND.value, output, bar)
    for name, value in [*engine.describe(converted), ("written", str(output))]:
        print(f"{name:<12}{value}")
    return 0


def cli() -> NoReturn:
    """The command."""
    command_line.run(main)
