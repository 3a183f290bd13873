"""Trains a task: ``alrl train --config=NAME --workdir=DIR``.

NAME is a shipped config or a file of your own, and may be followed by its argument (``NAME:ROW``).
``--config.FIELD=VALUE`` overrides a field. Started again with the same directory, it goes on from
the newest checkpoint; a finished run ends at once. SIGTERM and SIGINT save and end with status 0.
So does the clock (``--config.max_minutes``), which also writes the model to ``DIR/model``.
Several processes train as one where a cluster (``--distributed``) or the flags
``--coordinator_address``, ``--num_processes`` and ``--process_id`` bring them together.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags, logging

from alrl_jax.config import Config
from alrl_jax.data.opening import BatchRequest, known_shapes, open_batches
from alrl_jax.data.origin import record_origin
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES
from alrl_jax.errors import UserError
from alrl_jax.loading.packaging import package
from alrl_jax.provenance.model_card import CARD_FILE, write_card
from alrl_jax.storage import checkpoint
from alrl_jax.storage.workdir import open_workdir
from alrl_jax.training import distributed
from alrl_jax.training.best import check_best
from alrl_jax.training.held_out import HeldOut
from alrl_jax.training.loop import Batches, Schedule, fit
from alrl_jax.training.losses.table import needed_labels
from alrl_jax.training.metrics import TrainingDiverged
from alrl_jax.training.one_disk import check_one_disk
from alrl_jax.training.sharding import check_batch_size, make_mesh
from alrl_jax.training.stopping import Clock, end_if_compiling
from alrl_jax.training.tasks import make_task
from alrl_jax.training.tasks.task import Measurable, Trainable
from alrl_jax.training.writers import check_writers
from alrl_jax.utils import command_line
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.paths import path_or_mirror

HELD_OUT_PAIRS, HELD_OUT_SPLIT = 64, "development"
"""Pairs of different people that a run measures itself on, and the part of a world they are of."""
MODEL = "model"
"""Model directory within the work directory of a run that the clock may end."""


def train(config: Config, workdir: Path, command: str = "") -> int:
    """Trains, or goes on training, in a directory.

    Args:
        config: what to train on what, and for how long.
        workdir: gets ``config.json``, ``origin.json``, ``checkpoints/``, ``metrics.jsonl``,
            ``samples/`` and at the end ``MODEL_CARD.md``; with ``max_minutes`` also ``model/``.
        command: line that started this, to be noted.

    Returns:
        Finished updates.

    Raises:
        UserError: if the directory, the data or the devices do not fit the configuration.
        TrainingDiverged: if a metric or a parameter is no longer finite.
    """
    clock = Clock(config.max_minutes)
    check_folder(workdir, "--workdir")
    plan, data, usual = schedule(config), data_request(config), defaults(config)
    finished = checkpoint.newest_step(workdir)
    # A name is no checkpoint: what cannot be read is trained again.
    if (finished or 0) >= config.num_steps and checkpoint.is_readable(workdir, finished or 0):
        logging.info("%s has all %d steps: nothing to do", workdir, finished)
        with open_workdir(workdir, config.to_dict(), finished is not None, usual):
            # A run that is killed after its last save has not written it yet.
            if jax.process_index() == 0 and not (workdir / CARD_FILE).exists():
                write_card(workdir)
            if config.max_minutes and not (workdir / MODEL).exists():
                _package(workdir)
        return finished or 0
    # What the configuration alone shows to be wrong is refused before there is a directory.
    task = make_task(config)
    check_writers(config.writers)
    check_best(config.keep_best)
    wanted = batch_request(config, task.batch_kind)
    shapes = known_shapes(data, wanted)
    with open_workdir(workdir, config.to_dict(), finished is not None, usual):
        check_one_disk(workdir)

        def opened() -> Batches:
            batches = open_batches(data, wanted)
            if jax.process_index() == 0:
                record_origin(workdir, data, config.pretrained, command)
            return batches

        # Of photographs, files are looked at before minutes of compiling.
        batches = opened() if shapes is None else opened
        mesh = make_mesh(parameter_shards=config.parameter_shards)
        check_batch_size(config.batch_size, mesh, config.accumulate)
        apart = held_out(config, task, mesh.size)
        step = fit(task, batches, workdir, plan, config.seed, mesh, shapes, clock, apart)
        if checkpoint.newest_step(workdir) is None:
            return step  # a signal came while the first program compiled
        if jax.process_index() == 0:
            write_card(workdir)
        if clock.ended or (config.max_minutes and step == config.num_steps):
            _package(workdir)
        return step


def _package(workdir: Path) -> None:
    """Writes the model of a run that the clock may end beside its checkpoints."""
    if jax.process_count() > 1:
        logging.info("several processes do not package: call alrl package-model")
        return
    logging.info("%s", package(workdir, workdir / MODEL, command=""))


def defaults(config: Config) -> dict[str, Any]:
    """What every field is where a configuration does not have it, losses among them."""
    return Config().to_dict() | {
        "losses": dict.fromkeys(config.losses, 0.0),
        "pretrained": dict.fromkeys(config.pretrained, ""),
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
        steps_per_call=config.steps_per_call,
        profile_steps=config.profile_steps,
        skip_nonfinite=config.skip_nonfinite,
        writers=config.writers,
        keep_best=config.keep_best,
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
        person_per=data.identities,
        cover_share=data.cover_share,
        true_swaps=data.true_swaps,
    )


def batch_request(config: Config, kind: str) -> BatchRequest:
    """How the configuration draws batches of a kind, ``"faces"`` or ``"pairs"``."""
    data = config.data
    return BatchRequest(
        kind,
        config.batch_size,
        config.seed,
        data.same_identity_share,
        data.flip,
        data.witnesses,
        classes=data.num_identities if _tells_people_apart(config) else None,
        parser=bool(config.pretrained.get("parser")),
        needed_labels=needed_labels(config.task, config.losses),
        on_device=data.on_device,
        labels=data.labels,
    )


def _tells_people_apart(config: Config) -> bool:
    """Whether a network has a class for every person."""
    return bool(config.losses.get("arcface")) or config.generator.class_conditional


def held_out(config: Config, task: Trainable, devices: int) -> HeldOut | None:
    """What the configuration measures on the way, on faces that training does not see.

    Args:
        config: of the run.
        task: what it trains.
        devices: which share a batch.

    Raises:
        UserError: if the task measures nothing, or it is not known what to measure on.
    """
    if not config.held_out_every:
        return None
    source = config.data.source
    if not isinstance(task, Measurable):
        raise UserError(
            f"held_out_every is {config.held_out_every} with task {config.task}; expected 0, as "
            "that measures nothing while it trains; set --config.held_out_every=0"
        )
    is_world = SOURCES[source].world is not None
    if not is_world and config.data.held_out is None:
        raise UserError(
            f"held_out_every is {config.held_out_every} with data.source {source}; expected "
            "data.held_out, other faces of the same kind; name them, or set held_out_every to 0"
        )
    pairs = -(-HELD_OUT_PAIRS // devices) * devices
    split = HELD_OUT_SPLIT if is_world else config.data.split
    data = dataclasses.replace(
        data_request(config),
        path=config.data.held_out,
        split=split,
        num_identities=pairs,
        images_per_identity=1,
        true_swaps=False,
    )
    asked = BatchRequest("pairs", pairs, 0, same_identity_share=0.0, flip=False)
    return HeldOut(task, lambda: next(open_batches(data, asked)), config.held_out_every)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and trains; the exit status is 1 where training diverged."""
    logging.set_verbosity(logging.INFO)
    keep_compiled_programs()
    values = flags.FLAGS
    config = Config.from_dict(values.config.to_dict())
    # What cannot be one of these paths is refused before anything is compiled.
    for path in (config.data.path, config.data.held_out):
        _ = DataRequest(config.data.source, path, config.resolution).directory
    for path in config.pretrained.values():
        path_or_mirror(path or "")
    distributed.connect_by_flags(values, values.workdir)
    try:
        command = shlex.join(["python", "-m", "alrl_jax.train", *sys.argv[1:]])
        train(config, Path(values.workdir), command)
        end_if_compiling()
    except TrainingDiverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    command_line.DEFINE_config()
    command_line.DEFINE_path(
        "workdir", None, "Directory of the run.", required=True, bucket="written"
    )
    distributed.define_flags("Train")
    flags.adopt_module_key_flags(distributed)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
