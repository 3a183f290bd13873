"""Writes a generator or a discriminator as other projects read it, without PyTorch.

    alrl export-weights --model=models/ffhq --format=rosinality --output=ffhq.pt

FILE is a checkpoint as ``torch.save`` writes it, fit for ``torch.load(FILE, weights_only=True)``.
Format ``nvidia``: a state dict ``G_ema`` or ``D``, and ``init_kwargs`` to build its module with.
Format ``rosinality``: ``g_ema`` with ``latent_avg``, or ``d``.  What a format cannot hold is an
error.  FILE.json says where the weights come from and under which licence.  An older export of
that name is replaced; any other file is not.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from absl import flags

from alrl_jax.convert.export import FORMATS, Exported, Permissions, export
from alrl_jax.convert.torch_zip_writer import write_torch_zip
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model
from alrl_jax.utils import command_line, hashing, version
from alrl_jax.utils.destinations import check_file
from alrl_jax.utils.files import write_json

UNKNOWN_LICENCE = "not stated; whoever made the weights says what they may be used for"


def export_file(model: str, layout: str, output: Path, permissions: Permissions) -> dict[str, Any]:
    """Writes a checkpoint and the file that describes it.

    Args:
        model: model directory.
        layout: one of ``FORMATS``.
        output: the checkpoint to write.
        permissions: which differences are accepted.

    Returns:
        What stands in the file beside it.

    Raises:
        UserError: if there is no such model, the layout cannot hold it, or another file is in
            the way; nothing is written then.
    """
    check_file(output)
    meta, variables = read_model(model)
    exported = export(meta, variables, layout, permissions)
    if output.exists() and not is_export(output):
        raise UserError(
            f"got --output={output}, which is there and no unchanged export; expected a new file "
            "or an older export; name another"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    write_torch_zip(output, exported.content)
    record = _record(meta, exported, layout, output)
    write_json(record_path(output), record)
    return record


def record_path(output: Path) -> Path:
    """The file that describes an export."""
    return output.with_name(f"{output.name}.json")


def is_export(output: Path) -> bool:
    """Whether a file is an export that is described by the file beside it."""
    try:
        record = json.loads(record_path(output).read_text(encoding="utf-8"))
        return record["sha256"] == hashing.file_sha256(output)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _record(meta: dict[str, Any], exported: Exported, layout: str, output: Path) -> dict[str, Any]:
    source = meta["source"]
    return {
        "file": output.name,
        "sha256": hashing.file_sha256(output),
        "kind": meta["kind"],
        "format": layout,
        "licence": source.get("licence") or UNKNOWN_LICENCE,
        "notes": exported.notes,
        "tensors": len(exported.tensors),
        "numbers": sum(int(np.prod(t.shape)) for t in exported.tensors.values()),
        "config": meta["config"],
        "source": source,
        "tool": f"{version.PACKAGE} {version.tool_version()}",
    }


def main(_: list[str]) -> int:
    """Exports what the flags name and says what was done."""
    values = flags.FLAGS
    output = Path(values.output)
    permissions = Permissions(values.rescale_kernels, values.drop_conv_clamp)
    record = export_file(values.model, values.format, output, permissions)
    for name in ("kind", "format", "tensors", "licence"):
        print(f"{name:<12}{record[name]}")
    for note in record["notes"]:
        print(f"{'note':<12}{note}")
    print(f"{'written':<12}{output}, {record_path(output).name}")
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("model", None, "Model directory, or embedded/NAME.", required=True)
    flags.DEFINE_enum("format", None, FORMATS, "Whose layout.", required=True)
    command_line.DEFINE_path("output", None, "Checkpoint (.pt) to write.", required=True)
    flags.DEFINE_boolean(
        "rescale_kernels", False, "Fit kernels to the other demodulation; equal up to rounding."
    )
    flags.DEFINE_boolean("drop_conv_clamp", False, "Leave out a clamp that the layout has not.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
