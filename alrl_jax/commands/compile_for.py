"""Compiles a config's programs for accelerators that are not there, and says what they would take.

    alrl compile-for --topology=v5e:2x4 --config=ffhq_256 --batch=8 --fabricate --output=FILE

Writes a JSON object with, for every program (the phases of a training step; the synthesis of
images; a swap): memory of a chip and whether it fits, operations and bytes of a chip and what
bounds their time, collectives, convolutions in float32, and the ten operations that move most
bytes. All of it is what XLA's compiler for that hardware says; nothing has run. The compilers are
packages of their makers (``libtpu``: Google's terms; those of CUDA for JAX: Apache-2.0):

    pip install --no-deps --target compilers libtpu jax-cuda12-plugin jax-cuda12-pjrt \\
        nvidia-cuda-nvcc-cu12
    PYTHONPATH=compilers alrl compile-for ...
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from absl import flags

from alrl_jax.commands.memory_report import GIB, AbstractRun, abstract_run, fabricated
from alrl_jax.commands.scaling_report import placed
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.models import build
from alrl_jax.models.stylegan2 import packed
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.swapper import NETWORKS
from alrl_jax.profiling import compiled as reading
from alrl_jax.profiling import machines
from alrl_jax.profiling.collectives import collective_bytes
from alrl_jax.training import sharding
from alrl_jax.training.step import lower_step
from alrl_jax.utils import command_line

WHAT = ("train", "infer", "synthesis")
SLOWEST = 10

Program = tuple[dict[str, Any], jax.stages.Lowered]
"""What a program is, and itself."""


def training_steps(run: AbstractRun, mesh: jax.sharding.Mesh) -> Iterator[Program]:
    """An update in every phase of lazy regularisation."""
    state = sharding.abstract_state(mesh, run.state)
    frozen = placed(run.frozen, sharding.replicated(mesh))
    batch = placed(run.batch, sharding.batch_sharding(mesh))
    for phase in run.phases():
        name = {"what": "train", "r1": phase.r1, "path_length": phase.path_length}
        yield name, lower_step(run.task, phase, mesh, state, frozen, batch)


def synthesis(run: AbstractRun, mesh: jax.sharding.Mesh, images: int) -> Iterator[Program]:
    """Images of a config's generator from W+ codes."""
    model = run.task.export(run.state, run.frozen)
    swapper = model.kind == "swapper"
    if not swapper and model.kind != "generator":
        raise UserError(
            f"got --what=synthesis with a config of kind {model.kind!r}; expected one that has a "
            "generator; name another, or --what=train"
        )
    generator = build.build_generator(model.config["generator"] if swapper else model.config)
    weights = model.variables["generator"] if swapper else model.variables
    codes = images, num_latents(generator.resolution), generator.w_dim
    ws = jax.ShapeDtypeStruct(codes, jnp.float32)

    def draw(weights: Any, ws: Any) -> Any:
        return generator.apply(weights, ws, method="synthesize")

    yield {"what": "synthesis"}, _lower(draw, mesh, weights, ws)


def swaps(run: AbstractRun, mesh: jax.sharding.Mesh, images: int) -> Iterator[Program]:
    """The swap of pairs of face crops."""
    model = run.task.export(run.state, run.frozen)
    if model.kind != "swapper":
        raise UserError(
            f"got --what=infer with a config of kind {model.kind!r}; expected one of task swap; "
            "name another, or --what=train"
        )
    swapper, side = build.build_swapper(model.config), int(model.config["resolution"])
    variables = {"swap": {}, "target_features": {}, **model.variables}
    networks = {name: variables[name] for name in NETWORKS if name in variables}
    faces = jax.ShapeDtypeStruct((images, side, side, 3), jnp.float32)

    def swap(networks: Any, faces: tuple[Any, Any]) -> Any:
        source, target = faces
        return swapper.swap(networks, source, target, swapper.overrides({})).image

    yield {"what": "infer"}, _lower(swap, mesh, networks, (faces, faces))


def _lower(function: Any, mesh: jax.sharding.Mesh, weights: Any, inputs: Any) -> jax.stages.Lowered:
    """The program of a function of weights, which all chips have, and a batch, which is split."""
    trees = (
        placed(weights, sharding.replicated(mesh)),
        placed(inputs, sharding.batch_sharding(mesh)),
    )
    leaves, structure = jax.tree.flatten(trees)
    return jax.jit(lambda leaves: function(*jax.tree.unflatten(structure, leaves))).lower(leaves)


