"""Writes a swapper as a StableHLO program that runs without this package.

    alrl export-model --model=embedded/swapper_64 --output=DIR [--half]

DIR is a model directory (``model.json`` with source and licence, ``weights.safetensors``, the card)
with three more files: ``swapper.stablehlo``, the program for CPUs, CUDA and TPUs and for any number
of faces, whose weights are its first argument; ``export.json``, which says what goes in and what
comes out; and ``swap.py``, which runs it with jax alone. An older export of that name is replaced.
JAX writes and reads programs with flatbuffers (``pip install 'alrl_jax[export]'``).
"""

import importlib.util
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import traverse_util

from alrl_jax.commands import exported_swap
from alrl_jax.errors import UserError
from alrl_jax.loading import SwapperModel, load_swapper
from alrl_jax.loading.swapper import FACES
from alrl_jax.models.build import build_swapper
from alrl_jax.models.swapper.swapper import NETWORKS
from alrl_jax.provenance.model_card import read_record, write_card
from alrl_jax.storage.model_directory import MODEL_FILE, WEIGHTS_FILE, read_meta, save_model
from alrl_jax.types import SwapOutput
from alrl_jax.utils import command_line, hashing, version
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.files import atomic_folder, write_json

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM_FILE = "swapper.stablehlo"
EXPORT_FILE = "export.json"
EXAMPLE_FILE = "swap.py"
ORIGIN_CODES = {**FACES, "module": -1}
"""Who decides over an attribute group, as the program takes it."""

Weights = Mapping[str, Any]


def flat_weights(model: SwapperModel) -> dict[str, np.ndarray]:
    """The weights that a swap reads, by the names of the file."""
    flat = traverse_util.flatten_dict(jax.device_get(model.networks), sep="/")
    return {name: np.asarray(value) for name, value in flat.items()}


def export_program(model: SwapperModel) -> jax.export.Exported:
    """Lowers the adaptive swap for every platform, with a batch of unknown size.

    Args:
        model: gives the networks and the shapes of their weights.

    Returns:
        ``(weights, source [b h w 3], target [b h w 3], origins [k]) -> results by name``; see
        ``outputs`` for the results and ``ORIGIN_CODES`` for the origins, one an attribute group.
    """
    swapper = build_swapper(model.config)

    def swap(
        weights: Weights, source: jax.Array, target: jax.Array, origins: jax.Array
    ) -> dict[str, jax.Array]:
        # A network without weights leaves nothing in the file.
        networks: dict[str, Any] = {name: {} for name in NETWORKS}
        networks |= traverse_util.unflatten_dict(dict(weights), sep="/")
        return outputs(swapper.swap(networks, source, target, origins))

    side = model.config["resolution"]
    (batch,) = jax.export.symbolic_shape("b")
    faces = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
    origins = jax.ShapeDtypeStruct((len(model.config["attribute_groups"]),), jnp.int32)
    weights = {
        name: jax.ShapeDtypeStruct(value.shape, value.dtype)
        for name, value in flat_weights(model).items()
    }
    return jax.export.export(jax.jit(swap), platforms=PLATFORMS)(weights, faces, faces, origins)


def outputs(result: SwapOutput) -> dict[str, jax.Array]:
    """What the program returns: arrays by name."""
    return {
        "image": result.image,
        "generated": result.generated,
        "mask": result.mask,
        "pose_gates": result.gates.pose,
        "attribute_gates": result.gates.attributes,
    }


def export_model(directory: str, output: Path, half: bool = False) -> dict[str, Any]:
    """Writes an export, whole or not at all.

    Args:
        directory: model or work directory of a swapper, or ``embedded/NAME``.
        output: directory to write.
        half: store weights in half precision; they are computed with in float32.

    Returns:
        What stands in ``export.json``.

    Raises:
        UserError: if there is no swapper, something else is in the way, or flatbuffers is missing.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError(
            "got no flatbuffers, with which JAX writes programs; expected it to be installed; "
            "pip install 'alrl_jax[export]'"
        )
    if output.exists() and not (output / EXPORT_FILE).is_file():
        raise UserError(
            f"got --output={output}, which is there and no export; expected a new directory or an "
            "older export; name another"
        )
    check_folder(output)
    model = load_swapper(directory)
    program = export_program(model)
    with atomic_folder(output) as fresh:
        source = read_record(directory)["source"]
        save_model(fresh, model.kind, model.config, model.networks, source=source, half=half)
        write_card(fresh)
        (fresh / PROGRAM_FILE).write_bytes(program.serialize())
        shutil.copy(exported_swap.__file__, fresh / EXAMPLE_FILE)
        facts = description(model, program, fresh)
        write_json(fresh / EXPORT_FILE, facts)
    return facts


def description(
    model: SwapperModel, program: jax.export.Exported, directory: Path
) -> dict[str, Any]:
    """What a caller has to know, as plain values; reads the files of ``directory``."""
    _, source, target, origins = jax.tree.unflatten(program.in_tree, program.in_avals)[0]
    results = jax.tree.unflatten(program.out_tree, program.out_avals)
    meta = read_meta(directory)
    return {
        "program": PROGRAM_FILE,
        "sha256": hashing.file_sha256(directory / PROGRAM_FILE),
        "platforms": list(program.platforms),
        "calling_convention_version": program.calling_convention_version,
        "weights": WEIGHTS_FILE,
        "inputs": {
            "weights": f"arrays by the names of {WEIGHTS_FILE}, half precision as float32",
            "source": _shape(source),
            "target": _shape(target),
            "origins": _shape(origins),
        },
        "images": "face crops as the model was trained on, pixels in [-1, 1]",
        "outputs": {name: _shape(value) for name, value in results.items()},
        "attribute_groups": list(model.config["attribute_groups"]),
        "controlled_groups": list(model.attribute_groups),
        "origins": ORIGIN_CODES,
        "licence": meta["source"].get("licence"),
        "described_in": MODEL_FILE,
        "jax": jax.__version__,
        "tool": f"{version.PACKAGE} {version.tool_version()}",
    }


def _shape(value: Any) -> str:
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"


def main(_: list[str]) -> int:
    """Exports what the flags name and says what was written."""
    values = flags.FLAGS
    output = Path(values.output)
    facts = export_model(values.model, output, values.half)
    print(json.dumps({"output": str(output)} | facts, indent=2))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "model", None, "Model or work directory, or embedded/NAME.", required=True
    )
    command_line.DEFINE_path("output", None, "Directory to write.", required=True)
    flags.DEFINE_boolean("half", False, "Store the weights in half precision.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
