"""Memory and work of a config's training step, by compiling it without any weights.

    alrl memory-report --config=ffhq_1024 --batch=2 [--fabricate]

Prints a JSON object a phase of lazy regularisation: what one device holds while it updates on
``--batch`` images, as the compiler of this machine's devices counts it, and the operations of the
update. ``--fabricate`` takes shapes of the published networks instead of the directories that the
config names. Nothing is read but shapes, and nothing is computed.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags

from alrl_jax.commands.fabricate_models import fabricate_for
from alrl_jax.config import Config
from alrl_jax.data.pipeline import batch_shapes
from alrl_jax.data.records import Layout
from alrl_jax.storage.model_directory import read_shapes
from alrl_jax.training.loop import PHASE_CYCLE
from alrl_jax.training.sharding import make_mesh
from alrl_jax.training.state import PyTree, TrainState
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import Task, make_task
from alrl_jax.training.tasks.task import Phase
from alrl_jax.types import FaceBatch, PairBatch
from alrl_jax.utils import command_line

GIB = 2**30


def fabricated(config: Config, output: Path) -> Config:
    """The config with shapes of published networks for all that it takes from directories."""
    paths = fabricate_for(config, output, shapes_only=True)
    pretrained = {name: str(path) for name, path in paths.items()}
    return Config.from_dict({**config.to_dict(), "pretrained": pretrained})


@dataclasses.dataclass(frozen=True)
class AbstractRun:
    """A training run of which nothing but shapes is known."""

    task: Task
    state: TrainState
    frozen: dict[str, PyTree]
    batch: FaceBatch | PairBatch

    def phases(self) -> list[Phase]:
        """The phases of lazy regularisation, that of the first step first."""
        phases = dict.fromkeys(self.task.phase(step) for step in range(PHASE_CYCLE))
        return [phase for phase in phases if isinstance(phase, Phase)]

    def lower(self, phase: Phase) -> jax.stages.Lowered:
        """The program of an update on one device."""
        mesh = make_mesh(jax.devices()[:1])
        return lower_step(self.task, phase, mesh, self.state, self.frozen, self.batch)


def abstract_run(config: Config) -> AbstractRun:
    """The run that a config describes; of its model directories, only shapes are read."""
    task = make_task(config)
    pretrained, frozen = task.load_pretrained(read_shapes), task.load_frozen(read_shapes)
    state = jax.eval_shape(task.init, jax.random.key(0), pretrained)
    # Photographs, about which nothing but masks is known.
    layout, witnesses = Layout(config.resolution), config.data.witnesses
    batch = batch_shapes(layout, task.batch_kind, config.batch_size, witnesses=witnesses)
    return AbstractRun(task, state, frozen, batch)


def report(phase: Phase, lowered: jax.stages.Lowered) -> dict[str, Any]:
    """What a compiled step holds on one device, in GiB, and its work."""
    begin = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - begin
    memory = compiled.memory_analysis()
    assert memory is not None
    parts = {
        "arguments": memory.argument_size_in_bytes,
        "results": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "work": memory.temp_size_in_bytes,
    }
    device = jax.devices()[0]
    counted = lowered.cost_analysis() or {}
    return {
        "phase": {"r1": phase.r1, "path_length": phase.path_length},
        "device": f"{device.device_kind} ({device.platform})",
        "gib": {name: round(size / GIB, 2) for name, size in parts.items()},
        "gib_in_all": round(sum(parts.values()) / GIB, 2),
        "teraflops": round(counted.get("flops", 0.0) / 1e12, 2),
        "compiled_in_seconds": round(seconds, 1),
    }


def main(_: list[str]) -> int:
    """Reports on the config of the flags."""
    values = flags.FLAGS
    given = values.config.to_dict()
    given["batch_size"] = values.batch
    given["discriminator"]["mbstd_blocks"] = 1
    config = Config.from_dict(given)
    with tempfile.TemporaryDirectory() as scratch:
        if values.fabricate:
            config = fabricated(config, Path(scratch))
        abstract = abstract_run(config)
    for phase in abstract.phases():
        print(json.dumps(report(phase, abstract.lower(phase))), flush=True)
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_config()
    flags.DEFINE_integer("batch", 1, "Images of one device.", lower_bound=1)
    flags.DEFINE_boolean("fabricate", False, "Take shapes of the published networks.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
