"""Converts weights of other projects into a model directory, without running their code.

    alrl convert-weights --source=stylegan2.pt --kind=generator --output=models/ffhq

Picks one network out of the file (a generator is the averaged one) and lists the others as
skipped.  A missing or left-over tensor inside the picked network is an error.  ``--kind`` that is
given several times picks as many: each is written into a folder of ``--output`` by its kind.
"""

import functools
from pathlib import Path
from typing import NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.convert import engine
from alrl_jax.convert.families import KINDS
from alrl_jax.convert.joining import split_sources
from alrl_jax.errors import UserError
from alrl_jax.utils import command_line


def main(_: list[str]) -> int:
    """Reads, converts, writes, and says what was done."""
    values = flags.FLAGS
    sources, output = split_sources(values.source), Path(values.output)
    kinds = list(dict.fromkeys(values.kind))
    if len(kinds) > 1 and "auto" in kinds:
        raise UserError(
            f"got --kind={' --kind='.join(kinds)}; expected auto alone, or names; leave auto out"
        )
    bar = functools.partial(tqdm, desc=f"converting {sources[0].name}", unit="tensor")
    for kind in kinds:
        target = output if len(kinds) == 1 else output / kind
        converted = engine.convert_file(sources, kind, target, bar)
        for name, value in [*engine.describe(converted), ("written", str(target))]:
            print(f"{name:<12}{value}")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "source", None, "Checkpoint to convert; of LPIPS: BACKBONE,LIN.", required=True
    )
    flags.DEFINE_multi_enum(
        "kind", ["auto"], ("auto", *KINDS), "Which network of the file; repeated: which ones."
    )
    command_line.DEFINE_path(
        "output", None, "Model directory to write.", required=True, bucket="written"
    )


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
