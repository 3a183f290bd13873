"""Trains a task: ``alrl train --config=NAME --workdir=DIR``.

NAME is a shipped config or a file of your own, and may be followed by its argument (``NAME:ROW``).
``--config.FIELD=VALUE`` overrides a field. Started again with the same directory, it goes on from
the newest checkpoint; a finished run ends at once. SIGTERM and SIGINT save and end with status 0.
Several processes train as one where a cluster (``--distributed``) or the flags
``--coordinator_address``, ``--num_processes`` and ``--process_id`` bring them together.
"""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from absl import flags, logging

from alrl_jax.config import Config
from alrl_jax.data.origin import data_entry
from alrl_jax.data.pipeline import batch_shapes, make_iterator
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import known_layout, open_source, open_true_swaps
from alrl_jax.errors import UserError
from alrl_jax.provenance import lineage
from alrl_jax.provenance.model_card import CARD_FILE, write_card
from alrl_jax.storage import checkpoint
from alrl_jax.storage.workdir import open_workdir
from alrl_jax.training.distributed import CLUSTERS, connect, meeting
from alrl_jax.training.loop import Batches, Schedule, fit
from alrl_jax.training.metrics import TrainingDiverged
from alrl_jax.training.sharding import make_mesh
from alrl_jax.training.tasks import make_task
from alrl_jax.types import FaceBatch, PairBatch
from alrl_jax.utils import command_line, version
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.paths import local_path


def train(config: Config, workdir: Path, command: str = "") -> int:
    """Trains, or goes on training, in a directory.

    Args:
        config: what to train on what, and for how long.
        workdir: gets ``config.json``, ``origin.json``, ``checkpoints/``, ``metrics.jsonl``,
            ``samples/`` and at the end ``MODEL_CARD.md``.
        command: line that started this, to be noted.

    Returns:
        Finished updates.

    Raises:
        UserError: if the directory, the data or the devices do not fit the configuration.
        TrainingDiverged: if a metric or a parameter is no longer finite.
    """
    plan, usual = schedule(config), defaults(config)
    finished = checkpoint.newest_step(workdir)
    with open_workdir(workdir, config.to_dict(), finished is not None, usual):
        if finished is not None and finished >= config.num_steps:
            logging.info("%s has all %d steps: nothing to do", workdir, finished)
            # A run that is killed after its last save has not written it yet.
            if jax.process_index() == 0 and not (workdir / CARD_FILE).exists():
                write_card(workdir)
            return finished
        task = make_task(config)

        def opened() -> Batches:
            batches = open_batches(config, task.batch_kind)
            if jax.process_index() == 0:
                run_origin = origin(config, command)
                lineage.write_origin(workdir, run_origin)
            return batches

        shapes = known_shapes(config, task.batch_kind)
        # Of photographs, files are looked at before minutes of compiling.
        batches = opened() if shapes is None else opened
        mesh = make_mesh(parameter_shards=config.parameter_shards)
        step = fit(task, batches, workdir, plan, config.seed, mesh, shapes)
        if jax.process_index() == 0:
            write_card(workdir)
        return step


def defaults(config: Config) -> dict[str, Any]:
    """What every field is where a configuration does not have it, losses among them."""
    return Config().to_dict() | {
        "losses": dict.fromkeys(config.losses, 0.0),
        "pretrained": dict.fromkeys(config.pretrained, ""),
    }


def origin(config: Config, command: str) -> dict[str, Any]:
    """Where a run comes from: code, machine, data, and the weights that it takes from others."""
    device = jax.devices()[0]
    return {
        "command": command,
        "git_revision": version.git_revision(),
        "hardware": f"{jax.device_count()} x {device.device_kind} ({device.platform}), "
        f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "jax": jax.__version__,
        "data": data_entry(data_request(config)),
        "pretrained": lineage.entries(config.pretrained),
    }


def schedule(config: Config) -> Schedule:
    """The part of the configuration that steers the loop."""
    return Schedule(
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        sample_every=config.sample_every,
        keep_checkpoints=config.keep_checkpoints,
    )


def data_request(config: Config) -> DataRequest:
    """What the configuration asks of its source."""
    data = config.data
    return DataRequest(
        data.source,
        data.path,
        config.resolution,
        data.num_identities,
        data.images_per_identity,
        split=data.split,
        identities=data.identities,
        true_swaps=data.true_swaps,
    )


def known_shapes(config: Config, kind: str) -> FaceBatch | PairBatch | None:
    """What a global batch will look like, where that is known before the data are opened."""
    data = config.data
    layout = known_layout(data_request(config))
    if layout is None or layout.resolution != config.resolution:
        return None
    return batch_shapes(layout, kind, config.batch_size, data.true_swaps, data.witnesses)


def open_batches(config: Config, kind: str) -> Batches:
    """This process's batches of the configured data.

    Args:
        config: see ``config.data``.
        kind: ``"faces"`` or ``"pairs"``.

    Raises:
        UserError: if the data cannot be read.
    """
    request = data_request(config)
    source = open_source(request)
    for name, reason in source.report:
        logging.warning("skipped %s: %s", name, reason)
    if not source.layout.attribute_factors:
        few = np.linspace(0, len(source) - 1, 16).astype(np.int64)
        masked = source.read(few)["labelled"].any()
        known = (
            "masks alone: losses that need more" if masked else "no labels: losses that need any"
        )
        if config.pretrained.get("parser"):
            known = "no labels but masks, their own or the parser's: losses that need more"
        logging.warning("the data have %s are off", known)
    people = int(source.identities.max()) + 1
    if config.losses.get("arcface") and people > config.data.num_identities:
        raise UserError(
            f"got people up to number {people - 1} in the data; expected at most "
            f"{config.data.num_identities} of them (data.num_identities), as ArcFace has a class "
            f"for each; set it to {people}"
        )
    data, truths = config.data, None
    if data.true_swaps:
        logging.warning("training sees true swaps: a ceiling, to be called by that name")
        truths = open_true_swaps(request)
    return make_iterator(
        source,
        kind=kind,
        batch_size=config.batch_size,
        seed=config.seed,
        same_identity_share=config.data.same_identity_share,
        flip=config.data.flip,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        truths=truths,
        witnesses=data.witnesses,
    )


def main(argv: Sequence[str]) -> int:
    """Reads the flags and trains; the exit status is 1 where training diverged."""
    logging.set_verbosity(logging.INFO)
    keep_compiled_programs()
    values = flags.FLAGS
    config = Config.from_dict(values.config.to_dict())
    for path in (config.data.path, *config.pretrained.values()):
        local_path(path or "")  # an address is refused before anything is compiled
    by_hand = meeting(values.coordinator_address, values.num_processes, values.process_id)
    connect(values.distributed, by_hand)
    try:
        command = shlex.join(["python", "-m", "alrl_jax.train", *sys.argv[1:]])
        train(config, Path(values.workdir), command)
    except TrainingDiverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    command_line.DEFINE_config()
    command_line.DEFINE_path("workdir", None, "Directory of the run.", required=True)
    flags.DEFINE_enum(
        "distributed", None, list(CLUSTERS), "Train with the other processes of this cluster."
    )
    flags.DEFINE_string("coordinator_address", None, "By hand: HOST:PORT of process 0.")
    flags.DEFINE_integer("num_processes", None, "By hand: how many train together.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "By hand: number of this one.", lower_bound=0)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
