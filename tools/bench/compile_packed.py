"""What packing the last block of a generator is worth on a TPU, as its compiler estimates.

    PYTHONPATH=compilers python -m tools.bench.compile_packed --resolution=256 --batch=8

Compiles synthesis in bfloat16 for one chip, with and without (``models/stylegan2/packed.py``); see
``alrl compile-for`` for the compilers. Prints a JSON object for each form.
"""

import json
from typing import NoReturn

import jax
import jax.numpy as jnp
from absl import flags

from alrl_jax.commands.scaling_report import placed
from alrl_jax.models.stylegan2.generator import Generator, num_latents
from alrl_jax.profiling import compiled as reading
from alrl_jax.profiling import machines
from alrl_jax.training import sharding
from alrl_jax.utils import command_line

CHANNEL_BASE = {256: 16384}
"""Of the generators of FFHQ, by resolution; 32768 elsewhere."""


def main(_: list[str]) -> int:
    """Compiles both forms and prints what the compiler says."""
    values = flags.FLAGS
    machines.stay_on_cpu()
    topology = machines.parse_topology(values.topology)
    mesh = sharding.make_mesh(machines.describe_devices(topology)[:1])
    chip, side = machines.CHIPS[topology.chip], values.resolution
    base = CHANNEL_BASE.get(side, 32768)
    for packed in (False, True):
        generator = Generator(side, channel_base=base, dtype=jnp.bfloat16, packed=packed)
        weights = jax.eval_shape(generator.init, jax.random.key(0), jnp.zeros((1, 512)))
        ws = jax.ShapeDtypeStruct((values.batch, num_latents(side), 512), jnp.float32)
        given = placed((weights, ws), sharding.replicated(mesh))
        draw = jax.jit(lambda v, w, g=generator: g.apply(v, w, method="synthesize"))
        program = draw.lower(*given).compile()
        memory = program.memory_analysis()
        cycles = reading.estimated_cycles(program.as_text() or "")
        assert memory is not None and cycles is not None
        found = {
            "packed": packed,
            "estimated_milliseconds": round(1e3 * cycles / chip.clock, 2),
            "work_gib": round(memory.temp_size_in_bytes / machines.GIB, 2),
        }
        print(json.dumps(found), flush=True)
    return 0


def cli() -> NoReturn:
    """The command."""
    flags.DEFINE_integer("resolution", 256, "Side of the images.")
    flags.DEFINE_integer("batch", 8, "Images.", lower_bound=1)
    flags.DEFINE_string("topology", "v5e:1x1", "A TPU; see alrl compile-for.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
