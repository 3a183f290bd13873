"""Predicts how a config's training step would run on many chips, without any of them.

    alrl scaling-report --config=ffhq_1024 --batch=2 --fabricate

Every chip updates on ``--batch`` examples; the batch grows with the chips. What is counted:
operations of a step (XLA, before optimisation), bytes of the gradients that are summed over all
chips, of the records that a host reads, and of a checkpoint. What is assumed: the flags. Gradients
are summed within a host, then between hosts, then spread within the host; ``efficiency`` hides none
of that behind the backward pass, ``efficiency_hidden`` all that fits there (two thirds of the
step).
``--compiled_for=N`` also compiles the step for N devices of this machine (as many as
JAX_NUM_CPU_DEVICES says) and reports the collectives that are really in it.
"""

import dataclasses
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags

from alrl_jax.commands.memory_report import AbstractRun, abstract_run, fabricated
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.profiling.collectives import collective_bytes
from alrl_jax.training import sharding
from alrl_jax.training.state import PyTree, TrainState
from alrl_jax.training.step import lower_step
from alrl_jax.utils import command_line

BACKWARD = 2 / 3
"""Share of a step in which gradients come to be one by one."""
BUCKET_BYTES = 30 * 2**20
"""Gradients that are summed at once: what XLA joins on GPUs."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What a prediction assumes of chips and wires.

    Attributes:
        flops: operations a second that a chip sustains.
        chips_a_host: chips that share a host.
        inside: bytes a second that a chip sends to others of its host.
        outside: bytes a second that a chip sends to other hosts.
        latency: seconds until a message arrives elsewhere.
        disk: bytes a second that a host writes.
    """

    flops: float
    chips_a_host: int
    inside: float
    outside: float
    latency: float
    disk: float


def trained_bytes(state: TrainState) -> int:
    """Bytes of the gradients: of all parameters that an optimiser updates, in float32."""
    return tree_bytes([state.params[name] for name in state.opt_state])


def tree_bytes(tree: PyTree) -> int:
    """Bytes of all arrays of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def record_bytes(abstract: AbstractRun) -> int:
    """Bytes of a batch as data sets store it: eight bits a pixel and channel, and a label."""
    faces = [abstract.batch]
    if hasattr(abstract.batch, "source"):
        faces = [abstract.batch.source, abstract.batch.target]  # pyright: ignore
    return sum(each.image.size + each.parsing.size for each in faces)  # pyright: ignore


def seconds_to_sum(size: float, chips: int, cluster: Cluster) -> float:
    """Seconds that chips need to sum ``size`` bytes: by rings within hosts, trees between them."""
    local = min(chips, cluster.chips_a_host)
    hosts = math.ceil(chips / cluster.chips_a_host)
    within = 2 * (local - 1) / local * size / cluster.inside
    between = 2 * (hosts - 1) / hosts * size / local / cluster.outside
    messages = 2 * (local - 1) + 2 * math.ceil(math.log2(hosts))
    return within + between + math.ceil(size / BUCKET_BYTES) * messages * cluster.latency


def predict(
    flops: float, gradients: float, records: float, examples: int, chips: int, cluster: Cluster
) -> dict[str, Any]:
    """A step on so many chips.

    Args:
        flops: operations of a chip's share of a step.
        gradients: bytes that are summed over all chips.
        records: bytes that a chip's share of a batch takes up in the data set.
        examples: in that share.
        chips: how many.
        cluster: what is assumed.
    """
    compute = flops / cluster.flops
    communicate = seconds_to_sum(gradients, chips, cluster)
    hidden = max(0.0, communicate - BACKWARD * compute)
    step = compute + communicate
    return {
        "chips": chips,
        "batch": examples * chips,
        "compute_ms": round(1e3 * compute, 1),
        "sum_ms": round(1e3 * communicate, 1),
        "efficiency": round(compute / step, 3),
        "efficiency_hidden": round(compute / (compute + hidden), 3),
        "rows_per_second": round(examples * chips / step, 1),
        "host_reads_mb_per_second": round(
            records * min(chips, cluster.chips_a_host) / step / 1e6, 1
        ),
    }


def compiled_collectives(abstract: AbstractRun, shards: int) -> dict[str, dict[str, int]]:
    """Collectives of the first step, compiled for all devices of this machine."""
    mesh = sharding.make_mesh(parameter_shards=shards)
    state = sharding.abstract_state(mesh, abstract.state)
    frozen = placed(abstract.frozen, sharding.replicated(mesh))
    batch = placed(abstract.batch, sharding.batch_sharding(mesh))
    lowered = lower_step(abstract.task, abstract.phases()[0], mesh, state, frozen, batch)
    return collective_bytes(lowered.compile().as_text() or "")


def placed(tree: PyTree, where: jax.sharding.Sharding) -> PyTree:
    """Shapes of arrays that lie somewhere."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree)


