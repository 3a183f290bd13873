"""The training loop: one for every task. It moves data, saves, logs and stops; no maths.

A step's number is the count of finished updates; it names the checkpoint, the line of metrics and
the picture, and seeds every draw of the task. Saving always comes before the next batch is drawn,
so the state, the counter and the data iterator of a checkpoint belong together.
"""

import dataclasses
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
from absl import logging
from tqdm import tqdm

from alrl_jax.storage.checkpoint import Checkpointer, metadata_of, wait_for_all
from alrl_jax.training import sharding
from alrl_jax.training.best import Best
from alrl_jax.training.calls import Calls
from alrl_jax.training.compile_times import CompileTimes
from alrl_jax.training.console import progress_bar, report_start, say
from alrl_jax.training.held_data import HeldBatches, OnHeldData, hold
from alrl_jax.training.held_out import HeldOut
from alrl_jax.training.metrics import MetricLog, MetricWindow, TrainingDiverged
from alrl_jax.training.pace import Pace
from alrl_jax.training.state import leaf_types
from alrl_jax.training.step import check_finite, first_state, memory_held
from alrl_jax.training.stopping import Clock, StoppedCompiling, StopRequest
from alrl_jax.training.tasks.task import Scheduled, Trainable
from alrl_jax.training.tracing import Trace
from alrl_jax.training.watchdog import Watchdog

PyTree = Any

PREVIEW_ROWS = 8
PHASE_CYCLE = 64
"""Steps among which every phase appears."""


