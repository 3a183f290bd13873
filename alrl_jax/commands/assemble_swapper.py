"""Assembles a swapper of converted parts, without training.

    alrl assemble-swapper --generator=models/ffhq --encoder=models/e4e --identity=models/arcface \\
        --parser=models/parser --selector=psp_middle --output=models/swapper

The parts are what ``alrl convert-weights`` writes.  What comes of them is a model directory that
every command takes: ``infer``, ``infer-frames``, ``evaluate --benchmark=pairs``, ``export-model``.
Its card says what it was assembled of, and under which terms.  ``--pose`` and ``--lpips`` are for
``infer --optimise``.
"""

import sys
from pathlib import Path
from typing import NoReturn

from absl import flags

from alrl_jax.loading.assembling import KINDS, MASKS, RULES, Parts, assemble
from alrl_jax.models.swapper.selection import BEST_FIXED
from alrl_jax.utils import command_line

_NEEDED = ("generator", "encoder", "identity")
_HELP = {
    "generator": "StyleGAN2 generator.",
    "encoder": "pSp or e4e, trained with this generator.",
    "identity": "Identity net: arcface, iresnet, or one of ours.",
    "parser": "Face parser of CelebAMask-HQ's classes, whose face region is the mask.",
    "pose": "Hopenet, for infer --optimise.",
    "lpips": "LPIPS, for infer --optimise.",
}


def main(_: list[str]) -> int:
    """Assembles and says what there is now."""
    values = flags.FLAGS
    directories = {name: values[name].value or "" for name in KINDS}
    mask = values.mask or ("parser" if directories["parser"] else "ellipse")
    selection = None if values.selection is None else Path(values.selection)
    parts = Parts(directories, values.selector, mask, selection)
    output = Path(values.output)
    config = assemble(parts, output, " ".join(["alrl assemble-swapper", *sys.argv[1:]]))
    print(f"{output}: swapper of {config['resolution']} px, {parts.selector}, mask of the {mask}")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    for name, text in _HELP.items():
        command_line.DEFINE_path(
            name, None, f"Model directory: {text}", required=name in _NEEDED, bucket="read"
        )
    selectors = (*RULES, BEST_FIXED)
    flags.DEFINE_enum("selector", "psp_middle", selectors, "Fixed rule that selects codes.")
    flags.DEFINE_enum("mask", None, MASKS, "What blends; by default the parser, if there is one.")
    command_line.DEFINE_path(
        "selection", None, "Of best_fixed: the JSON that alrl search-selection prints."
    )
    command_line.DEFINE_path(
        "output", None, "Model directory to write.", required=True, bucket="written"
    )


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
