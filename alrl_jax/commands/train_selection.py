"""Trains the selection of codes alone, on codes that are computed once.

    alrl train-selection --model=models/swapper --data=data/faces --workdir=runs/selection \\
        --output=models/adaptive

Generator, encoder and loss networks stay as they are, as those that ``alrl assemble-swapper`` put
together; a fixed rule becomes an adaptive selection. The codes of all faces are computed once and
kept in the user's cache, by names that change with every pixel, weight and line of code that
made them. ``--parts`` draws a batch in parts, where the memory is small. A run that was stopped
goes on where it was, also with other ``--steps``; when it has them all, its model is written.
"""

import shlex
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags, logging

from alrl_jax.data.origin import data_entry
from alrl_jax.data.pipeline import make_draws
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES, open_source
from alrl_jax.errors import UserError
from alrl_jax.inference.cached_codes import codes_of
from alrl_jax.inference.selection_task import CodedBatches, SelectionTask
from alrl_jax.loading import SwapperModel, load_swapper
from alrl_jax.profiling.count_flops import count_flops
from alrl_jax.provenance import lineage
from alrl_jax.provenance.model_card import write_card
from alrl_jax.storage.checkpoint import Checkpointer, newest_step
from alrl_jax.storage.model_directory import check_target, save_model
from alrl_jax.storage.workdir import open_workdir
from alrl_jax.training.loop import Schedule, fit
from alrl_jax.training.sharding import abstract_state, make_mesh
from alrl_jax.utils import command_line
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.hashing import variables_sha256
from alrl_jax.utils.printing import say

Values = dict[str, Any]
RUN = ("data", "data_source", "split", "num_identities", "images_per_identity")
RUN = (*RUN, "batch_size", "parts", "same_identity_share", "learning_rate", "seed")
"""Flags that make a run what it is: one that goes on has the same; ``--steps`` may change."""


def main(_: list[str]) -> int:
    """Computes codes, trains, and writes the model."""
    logging.set_verbosity(logging.INFO)
    keep_compiled_programs()
    values = flags.FLAGS
    if values.batch_size % values.parts:
        raise UserError(
            f"got --batch_size={values.batch_size} in --parts={values.parts}; expected parts of "
            "one size; change one of them"
        )
    workdir, output = Path(values.workdir), Path(values.output)
    check_target(output)
    model = load_swapper(values.model)
    task = SelectionTask(model, values.steps, values.learning_rate, values.parts, values.seed)
    request = _request(int(model.config["resolution"]))
    run = {name: values[name].value for name in RUN}
    run |= {"model": variables_sha256(model.variables), "num_steps": values.steps}
    _say_work(task)
    with open_workdir(workdir, run, newest_step(workdir) is not None):
        step = fit(task, lambda: _batches(model, request), workdir, _schedule(), values.seed)
        if step < values.steps:  # a run that has more already is done
            say(f"{workdir}: stopped after {step} of {values.steps} steps; start it again to go on")
            return 0
        _write(model, task, workdir, output, _origin(values.model, request))
    say(f"{output}: swapper with a selection of {step} steps")
    return 0


def _request(resolution: int) -> DataRequest:
    values = flags.FLAGS
    people = values.num_identities, values.images_per_identity
    return DataRequest(
        values.data_source, values.data, resolution, *people, split=values.split, seed=0
    )


def _batches(model: SwapperModel, request: DataRequest) -> CodedBatches:
    """The data set, its codes, and the draws of pairs."""
    values, source = flags.FLAGS, open_source(request)
    begin = time.perf_counter()
    codes = codes_of(model, source)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(codes)) / 2**20
    seconds = time.perf_counter() - begin
    say(f"codes of {len(source)} faces: {held:.1f} MiB, {seconds:.1f} s", sys.stderr)
    share = values.same_identity_share
    draws = make_draws(
        source, "pairs", values.batch_size, values.seed, same_identity_share=share, flip=False
    )
    return CodedBatches(source, codes, draws)


def _schedule() -> Schedule:
    values = flags.FLAGS
    every = max(1, values.steps // 10)
    return Schedule(
        num_steps=values.steps,
        batch_size=values.batch_size,
        log_every=min(20, every),
        checkpoint_every=every,
        sample_every=0,
        keep_checkpoints=2,
    )


def _say_work(task: SelectionTask) -> None:
    """Prints what a run costs before it begins."""
    values, flops = flags.FLAGS, count_flops(task.program())
    pairs = values.steps * values.batch_size
    if flops is not None:
        flops /= values.parts
        say(
            f"{flops / 1e12:.4g} TFLOP a pair, {flops * pairs / 1e15:.4g} PFLOP in "
            f"{values.steps} steps of {values.batch_size}, in {values.parts} parts each",
            sys.stderr,
        )


def _origin(directory: str, request: DataRequest) -> Values:
    """What the model's card says of where it comes from."""
    parts, data = lineage.entries({"swapper": directory}), data_entry(request)
    terms = lineage.terms(data, parts)
    return {
        "command": shlex.join(["alrl", "train-selection", *sys.argv[1:]]),
        "data": data,
        "pretrained": parts,
        "terms": terms,
        "licence": lineage.licence(terms),
        "config": {name: flags.FLAGS[name].value for name in (*RUN, "steps")},
    }


def _write(
    model: SwapperModel, task: SelectionTask, workdir: Path, output: Path, source: Values
) -> None:
    """The model directory of a finished run, with the averaged selection."""
    shapes = jax.eval_shape(task.init, jax.random.key(0), task.load_pretrained())
    with Checkpointer(workdir, 2) as checkpointer:
        restored = checkpointer.restore(abstract_state(make_mesh(), shapes))
    assert restored is not None, "fit has just saved it"
    variables = {**model.variables, "swap": jax.device_get(restored.state.ema["swap"])}
    save_model(output, model.kind, task.config, variables, source=source)
    write_card(output)


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path(
        "model", None, "Swapper of which all but the selection is kept.", required=True
    )
    command_line.DEFINE_path("data", None, "Where the data lie; a world needs none.")
    flags.DEFINE_enum("data_source", "prepared", list(SOURCES), "What kind of data they are.")
    flags.DEFINE_string("split", "train", "Part of a world's people, or of a TFDS data set.")
    flags.DEFINE_integer("num_identities", 1000, "People of a world.", lower_bound=2)
    flags.DEFINE_integer("images_per_identity", 2, "Photos of each of them.", lower_bound=1)
    command_line.DEFINE_path("workdir", None, "Directory of the run.", required=True)
    command_line.DEFINE_path("output", None, "Model directory to write.", required=True)
    flags.DEFINE_integer("steps", 2000, "Updates.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Pairs of an update.", lower_bound=1)
    flags.DEFINE_integer("parts", 1, "Parts in which a batch is drawn.", lower_bound=1)
    flags.DEFINE_float(
        "same_identity_share",
        0.25,
        "Share of pairs of one person, whose swap is the target; 0 without second pictures.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_float("learning_rate", 2e-3, "Peak rate.", lower_bound=0.0)
    flags.DEFINE_integer("seed", 0, "Of weights, pairs and noise.", lower_bound=0)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
