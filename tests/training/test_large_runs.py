"""Habits of large runs: what is left out, kept, traced and said, and what a compiler obeys."""

import dataclasses
import os
import signal
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.storage.workdir import MAY_CHANGE_WITH_EFFECT, check_same_run, read_metrics
from alrl_jax.training import pace, stopping
from alrl_jax.training.best import Best, check_best
from alrl_jax.training.held_out import HeldOut
from alrl_jax.training.loop import fit
from alrl_jax.training.metrics import SKIPPED, TrainingDiverged
from alrl_jax.training.pace import Pace, memory_figures
from alrl_jax.training.state import without_nonfinite
from alrl_jax.training.stopping import StoppedCompiling, StopRequest
from alrl_jax.training.tasks import make_task
from alrl_jax.training.tasks.run_values import KEY
from alrl_jax.training.tracing import Trace
from alrl_jax.training.writers import check_writers
from tests.support import tiny
from tests.support.fake_task import FakeBatches, FakeTask, schedule
from tests.support.same_run import lines


class Guarded(FakeTask):
    """Leaves out updates that are not finite: those of the steps ``bad``."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad = np.array(bad, np.int32)

    def step(self, state: Any, frozen: Any, batch: Any, phase: bool) -> Any:
        new, metrics = super().step(state, frozen, batch, phase)
        is_bad = jnp.any(state.step + 1 == self.bad)
        gradients = {"line": jnp.where(is_bad, jnp.inf, 0.0)}
        spoiled = jax.tree.map(lambda x: jnp.where(is_bad, jnp.nan, x), new.params)
        new, left_out = without_nonfinite(
            state, dataclasses.replace(new, params=spoiled), gradients
        )
        error = jnp.where(is_bad, jnp.nan, metrics["loss/error"])
        return new, metrics | {"loss/error": error, SKIPPED: left_out}


def run(workdir: Path, steps: int, task: FakeTask | None = None, **changes: Any) -> int:
    workdir.mkdir(exist_ok=True)
    return fit(task or FakeTask(), FakeBatches(), workdir, schedule(steps, **changes), 0)


def test_an_update_that_is_not_finite_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, 3, Guarded(3), skip_nonfinite=1, log_every=1, checkpoint_every=1)
    before, after = (
        read_fields(tmp_path, ("params", "step"))[1] if step == 3 else None for step in (2, 3)
    )
    assert before is None and after is not None and int(after["step"]) == 3
    assert "step 3 changed nothing: loss/error is not finite" in caplog.text
    line = read_metrics(tmp_path)[2]
    assert line[SKIPPED] == 1.0 and "loss/error" not in line
    run(tmp_path.parent / "two", 2, Guarded(), log_every=1)
    _, kept = read_fields(tmp_path.parent / "two", ("params",))
    jax.tree.map(np.testing.assert_array_equal, after["params"], kept["params"])


def test_too_many_in_a_row_end_a_run(tmp_path: Path) -> None:
    assert run(tmp_path / "apart", 6, Guarded(2, 4), skip_nonfinite=1) == 6
    with pytest.raises(TrainingDiverged, match=r"at step 3, .* in the 1 steps before \(skip_n"):
        run(tmp_path / "together", 6, Guarded(2, 3), skip_nonfinite=1)


class Measured(FakeTask):
    """Is best after four updates."""

    def measure(self, state: Any, frozen: Any, batch: Any) -> Any:
        distance = jnp.abs(state.step - 4).astype(jnp.float32)
        return {"held_out/target_similarity": distance}


def run_measured(workdir: Path, steps: int) -> int:
    workdir.mkdir(exist_ok=True)
    task = Measured()
    plan = schedule(steps, log_every=2, keep_best="target_similarity")
    apart = HeldOut(task, lambda: next(FakeBatches()), 2)
    return fit(task, FakeBatches(), workdir, plan, 0, held_out=apart)


def test_the_best_state_is_kept(tmp_path: Path) -> None:
    run_measured(tmp_path, 2)
    assert newest_step(tmp_path / "best") == 2
    run_measured(tmp_path, 8)
    assert newest_step(tmp_path / "best") == 4 and newest_step(tmp_path) == 8
    # What an earlier checkpoint will reach again is forgotten.
    with Best(tmp_path, "target_similarity", 2):
        assert newest_step(tmp_path / "best") is None


def test_names_are_checked() -> None:
    with pytest.raises(UserError, match="keep_best is 'psnr'; expected one of"):
        check_best("psnr")
    with pytest.raises(UserError, match="writers names 'tensorbord'; did you mean tensorboard"):
        check_writers(["tensorbord"])
    with pytest.raises(UserError, match="keep_best is .* with held_out_every 0"):
        tiny.tiny_config("synthetic_64", keep_best="target_similarity")


def test_figures_go_to_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []

    class Run:
        def log(self, values: Any, step: int) -> None:
            noted.append((step, sorted(values)))

        def finish(self) -> None:
            noted.append("finished")

    module: Any = types.ModuleType("wandb")
    module.__spec__ = types.SimpleNamespace()
    module.init = lambda **given: noted.append(given["id"]) or Run()
    module.Image = lambda image: image.shape
    monkeypatch.setitem(sys.modules, "wandb", module)
    run(tmp_path / "run", 3, writers=("wandb",), sample_every=3)
    (name, (step, figures), picture, end) = noted
    assert name == f"{tmp_path.name}-run" and step == 3 and end == "finished"
    assert {"loss/error", "speed/images_per_second"} <= set(figures)
    assert picture == (3, ["samples"])


def test_a_writer_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not installed; .*alrl-jax\[wandb\]"):
        run(tmp_path, 3, writers=("wandb",))


def test_it_says_that_it_compiles_and_how_long_that_took(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="absl")
    run(tmp_path, 1)
    assert "compiling the step for True\n" in caplog.text + "\n"
    caplog.clear()
    run(tmp_path, 5)
    assert "compiling the step for True (last time it took " in caplog.text


def test_speed_and_memory() -> None:
    device = types.SimpleNamespace(
        device_kind="TPU v5 lite", memory_stats=lambda: {"peak_bytes_in_use": 2**31}
    )
    counted = Pace(16, [device, device])
    counted.start(0)
    counted.pause(-100.0 + 1e-9)
    counted.note("a", pace.PEAK_FLOPS["TPU v5 lite"])
    figures = counted.figures(50, ["a"] * 50)
    assert figures["speed/images_per_second"] == pytest.approx(8.0, rel=1e-2)
    assert figures["speed/mfu"] == pytest.approx(0.25, rel=1e-2)
    assert "speed/mfu" not in counted.figures(50, ["a", "b"])
    assert memory_figures([device])["memory/device_gib"] == 2.0
    assert memory_figures([])["memory/host_gib"] > 0.01


def test_a_long_call_hears_signals() -> None:
    ended = threading.Event()
    with StopRequest() as stop:
        assert stop.while_waiting(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            stop.while_waiting(lambda: 1 // 0)
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(StoppedCompiling):
            stop.while_waiting(lambda: ended.wait(30))
    assert stopping._LEFT.pop().is_alive()
    ended.set()


@pytest.mark.parametrize("shapes", [True, False])
def test_a_signal_while_a_program_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shapes: bool
) -> None:
    """Nothing is lost, whether the data are open or not."""
    begin = time.monotonic()

    def compile_long(lowered: Any, *options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.5)
        raise RuntimeError("nobody waits for this")

    (tmp_path / "run").mkdir()
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), next(FakeBatches()))
    with monkeypatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", compile_long)
        step = fit(
            FakeTask(),
            FakeBatches(),
            tmp_path / "run",
            schedule(8),
            0,
            batch_shapes=batch if shapes else None,
        )
    assert step == 0 and time.monotonic() - begin < 60
    for thread in stopping._LEFT:
        thread.join()
    stopping._LEFT.clear()
    assert newest_step(tmp_path / "run") == (None if shapes else 0)
    run(tmp_path / "run", 8)
    run(tmp_path / "whole", 8)
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_changes_with_an_effect_are_said(tmp_path: Path) -> None:
    old = {"batch_size": 16, "resolution": 64, "optimizer": {"learning_rate": 0.1}}
    new = {"batch_size": 32, "resolution": 64, "optimizer": {"learning_rate": 0.2}}
    first, second = check_same_run(tmp_path, old, new)
    assert first.startswith("batch_size is 32, not 16: batch t has other faces")
    assert second.startswith("optimizer.learning_rate is 0.2, not 0.1: updates are of another size")
    assert check_same_run(tmp_path, old, old) == []
    with pytest.raises(UserError, match="resolution is 32"):
        check_same_run(tmp_path, old, new | {"resolution": 32})
    known = tiny.tiny_config("identity_64").to_dict()
    for name in MAY_CHANGE_WITH_EFFECT:
        section, _, field = name.rpartition(".")
        assert field in (known[section] if section else known), name


def test_length_and_rates_compile_nothing_anew() -> None:
    """A longer run of other rates has the same program, whose arguments they are."""
    texts, values = [], []
    for steps, rate in ((100, 0.01), (250, 0.02)):
        task = make_task(
            tiny.tiny_config(
                "identity_64",
                num_steps=steps,
                optimizer__decay=True,
                optimizer__warmup_steps=steps // 10,
                optimizer__learning_rate=rate,
            )
        )
        state = jax.eval_shape(task.init, jax.random.key(0), {})
        frozen = {KEY: jax.tree.map(jnp.asarray, task.run_values())}
        batch = tiny.random_batch("faces")
        step = jax.jit(lambda *given, task=task: jax.tree.leaves(task.step(*given, task.phase(0))))
        texts.append(step.lower(state, frozen, batch).as_text())
        values.append(frozen)
    assert texts[0] == texts[1] and values[0] != values[1]


def test_a_trace_of_some_steps(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="got profile_steps=2 and .*cannot be written"):
        Trace(tmp_path / "file", 2, 0)
    run(tmp_path / "run", 14, profile_steps=2)
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