@runtime_checkable
class Batches(Protocol):
    """An endless iterator over this process's slices of the batches, with a state that is JSON.

    What it yields are draws where it is a ``HeldBatches`` too.
    """

    def __next__(self) -> PyTree:
        """The next batch: a tree of NumPy arrays."""
        ...

    def get_state(self) -> dict[str, Any]:
        """Where it stands."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where ``get_state`` once was."""
        ...


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train and what to do on the way, in steps; ``sample_every`` 0 means never.

    Attributes:
        steps_per_call: most steps that the devices take in one call.
        profile_steps: steps of this start that are traced.
        skip_nonfinite: most updates in a row that may be left out, as they are not finite.
        writers: where figures go beside ``metrics.jsonl``; see ``WRITERS``.
        keep_best: held-out figure by which the best state is kept; see ``BETTER``.
    """

    num_steps: int
    batch_size: int
    log_every: int
    checkpoint_every: int
    sample_every: int
    keep_checkpoints: int
    steps_per_call: int = 1
    profile_steps: int = 0
    skip_nonfinite: int = 0
    writers: tuple[str, ...] = ("tensorboard",)
    keep_best: str = ""

    def steps_ahead(self, step: int) -> int:
        """Steps of the call that follows ``step`` finished ones; it ends where something is due."""
        every = (self.log_every, self.checkpoint_every, self.sample_every)
        due = [n - step % n for n in every if n > 0]
        return min(self.steps_per_call, self.num_steps - step, *due)


def fit(
    task: Trainable,
    batches: Batches | Callable[[], Batches],
    workdir: Path,
    schedule: Schedule,
    seed: int,
    mesh: jax.sharding.Mesh | None = None,
    batch_shapes: PyTree = None,
    clock: Clock | None = None,
    held_out: HeldOut | None = None,
) -> int:
    """Trains from the newest checkpoint on, until the last step, a SIGTERM or SIGINT, or the clock.

    Args:
        task: what to train.
        batches: its data, standing at the first batch; or what opens them.
        workdir: existing directory for checkpoints, metrics and samples.
        schedule: see there.
        seed: of the first state; every later draw is the task's.
        mesh: devices; None means all.
        batch_shapes: a global batch as ``jax.ShapeDtypeStruct`` leaves: updates are compiled
            before the data are opened, so that one for which the memory is too small fails at
            once. None where this is not known. A first batch of other shapes is compiled for when
            it comes.
        clock: ends training after a call of the devices; None never does.
        held_out: what to measure on the way, on faces that training does not see.

    Returns:
        Finished updates, all of them in a checkpoint.

    Raises:
        UserError: if the batch does not fit the devices or no checkpoint can be read.
        TrainingDiverged: if something is not finite; no such state is saved.
    """
    begin = time.perf_counter()
    mesh = sharding.make_mesh() if mesh is None else mesh
    sharding.check_batch_size(schedule.batch_size, mesh)
    with StopRequest() as stop, Checkpointer(workdir, schedule.keep_checkpoints) as checkpointer:
        run = _Run(task, schedule, mesh, checkpointer, clock or Clock(), workdir, stop)
        first, iterator_state = run.start(seed)
        try:
            run.compile_ahead(batch_shapes, first)
        except StoppedCompiling:
            say(f"stopped by a signal while a program compiles, at step {first}; start again")
            return first
        if not isinstance(batches, Batches):
            with stop.set_aside():
                batches = batches()
        run.take(batches, iterator_state)
        if held_out is not None:
            run.held_out = held_out.opened(mesh)
        enabled = jax.process_index() == 0
        with (
            MetricLog(workdir, first, enabled, schedule.writers) as log,
            Best(workdir, schedule.keep_best, first) as run.best,
            run.watchdog,
            progress_bar(first, schedule.num_steps, schedule.batch_size) as bar,
        ):
            return run.train(first, log, bar, stop, begin)


class _Run:
    """The parts of one call of ``fit``."""

    def __init__(
        self,
        task: Trainable,
        schedule: Schedule,
        mesh: jax.sharding.Mesh,
        checkpointer: Checkpointer,
        clock: Clock,
        workdir: Path,
        stop: StopRequest,
    ) -> None:
        self.task = task
        self.schedule = schedule
        self.mesh = mesh
        self.checkpointer = checkpointer
        self.workdir = workdir
        self.window = MetricWindow(schedule.skip_nonfinite)
        self.pace = Pace(schedule.batch_size, list(mesh.devices.flat))
        self.compile_times = CompileTimes(workdir)
        self.phases: list[Hashable] = []
        self.best: Best
        self.watchdog = Watchdog()
        self.clock = clock
        if schedule.steps_per_call > 1 and mesh.devices.flat[0].platform == "cpu":
            logging.warning("steps_per_call above 1 is slow on CPUs; expected a GPU or TPU")
        self.calls = Calls(
            mesh, schedule.steps_per_call, self._compiled, self._compiling, stop.while_waiting
        )
        self.compiled_for: PyTree = None
        self.compilations = 0
        self.batches: Batches
        self.saved: int | None = None
        self.state: PyTree = None
        self.frozen: dict[str, PyTree] = {}
        self.preview_batch: PyTree = None
        self.draw_preview: Callable[..., Any] | None = None
        self.held_out: Callable[..., dict[str, float]] | None = None

    def start(self, seed: int) -> tuple[int, dict[str, Any] | None]:
        """Restores or initialises the state.

        Returns:
            The number of finished updates, and where the data have to go on, if not at the start.
        """
        frozen = self.task.load_frozen()
        if isinstance(self.task, Scheduled):
            frozen = frozen | {"run": self.task.run_values()}
        self.frozen = sharding.replicate(self.mesh, frozen)
        pretrained = sharding.replicate(self.mesh, self.task.load_pretrained())
        key = jax.random.key(seed)
        init = jax.jit(self.task.init)  # traced once, for its shapes and for its values
        shapes = jax.eval_shape(init, key, pretrained)
        abstract = sharding.abstract_state(self.mesh, shapes)
        self.checkpointer.check_room(abstract)
        restored = self.checkpointer.restore(abstract)
        first, iterator_state = 0, None
        if restored is None:
            self.state = first_state(init, key, pretrained, abstract)
        else:
            self.state = restored.state
            with metadata_of(restored.step):
                self.window.set_state(restored.metadata["window"])
                iterator_state = dict(restored.metadata["iterator"])
            first = self.saved = restored.step
        steps = first, self.schedule.num_steps
        report_start(self.state, self.frozen, self.mesh, self.schedule.batch_size, steps)
        return first, iterator_state

    def compile_ahead(self, batch_shapes: PyTree, first: int) -> None:
        """Compiles the updates that will come, if it is known what a batch will look like."""
        last = min(self.schedule.num_steps, first + PHASE_CYCLE)
        self.calls.expect([self.task.phase(step) for step in range(first, last)])
        if batch_shapes is not None:
            self.compiled_for = self.calls.shapes(batch_shapes)
            self.calls.compile_all(self.task, self.state, self.frozen, self.compiled_for)

    def take(self, batches: Batches, state: dict[str, Any] | None) -> None:
        """Takes the data, which stand at the first batch, and moves them to where they go on."""
        self.batches = batches
        state = self.batches.get_state() if state is None else state
        if isinstance(batches, HeldBatches):
            self.frozen = {"networks": self.frozen, "data": hold(self.mesh, batches)}
            self.task = OnHeldData(self.task, batches, self.mesh)
            kept = sharding.bytes_per_device(self.frozen["data"]) / 2**20
            say(f"a device keeps {kept:.1f} MiB of faces")
        if self.schedule.sample_every:
            # Always the same faces, so that the pictures of a run can be compared.
            rows = _first_rows(next(self.batches), self.mesh)
            self.preview_batch = sharding.shard_batch(self.mesh, rows)
        with metadata_of(self.saved or 0):
            self.batches.set_state(state)

    def train(self, first: int, log: MetricLog, bar: tqdm, stop: StopRequest, begin: float) -> int:
        """Updates until the end or a stop; saves the last state; returns its step."""
        step = first
        self.pace.start(first)
        trace = Trace(self.workdir, self.schedule.profile_steps, first)
        try:
            while step < self.schedule.num_steps and not self._ends(step, first, stop):
                trace.at(step)
                with self.watchdog.watching(step):
                    count = self._update(step)
                if step == first:
                    jax.block_until_ready(self.state)
                    call = "first step" if count == 1 else f"first {count} steps"
                    say(f"{call} after {time.perf_counter() - begin:.1f} s")
                step += count
                bar.update(count * self.schedule.batch_size)
                if step % self.schedule.log_every == 0:
                    self._log(step, log)
                if self._due(step, self.schedule.sample_every):
                    self._sample(step, log)
                if step % self.schedule.checkpoint_every == 0:
                    self._save(step)
        except StoppedCompiling:
            pass
        except TrainingDiverged as error:
            raise self._explained(error) from error
        finally:
            trace.close()
        self._save_last(step)
        if step < self.schedule.num_steps:
            reason = "the clock" if self.clock.ended else "a signal"
            say(f"stopped by {reason} at step {step}; start again to go on")
        return step

    def _save_last(self, step: int) -> None:
        try:
            if self.saved != step:
                self._save(step)
        except TrainingDiverged as error:
            raise self._explained(error) from error
        self.checkpointer.wait()

    def _ends(self, step: int, first: int, stop: StopRequest) -> bool:
        # One call at least: a start whose minutes are gone when all is compiled gets on too.
        at_line = step % self.schedule.log_every == 0
        return stop.wanted() or (step > first and self.clock.is_up(at_line))

    def _update(self, step: int) -> int:
        """Makes the next call; returns how many updates it was."""
        count = self.schedule.steps_ahead(step)
        phases = [self.task.phase(step + i) for i in range(count)]
        # A signal while a program compiles gives these batches back.
        begin = None if self.calls.has(phases) else self.batches.get_state()
        batch = self.calls.put([next(self.batches) for _ in range(count)])
        if self.compiled_for is not None and leaf_types(self.compiled_for) != leaf_types(batch):
            say("batches have other shapes than expected: the step is compiled again")
            self.calls.forget()
        self.compiled_for = None
        try:
            made = self.calls.make(self.task, self.state, self.frozen, batch, phases)
        except StoppedCompiling:
            if begin is not None:
                self.batches.set_state(begin)
            raise
        self.state, metrics, names = made
        self.phases += phases
        self.window.add(step + 1, metrics, names)
        return count

    def _compiling(self, what: str, phase: Hashable, lowered: jax.stages.Lowered) -> None:
        self.watchdog.rest()
        say(f"compiling {what}{self.compile_times.last(what)}")
        if self.pace.counts and self.schedule.steps_per_call == 1:
            self.pace.note(phase, (lowered.cost_analysis() or {}).get("flops"))

    def _compiled(self, what: str, program: jax.stages.Compiled, seconds: float) -> None:
        say(f"compiled {what} in {seconds:.1f} s{memory_held(program)}")
        self.compile_times.note(what, seconds)
        begin = time.perf_counter()
        self.compilations += 1
        wait_for_all(f"compiled {self.compilations}")  # some are slower than others
        self.pace.pause(seconds + time.perf_counter() - begin)
        self.watchdog.go_on()

    def _due(self, step: int, every: int) -> bool:
        return every > 0 and (step % every == 0 or step == self.schedule.num_steps)

    def _log(self, step: int, log: MetricLog) -> None:
        means = self.window.take_means()
        speed, left = (
            self.pace.figures(step, self.phases),
            self.pace.left(step, self.schedule.num_steps),
        )
        if self.held_out is not None:
            means |= self._timed(self.held_out, step, self.state, self.frozen)
        log.write(step, means | speed)
        values = "  ".join(f"{name} {value:.4g}" for name, value in (means | speed).items())
        say(f"step {step}/{self.schedule.num_steps}  {values}  {left} left")
        self.pace.start(step)
        self.phases = []
        self.best.consider(step, means, self.state, self._metadata())

    def _sample(self, step: int, log: MetricLog) -> None:
        if self.draw_preview is None:
            where = sharding.replicated(self.mesh)
            self.draw_preview = jax.jit(self.task.preview, out_shardings=where)
        drawn = self._timed(self.draw_preview, self.state, self.frozen, self.preview_batch)
        log.write_samples(step, {k: v[:PREVIEW_ROWS] for k, v in drawn.items()})

    def _timed(self, call: Callable[..., Any], *inputs: Any) -> Any:
        """A call's result on the host, whose time is not that of training."""
        begin = time.perf_counter()
        result = jax.device_get(call(*inputs))
        self.pace.pause(time.perf_counter() - begin)
        return result

    def _save(self, step: int) -> None:
        self.window.collect()
        check_finite(self.mesh, self.state, step)
        self.checkpointer.save(step, self.state, self._metadata())
        self.saved = step

    def _metadata(self) -> dict[str, Any]:
        return {"iterator": self.batches.get_state(), "window": self.window.get_state()}

    def _explained(self, error: TrainingDiverged) -> TrainingDiverged:
        self.checkpointer.wait()
        last = self.checkpointer.latest_step()
        kept = "no checkpoint was saved yet" if last is None else f"checkpoint {last} is good"
        return TrainingDiverged(
            f"training diverged: {error}; expected finite numbers; {kept}; lower the learning "
            "rates or the weight of that loss and start again"
        )


def _first_rows(batch: PyTree, mesh: jax.sharding.Mesh) -> PyTree:
    """As few rows as the devices can share and ``PREVIEW_ROWS`` needs."""
    rows = -(-PREVIEW_ROWS // mesh.size) * mesh.size // jax.process_count()
    return jax.tree.map(lambda x: x[:rows], batch)