def report(name: dict[str, Any], lowered: jax.stages.Lowered, topology: machines.Topology) -> Any:
    """What a compiled program takes of one chip."""
    chip, begin = machines.CHIPS[topology.chip], time.perf_counter()
    compiled = lowered.compile(machines.compiler_options(topology))
    seconds = time.perf_counter() - begin
    memory, text = compiled.memory_analysis(), compiled.as_text() or ""
    assert memory is not None
    parts = {
        "arguments": memory.argument_size_in_bytes,
        "results": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "work": memory.temp_size_in_bytes,
    }
    total, costly = sum(parts.values()), reading.costly_operations(text)
    costs = compiled.cost_analysis() or {}
    flops, moved = costs.get("flops", 0.0), costs.get("bytes accessed", 0.0)
    if not flops:  # XLA's compiler for GPUs counts nothing
        flops = (lowered.cost_analysis() or {}).get("flops", 0.0) / topology.count
        moved = float(sum(each["bytes"] for each in costly))
    bounds = {"operations": flops / chip.flops, "bytes": moved / chip.bandwidth}
    cycles = reading.estimated_cycles(text)
    return name | {
        "memory_gib": {part: round(size / GIB, 3) for part, size in parts.items()},
        "memory_gib_in_all": round(total / GIB, 3),
        "fits": total <= chip.memory,
        "spare_gib": round((chip.memory - total) / GIB, 3),
        "teraflops": round(flops / 1e12, 4),
        "gigabytes": round(moved / 1e9, 3),
        "bound_by": max(bounds, key=lambda each: bounds[each]),
        "least_milliseconds": round(1e3 * max(bounds.values()), 3),
        "estimated_milliseconds": cycles and round(1e3 * cycles / chip.clock, 3),
        "collectives": collective_bytes(text),
        "float32_convolutions": reading.float32_convolutions(text),
        "slowest": costly[:SLOWEST],
        "compiled_in_seconds": round(seconds, 1),
    }


def compile_for(
    given: Mapping[str, Any], topology: machines.Topology, batch: int, what: str, fabricate: bool
) -> list[dict[str, Any]]:
    """Reports on all programs of a config.

    Args:
        given: fields of the config; its batch is replaced.
        topology: what to compile for.
        batch: images, or pairs, of one chip.
        what: entry of ``WHAT``.
        fabricate: take shapes of published networks for all that the config takes from directories.
    """
    mesh = sharding.make_mesh(machines.describe_devices(topology))
    images = batch * topology.count
    blocks = {**given["discriminator"], "mbstd_blocks": topology.count}
    config = Config.from_dict({**given, "batch_size": images, "discriminator": blocks})
    with (
        tempfile.TemporaryDirectory() as scratch,
        packed.drawing_on(machines.CHIPS[topology.chip].platform),
    ):
        run = abstract_run(fabricated(config, Path(scratch)) if fabricate else config)
        programs = {
            "train": lambda: training_steps(run, mesh),
            "infer": lambda: swaps(run, mesh, images),
            "synthesis": lambda: synthesis(run, mesh, images),
        }
        return [report(name, lowered, topology) for name, lowered in programs[what]()]


def main(_: list[str]) -> int:
    """Compiles, and writes what came of it."""
    values = flags.FLAGS
    topology = machines.parse_topology(values.topology)
    machines.stay_on_cpu()
    given = values.config.to_dict()
    rows = compile_for(given, topology, values.batch, values.what, values.fabricate)
    chip = machines.CHIPS[topology.chip]
    found = {
        "topology": values.topology,
        "chips": topology.count,
        "batch_a_chip": values.batch,
        "chip": {
            "memory_gib": chip.memory / GIB,
            "bfloat16_teraflops": chip.flops / 1e12,
            "bandwidth_gb": chip.bandwidth / 1e9,
        },
        "programs": rows,
    }
    Path(values.output).write_text(json.dumps(found, indent=1) + "\n")
    for row in rows:
        fits = "fits" if row["fits"] else "does not fit"
        print(
            f"{row['what']}: {row['memory_gib_in_all']} of {chip.memory / GIB:g} GiB, {fits} "
            f"({row['spare_gib']:+g} GiB); at least {row['least_milliseconds']} ms, bound by "
            f"{row['bound_by']}"
        )
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_config()
    flags.DEFINE_string("topology", None, "CHIP:SHAPE, as v5e:2x4 or a100:8.", required=True)
    flags.DEFINE_enum("what", "train", WHAT, "Which programs.")
    flags.DEFINE_integer("batch", 1, "Images, or pairs, of one chip.", lower_bound=1)
    flags.DEFINE_boolean("fabricate", False, "Take shapes of the published networks.")
    command_line.DEFINE_path("output", None, "JSON file to write.", required=True)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
