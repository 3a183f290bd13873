"""What is shipped of a run: its averaged networks, and the record of how they were made."""

from collections.abc import Sequence
from pathlib import Path

from alrl_jax.loading.loader import export_workdir
from alrl_jax.provenance.model_card import FIGURES_FILE, training_record, write_card
from alrl_jax.storage.model_directory import check_target, save_model
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
    check_target(output)
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