def report(config: Config, chips: Sequence[int], cluster: Cluster) -> dict[str, Any]:
    """What is counted of a config's step on one chip, and what follows for many."""
    abstract = abstract_run(config)
    lowered = abstract.lower(abstract.phases()[0])
    flops = (lowered.cost_analysis() or {}).get("flops", 0.0)
    gradients, records = trained_bytes(abstract.state), record_bytes(abstract)
    checkpoint = tree_bytes(abstract.state)
    return {
        "counted": {
            "teraflops_a_chip": round(flops / 1e12, 3),
            "gradient_mb": round(gradients / 1e6, 1),
            "record_mb_a_chip": round(records / 1e6, 2),
            "checkpoint_gb": round(checkpoint / 1e9, 2),
        },
        "assumed": dataclasses.asdict(cluster),
        "checkpoint_seconds_one_host": round(checkpoint / cluster.disk, 1),
        "predicted": [
            predict(flops, gradients, records, config.batch_size, n, cluster) for n in chips
        ],
    }


def main(_: list[str]) -> int:
    """Reports on the config of the flags."""
    values = flags.FLAGS
    count = values.compiled_for
    if count and count != jax.device_count():
        raise UserError(
            f"got --compiled_for={count} on {jax.device_count()} devices; expected all of them; "
            f"set JAX_NUM_CPU_DEVICES={count}"
        )
    given = values.config.to_dict()
    given["batch_size"] = values.batch
    given["discriminator"]["mbstd_blocks"] = 1
    config = Config.from_dict(given)
    cluster = Cluster(
        flops=values.peak_tflops * 1e12 * values.utilisation,
        chips_a_host=values.chips_a_host,
        inside=values.inside_gb * 1e9,
        outside=values.outside_gb * 1e9,
        latency=values.latency_us * 1e-6,
        disk=values.disk_gb * 1e9,
    )
    with tempfile.TemporaryDirectory() as scratch:
        if values.fabricate:
            config = fabricated(config, Path(scratch))
        print(json.dumps(report(config, [int(n) for n in values.chips], cluster), indent=2))
        if count:
            many = Config.from_dict({**config.to_dict(), "batch_size": values.batch * count})
            found = compiled_collectives(abstract_run(many), config.parameter_shards)
            print(json.dumps({"compiled_for": count, "collectives": found}, indent=2))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_config()
    flags.DEFINE_integer("batch", 1, "Examples of one chip.", lower_bound=1)
    flags.DEFINE_boolean("fabricate", False, "Take shapes of the published networks.")
    flags.DEFINE_list("chips", ["8", "64", "512"], "How many chips.")
    flags.DEFINE_float("peak_tflops", 312.0, "Of a chip, in the type of the config (A100).")
    flags.DEFINE_float("utilisation", 0.2, "Share of the peak that a step sustains.")
    flags.DEFINE_integer("chips_a_host", 8, "Chips of a host.", lower_bound=1)
    flags.DEFINE_float("inside_gb", 200.0, "GB a second between chips of a host.")
    flags.DEFINE_float("outside_gb", 25.0, "GB a second from a chip to other hosts.")
    flags.DEFINE_float("latency_us", 10.0, "Microseconds of a message.")
    flags.DEFINE_float("disk_gb", 1.0, "GB a second that a host writes.")
    flags.DEFINE_integer("compiled_for", 0, "Compile for so many devices of this machine.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
