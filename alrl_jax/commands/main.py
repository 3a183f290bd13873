"""The console command ``alrl``: one table of sub-commands, of which only the chosen is imported."""

import difflib
import importlib
import sys
from typing import NoReturn

from alrl_jax.errors import UserError
from alrl_jax.utils import command_line, version

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("alrl_jax.train", "Train a task of a config, or go on training."),
    "evaluate": ("alrl_jax.evaluate", "Measure a swapper and write a report."),
    "infer": ("alrl_jax.infer", "Swap faces in photos."),
    "infer-frames": ("alrl_jax.infer_frames", "Swap a face into frames or a video file."),
    "app": ("alrl_jax.commands.app", "Serve a page on which faces are swapped in the browser."),
    "convert-weights": (
        "alrl_jax.commands.convert_weights",
        "Convert weights of other projects into a model directory.",
    ),
    "assemble-swapper": (
        "alrl_jax.commands.assemble_swapper",
        "Make a swapper of converted parts, without training.",
    ),
    "train-selection": (
        "alrl_jax.commands.train_selection",
        "Train a swapper's selection of codes alone, on cached codes.",
    ),
    "export-weights": (
        "alrl_jax.commands.export_weights",
        "Write a generator or discriminator as other projects read it.",
    ),
    "prepare-dataset": (
        "alrl_jax.commands.prepare_dataset",
        "Write photographs or rendered faces into shards for training.",
    ),
    "make-dataset": (
        "alrl_jax.commands.make_dataset",
        "Make a data set that trains detectors of swapped faces.",
    ),
    "generate": ("alrl_jax.commands.generate", "Draw faces with a generator, one a seed."),
    "invert": ("alrl_jax.commands.invert", "Find the codes of photographs (GAN inversion)."),
    "benchmark": ("alrl_jax.commands.benchmark", "Measure throughput on this machine."),
    "audit": (
        "alrl_jax.commands.audit",
        "Say who can still be found in de-identified photos.",
    ),
    "verify-image": ("alrl_jax.commands.verify_image", "Say where images come from."),
    "sign-image": ("alrl_jax.commands.sign_image", "Sign an output with Content Credentials."),
    "export-model": (
        "alrl_jax.commands.export_model",
        "Write a swapper as a StableHLO program that runs without this package.",
    ),
    "package-model": (
        "alrl_jax.commands.package_model",
        "Turn a training run into a model directory.",
    ),
    "model-card": ("alrl_jax.commands.model_card", "Write the model card of a model."),
    "compare-rows": (
        "alrl_jax.commands.compare_rows",
        "Make one table of the evaluations of several models.",
    ),
    "curves": ("alrl_jax.commands.curves", "Show curves of training runs, live or as a file."),
    "search-selection": (
        "alrl_jax.commands.search_selection",
        "Find the best fixed selection of latent codes.",
    ),
    "measure-fid": ("alrl_jax.commands.measure_fid", "FID between two folders of images."),
    "memory-report": (
        "alrl_jax.commands.memory_report",
        "Tell the memory and work of a config's training step.",
    ),
    "compile-for": (
        "alrl_jax.commands.compile_for",
        "Compile a config for accelerators that are not there, and say what it takes.",
    ),
    "scaling-report": (
        "alrl_jax.commands.scaling_report",
        "Predict how a config's training step runs on many chips.",
    ),
    "roofline": ("alrl_jax.commands.roofline", "Draw the roofline of a benchmark."),
    "contact-sheet": ("alrl_jax.commands.contact_sheet", "Draw the synthetic world on one sheet."),
    "fabricate-models": (
        "alrl_jax.commands.fabricate_models",
        "Write models of random weights, to try a config with.",
    ),
    "doctor": ("alrl_jax.commands.doctor", "Print what is installed, and what is missing."),
}
"""Sub-commands: the module whose ``cli`` each runs, and its line in the help."""

_USAGE = "usage: alrl COMMAND [FLAGS]"


def main(argv: list[str]) -> int:
    """Runs the sub-command that the arguments name; it ends the process with its exit status.

    Args:
        argv: ``alrl``, the sub-command, its arguments.

    Raises:
        UserError: no sub-command, or an unknown one.
    """
    if len(argv) < 2:
        raise UserError("got no sub-command; expected one, such as alrl infer; see alrl --help")
    name, arguments = argv[1], argv[2:]
    if name in command_line.HELP:
        print(help_text())
        return 0
    if name == "--version":
        print(f"{version.PACKAGE} {version.VERSION}")
        return 0
    if name not in COMMANDS:
        raise UserError(_unknown(name))
    module = importlib.import_module(COMMANDS[name][0])
    sys.argv = [f"alrl {name}", *arguments]
    return module.cli()


def help_text() -> str:
    """What ``alrl --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "Face swapping with StyleGAN2 and adaptive latent representation learning, in JAX.",
            f"\n{_USAGE}\n\ncommands:",
            *lines,
            "\nalrl COMMAND --help shows the flags of one; alrl --version the version.",
        ]
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.replace("_", "-"), COMMANDS, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see alrl --help"
    return f"got the unknown sub-command {name!r}; expected one of alrl --help; {hint}"


def cli() -> NoReturn:
    """The console script."""
    command_line.end_with(lambda: main(sys.argv))


if __name__ == "__main__":
    cli()
