import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.storage.workdir import read_metrics
from alrl_jax.training import sharding
from alrl_jax.training.loop import fit
from alrl_jax.training.metrics import TrainingDiverged
from tests.conftest import LONGEST_WAIT
from tests.support.damage import after_damage, damage
from tests.support.fake_task import BATCH, WIDTH, FakeBatches, FakeTask, schedule
from tests.support.same_run import figures, lines

LIMITED = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
runpy.run_module("tests.support.fake_task", run_name="__main__", alter_sys=True)
"""
FIELDS = ("step", "params", "ema", "opt_state")


def train(workdir: Path, num_steps: int, task: FakeTask | None = None, **changes: Any) -> int:
    mesh = changes.pop("mesh", None)
    plan = schedule(num_steps, **changes)
    workdir.mkdir(exist_ok=True)
    return fit(task or FakeTask(), FakeBatches(), workdir, plan, 0, mesh)


def final_state(workdir: Path) -> tuple[int, dict[str, Any]]:
    return read_fields(workdir, FIELDS)


def assert_same_run(a: Path, b: Path) -> None:
    """The same final state and the same metrics, to the last bit."""
    (step_a, state_a), (step_b, state_b) = final_state(a), final_state(b)
    assert step_a == step_b
    jax.tree.map(np.testing.assert_array_equal, state_a, state_b)
    assert lines(a) == lines(b)


def test_loss_falls_and_everything_is_written(tmp_path: Path) -> None:
    assert train(tmp_path, 61, sample_every=30) == 61
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(3, 61, 3))
    assert lines[-1]["loss/error"] < 0.1 * lines[0]["loss/error"]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["58", "60", "61"]
    names = [f"{step:08d}.png" for step in (30, 60, 61)]
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == names


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_resumed_run_equals_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    train(tmp_path / "whole", 8)
    train(tmp_path / "parts", stop)
    train(tmp_path / "parts", 8)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_samples_do_not_disturb_the_data(tmp_path: Path) -> None:
    train(tmp_path / "without", 5)
    train(tmp_path / "with", 5, sample_every=2)
    assert_same_run(tmp_path / "without", tmp_path / "with")


def test_what_came_after_the_checkpoint_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a kill: metrics ran ahead of the newest checkpoint."""
    train(tmp_path / "whole", 9, checkpoint_every=4)
    train(tmp_path / "cut", 9, checkpoint_every=4)
    for step in (8, 9):
        (tmp_path / "cut" / "checkpoints" / str(step)).rename(tmp_path / f"cut_{step}")
    assert newest_step(tmp_path / "cut") == 4
    assert "trained again" not in caplog.text
    train(tmp_path / "cut", 9, checkpoint_every=4)
    assert "metrics reach step 9, the newest checkpoint is of step 4" in caplog.text
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_number_of_devices_does_not_matter(tmp_path: Path) -> None:
    train(tmp_path / "one", 6, mesh=sharding.make_mesh(jax.devices()[:1]))
    train(tmp_path / "eight", 6)
    one, eight = read_metrics(tmp_path / "one"), read_metrics(tmp_path / "eight")
    assert len(one) == len(eight) == 2
    for a, b in zip(one, eight, strict=True):
        assert figures(a) == pytest.approx(figures(b), rel=1e-5)


