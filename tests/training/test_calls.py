"""Many steps in a call: the run is that of single steps, whatever falls due, stops or resumes."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.storage.workdir import read_metrics
from alrl_jax.training import sharding
from alrl_jax.training.calls import stack
from alrl_jax.training.held_data import check_room
from alrl_jax.training.loop import fit
from alrl_jax.training.metrics import TrainingDiverged
from alrl_jax.training.stopping import Clock
from tests.support.fake_task import BATCH, WIDTH, FakeBatches, FakeTask, schedule
from tests.support.same_run import figures, lines

FIELDS = ("step", "params", "ema", "opt_state")


class HeldNumbers(FakeBatches):
    """The batches of ``FakeBatches``, of which the devices keep the first 64."""

    held = 64

    def __next__(self) -> dict[str, np.ndarray]:
        self.position += 1
        return {"index": np.full(BATCH, self.position - 1, np.int32)}

    def bytes_held(self) -> int:
        return self.held * BATCH * (WIDTH + 1) * 4

    def columns(self) -> dict[str, np.ndarray]:
        plain = FakeBatches()
        return stack([next(plain) for _ in range(self.held)], self.held)

    def expand(self, columns: Any, drawn: Any) -> Any:
        rows = np.arange(len(drawn["index"]))
        return {name: values[drawn["index"], rows] for name, values in columns.items()}


def train(
    workdir: Path,
    num_steps: int,
    task: FakeTask | None = None,
    batches: FakeBatches | None = None,
    clock: Clock | None = None,
    **changes: Any,
) -> int:
    workdir.mkdir(exist_ok=True)
    plan = schedule(num_steps, **{"checkpoint_every": 50, "log_every": 7, **changes})
    return fit(task or FakeTask(), batches or FakeBatches(), workdir, plan, 0, clock=clock)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of single steps."""
    workdir = tmp_path_factory.mktemp("whole")
    train(workdir, 30)
    return workdir


def assert_same_run(a: Path, b: Path) -> None:
    """Sums may be rounded in another order where steps are compiled into one program."""
    (step_a, state_a), (step_b, state_b) = read_fields(a, FIELDS), read_fields(b, FIELDS)
    assert step_a == step_b
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7)  # noqa: E731
    jax.tree.map(close, state_a, state_b)
    lines_a, lines_b = read_metrics(a), read_metrics(b)
    assert [line["step"] for line in lines_a] == [line["step"] for line in lines_b]
    for x, y in zip(lines_a, lines_b, strict=True):
        assert figures(x) == pytest.approx(figures(y), rel=1e-6)


@pytest.mark.parametrize("batches", [FakeBatches, HeldNumbers])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_run_is_that_of_single_steps(
    tmp_path: Path, whole: Path, batches: Callable[[], FakeBatches], steps: int
) -> None:
    train(tmp_path, 30, batches=batches(), steps_per_call=steps, sample_every=15)
    assert_same_run(tmp_path, whole)
    names = [f"{step:08d}.png" for step in (15, 30)]
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == names


def test_one_program_serves_every_length_and_phase(tmp_path: Path, whole: Path) -> None:
    """A resumed run begins within a period of the phases, at other lengths."""

    class Counting(FakeTask):
        def __init__(self) -> None:
            super().__init__()
            self.traced: list[bool] = []

        def step(self, state: Any, frozen: Any, batch: Any, phase: bool) -> Any:
            self.traced.append(phase)
            return super().step(state, frozen, batch, phase)

    tasks = Counting(), Counting()
    train(tmp_path, 9, tasks[0], steps_per_call=6)
    train(tmp_path, 30, tasks[1], steps_per_call=4)
    assert [sorted(task.traced) for task in tasks] == 2 * [[False, True]]
    assert_same_run(tmp_path, whole)


def test_a_call_ends_where_something_is_due() -> None:
    plan = schedule(100, steps_per_call=16, log_every=20, checkpoint_every=50, sample_every=30)
    step, ends = 0, []
    while step < plan.num_steps:
        step += plan.steps_ahead(step)
        ends.append(step)
    assert ends == [16, 20, 30, 40, 50, 60, 76, 80, 90, 100]
    assert schedule(9, steps_per_call=1).steps_ahead(4) == 1
    assert schedule(5, steps_per_call=16, log_every=99, checkpoint_every=99).steps_ahead(2) == 3


def test_what_diverges_is_named_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="loss/error is nan at step 12; .*checkpoint 10 is"):
        train(tmp_path, 30, FakeTask(bad_metric_at=12), steps_per_call=8, checkpoint_every=5)


def test_a_signal_waits_for_the_call(tmp_path: Path, whole: Path) -> None:
    class Signalled(FakeBatches):
        def __next__(self) -> dict[str, np.ndarray]:
            if self.position == 8:
                signal.raise_signal(signal.SIGTERM)
            return super().__next__()

    assert train(tmp_path, 30, batches=Signalled(), steps_per_call=5) == 12
    train(tmp_path, 30, steps_per_call=5)
    assert_same_run(tmp_path, whole)


class SlowBatches(FakeBatches):
    """A minute passes with each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def __next__(self) -> dict[str, np.ndarray]:
        self.now += 60.0
        return super().__next__()


def test_the_clock_ends_a_run_that_can_go_on(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for minutes in (8.5, 8.0, 0.0):
        batches = SlowBatches(monkeypatch)
        clock = Clock(minutes)
        ends.append((train(tmp_path, 30, batches=batches, clock=clock), clock.ended))
        assert newest_step(tmp_path) == ends[-1][0]
        monkeypatch.undo()
    assert ends == [(9, True), (17, True), (30, False)]
    step, state = read_fields(tmp_path, FIELDS)
    expected_step, expected = read_fields(whole, FIELDS)
    assert step == expected_step
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    assert lines(tmp_path) == lines(whole)


class Small:
    """A device of 8 GiB that says so."""

    device_kind = "small"

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": 8 * 2**30, "bytes_in_use": 2**30}


def test_data_that_do_not_fit_are_refused() -> None:
    check_room([Small(), *jax.local_devices()], 7 * 2**30)
    told = "got data.on_device=True with 7.50 GiB of faces; expected at most the 7.00 GiB that"
    with pytest.raises(UserError, match=told):
        check_room([Small()], 15 * 2**29)


def test_calls_on_split_states(tmp_path: Path) -> None:
    """Devices in groups keep parts of the state, also from step to step within a call."""
    mesh = sharding.make_mesh(jax.devices()[:4], parameter_shards=2)
    plan = schedule(6, steps_per_call=3)
    assert fit(FakeTask(), HeldNumbers(), tmp_path, plan, 0, mesh) == 6