def test_resumes_on_other_devices(tmp_path: Path) -> None:
    train(tmp_path / "parts", 3, mesh=sharding.make_mesh(jax.devices()[:2]))
    train(tmp_path / "parts", 6)
    train(tmp_path / "whole", 6)
    parts, whole = final_state(tmp_path / "parts")[1], final_state(tmp_path / "whole")[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), parts, whole)


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one start to the next, not within a save: Orbax times that by this clock."""
    train(tmp_path / "whole", 8)
    now, year = time.time, 365 * 86400.0
    for stop, offset in ((3, year), (5, -year), (8, 0.0)):
        monkeypatch.setattr(time, "time", lambda offset=offset: now() + offset)
        train(tmp_path / "parts", stop)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert newest_step(tmp_path / "parts") == 8


@after_damage
def test_damaged_checkpoint_costs_only_its_steps(tmp_path: Path) -> None:
    train(tmp_path / "whole", 8)
    train(tmp_path / "hurt", 6)
    damage(tmp_path / "hurt", 6)
    train(tmp_path / "hurt", 8)
    assert_same_run(tmp_path / "whole", tmp_path / "hurt")


def test_bad_metric_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="loss/error is nan at step 7; .*checkpoint 6 is"):
        train(tmp_path, 20, FakeTask(bad_metric_at=7))
    assert newest_step(tmp_path) == 6
    assert [line["step"] for line in read_metrics(tmp_path)] == [3, 6]
    assert train(tmp_path, 20) == 20


def test_bad_metric_before_the_first_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="at step 1; .*no checkpoint was saved"):
        train(tmp_path, 20, FakeTask(bad_metric_at=1))
    assert newest_step(tmp_path) is None


def test_bad_state_is_never_saved(tmp_path: Path) -> None:
    """Metrics of an update are of the state before it, so they are still finite here."""
    with pytest.raises(TrainingDiverged, match=r"state.params\['line'\]\['w'\] .*at step 4"):
        train(tmp_path, 20, FakeTask(bad_state_at=4))
    assert newest_step(tmp_path) == 2


def test_batch_that_does_not_fit_the_devices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch_size is 16; expected a multiple of the 3 devices"):
        train(tmp_path, 2, mesh=sharding.make_mesh(jax.devices()[:3]))


class Counting(FakeTask):
    """Notes when it is traced, and for how many examples."""

    def __init__(self) -> None:
        super().__init__()
        self.traced: list[tuple[bool, int]] = []

    def step(self, state: Any, frozen: Any, batch: Any, phase: bool) -> Any:
        self.traced.append((phase, len(batch["y"])))
        return super().step(state, frozen, batch, phase)


def test_compiles_once_a_phase_and_start(tmp_path: Path) -> None:
    task = Counting()
    train(tmp_path, 9, task)
    assert sorted(task.traced) == [(False, BATCH), (True, BATCH)]
    train(tmp_path, 14, task)
    assert sorted(task.traced) == 2 * [(False, BATCH)] + 2 * [(True, BATCH)]


def fake_shapes(count: int) -> dict[str, jax.ShapeDtypeStruct]:
    shape = jax.ShapeDtypeStruct
    return {"x": shape((count, WIDTH), np.float32), "y": shape((count,), np.float32)}


@pytest.mark.parametrize("count", [BATCH, 2 * BATCH])
def test_compiles_before_the_data_are_opened(tmp_path: Path, count: int) -> None:
    """And once more where batches turn out to have other shapes."""
    task, before = Counting(), []

    def opened() -> FakeBatches:
        before.extend(task.traced)
        return FakeBatches()

    fit(task, opened, tmp_path, schedule(6), seed=0, batch_shapes=fake_shapes(count))
    assert before == [(True, count), (False, count)]
    assert task.traced[2:] == ([] if count == BATCH else [(True, BATCH), (False, BATCH)])
    train(tmp_path.parent / "whole", 6)
    assert_same_run(tmp_path, tmp_path.parent / "whole")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own answer to SIGINT, which a shell takes away from what it starts behind it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_opening_data_can_be_interrupted(tmp_path: Path) -> None:
    def opened() -> FakeBatches:
        signal.raise_signal(signal.SIGINT)
        return FakeBatches()

    with pytest.raises(KeyboardInterrupt):
        fit(FakeTask(), opened, tmp_path, schedule(6), seed=0)
    assert newest_step(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_step_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    assert fit(FakeTask(), SignalledAt(4, number), tmp_path, schedule(50), seed=0) == 5
    assert newest_step(tmp_path) == 5
    assert signal.getsignal(number) is before
    train(tmp_path, 8)
    train(tmp_path.parent / "whole", 8)
    assert_same_run(tmp_path, tmp_path.parent / "whole")


class SignalledAt(FakeBatches):
    """Signals come while a batch is read, some at once."""

    def __init__(self, position: int, *numbers: signal.Signals) -> None:
        super().__init__()
        self.signalled_at = position
        self.numbers = numbers

    def __next__(self) -> dict[str, np.ndarray]:
        if self.position == self.signalled_at:
            for number in self.numbers:
                signal.raise_signal(number)
        return super().__next__()


def test_a_second_sigterm_changes_nothing(tmp_path: Path) -> None:
    batches = SignalledAt(4, signal.SIGTERM, signal.SIGTERM)
    assert fit(FakeTask(), batches, tmp_path, schedule(50), seed=0) == 5
    assert newest_step(tmp_path) == 5


@pytest.mark.usefixtures("interruptible")
def test_a_second_sigint_interrupts(tmp_path: Path) -> None:
    batches = SignalledAt(4, signal.SIGINT, signal.SIGTERM, signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(FakeTask(), batches, tmp_path, schedule(50), seed=0)
    assert signal.getsignal(signal.SIGINT) is before


def test_stopped_twice_before_the_first_step(tmp_path: Path) -> None:
    """The second start has nothing new to save."""
    for _ in range(2):
        # Faces for the images are read before the first step.
        batches = SignalledAt(0, signal.SIGTERM)
        plan = schedule(50, sample_every=50)
        assert fit(FakeTask(), batches, tmp_path, plan, seed=0) == 0
        assert newest_step(tmp_path) == 0
    train(tmp_path, 8)
    train(tmp_path.parent / "whole", 8)
    assert_same_run(tmp_path, tmp_path.parent / "whole")


def start_program(
    workdir: Path, num_steps: int, *processes: str, largest_file: int | None = None
) -> subprocess.Popen[str]:
    """The fake task in a process, which may write files of so many bytes at most."""
    program = ["-m", "tests.support.fake_task"]
    if largest_file is not None:
        program = ["-c", LIMITED.format(largest_file)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        [sys.executable, *program, str(workdir), str(num_steps), *processes],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    while (newest_step(workdir) or 0) < step:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_program_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    killed = start_program(tmp_path / "killed", 1000)
    wait_for_step(tmp_path / "killed", 4, killed)
    killed.kill()
    killed.communicate()
    step = newest_step(tmp_path / "killed")
    assert step is not None and 4 <= step < 1000
    one = sharding.make_mesh(jax.devices()[:1])
    train(tmp_path / "killed", step + 5, mesh=one)
    train(tmp_path / "whole", step + 5, mesh=one)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize(("begun", "kept"), [(0, "there is none yet"), (4, "checkpoint 4 is good")])
def test_disk_without_room_is_reported(tmp_path: Path, begun: int, kept: str) -> None:
    """A limit on the size of files stands in for a full disk: writing fails in the same places."""
    if begun:
        train(tmp_path / "run", begun)
    process = start_program(tmp_path / "run", 1000, largest_file=400)
    _, errors = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 2
    lines = errors.splitlines()
    message = f"error: got .*checkpoints, where checkpoint {begun + 2} cannot be written .*{kept}"
    assert re.match(message, lines[-1]), errors[-3000:]
    assert sum(line.startswith("error: ") for line in lines) == 1
    # All else is our log; TensorStore may add that its writing is no longer waited for. Its
    # threads write at the same time, into each other's lines: what one writes at once is counted.
    assert errors.count("Traceback (most") == errors.count(", in _check_closed"), errors
    assert newest_step(tmp_path / "run") == (begun or None)
    train(tmp_path / "run", 8)
    train(tmp_path / "whole", 8)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_terminated_program_saves_and_ends_well(tmp_path: Path) -> None:
    process = start_program(tmp_path / "run", 1000)
    wait_for_step(tmp_path / "run", 2, process)
    process.terminate()
    output, errors = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 0, errors
    assert int(output) == newest_step(tmp_path / "run")


def start_processes(workdir: Path, num_steps: int) -> list[subprocess.Popen[str]]:
    """Two processes that train together."""
    workdir.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [start_program(workdir, num_steps, address, "2", str(i)) for i in range(2)]


def finish(processes: list[subprocess.Popen[str]]) -> list[int]:
    """Last steps of processes that have to end well."""
    results = [process.communicate(timeout=LONGEST_WAIT) for process in processes]
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors
    return [int(output.splitlines()[-1]) for output, _ in results]


@pytest.mark.slow
def test_several_processes_train_as_one(tmp_path: Path) -> None:
    assert finish(start_processes(tmp_path / "two", 5)) == [5, 5]
    assert finish(start_processes(tmp_path / "two", 9)) == [9, 9]
    train(tmp_path / "one", 9, mesh=sharding.make_mesh(jax.devices()[:2]))
    one, two = final_state(tmp_path / "one")[1], final_state(tmp_path / "two")[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, two)
    steps = [[line["step"] for line in read_metrics(tmp_path / n)] for n in ("one", "two")]
    assert steps[0] == steps[1] == [3, 6, 9]


@pytest.mark.slow
def test_processes_agree_where_to_stop(tmp_path: Path) -> None:
    processes = start_processes(tmp_path / "run", 1000)
    wait_for_step(tmp_path / "run", 4, processes[0])
    processes[1].terminate()
    first, second = finish(processes)
    assert first == second == newest_step(tmp_path / "run")
    assert first < 1000
