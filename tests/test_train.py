import json
import signal
from pathlib import Path
from typing import Any

import jax
import pytest

from alrl_jax import train as train_module
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.storage.checkpoint import newest_step
from alrl_jax.storage.workdir import read_metrics
from alrl_jax.train import main, schedule, train
from tests.conftest import RunCli
from tests.support.fake_task import BATCH, FakeBatches, FakeTask
from tests.support.same_run import figures

VALUES: dict[str, Any] = {
    "task": "identity",
    "num_steps": 4,
    "batch_size": BATCH,
    "log_every": 1,
    "checkpoint_every": 2,
    "sample_every": 0,
}


@pytest.fixture(autouse=True)
def fake_task(monkeypatch: pytest.MonkeyPatch) -> FakeTask:
    """The real command around a small task."""
    task = FakeTask()
    monkeypatch.setattr(train_module, "make_task", lambda config: task)
    monkeypatch.setattr(train_module, "open_batches", lambda data, batches: FakeBatches())
    monkeypatch.setattr(train_module, "known_shapes", lambda data, batches: None)
    return task


def config(**changes: Any) -> Config:
    return Config.from_dict(VALUES | changes)


def test_trains_in_a_new_directory(tmp_path: Path) -> None:
    workdir = tmp_path / "new" / "run"
    assert train(config(), workdir) == 4
    assert newest_step(workdir) == 4
    assert json.loads((workdir / "config.json").read_text())["task"] == "identity"
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_schedule_takes_every_field_from_the_configuration() -> None:
    values = VALUES | {"sample_every": 5, "keep_checkpoints": 7, "steps_per_call": 3}
    values |= {"profile_steps": 2, "skip_nonfinite": 4, "writers": (), "held_out_every": 20}
    values |= {"keep_best": "target_similarity"}
    wanted = {k: v for k, v in values.items() if k not in ("task", "held_out_every")}
    assert vars(schedule(Config.from_dict(values))) == wanted


class MeasuredTask(FakeTask):
    """Says how far its parameters are from where its last batch would have them."""

    def measure(self, state: Any, frozen: Any, batch: Any) -> dict[str, Any]:
        return {"held_out/size": sum(jax.numpy.sum(x) for x in jax.tree.leaves(state.params))}


def test_held_out_faces_are_measured_at_their_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "make_task", lambda config: MeasuredTask())
    asked: list[Any] = []

    def open_batches(data: Any, batches: Any) -> FakeBatches:
        asked.append((data.split, data.num_identities, batches.kind, batches.flip))
        return FakeBatches()

    monkeypatch.setattr(train_module, "open_batches", open_batches)

    def lines(workdir: Path) -> list[dict[str, Any]]:
        return [figures(line) for line in read_metrics(workdir)]

    train(config(held_out_every=2), tmp_path / "whole")
    whole = lines(tmp_path / "whole")
    assert [line["step"] for line in whole if "held_out/size" in line] == [2, 4]
    assert ("development", 64, "pairs", False) in asked
    train(config(held_out_every=2, num_steps=2), tmp_path / "resumed")
    train(config(held_out_every=2), tmp_path / "resumed")
    assert lines(tmp_path / "resumed") == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_every": 2, "held_out_every": 3}, "expected 0 or a multiple of log_every \\(2\\)"),
        ({"held_out_every": 1}, "task identity; expected 0, as that measures nothing"),
    ],
)
def test_held_out_faces_that_cannot_be_measured(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(config(**changes), tmp_path)


def test_held_out_photographs_have_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "make_task", lambda config: MeasuredTask())
    photos = config(held_out_every=1, data={"source": "folder", "path": str(tmp_path)})
    with pytest.raises(UserError, match="data.source folder; expected data.held_out"):
        train(photos, tmp_path / "run")


def test_finished_run_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(config(), tmp_path)
    monkeypatch.setattr(train_module, "make_task", lambda config: pytest.fail("began again"))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.name != ".lock"}
    assert train(config(), tmp_path) == 4
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Steps after which a model was packaged."""
    steps: list[int | None] = []

    def package(workdir: Path, output: Path, command: str) -> str:
        assert output == workdir / "model"
        output.mkdir()
        steps.append(newest_step(workdir))
        return "packaged"

    monkeypatch.setattr(train_module, "package", package)
    return steps


def test_the_clock_packages_what_a_signal_does_not(
    tmp_path: Path, packaged: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(FakeBatches):
        def __next__(self) -> dict[str, Any]:
            signal.raise_signal(signal.SIGTERM)
            return super().__next__()

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "open_batches", lambda data, batches: Interrupted())
        assert train(config(max_minutes=60.0), tmp_path) == 1
    assert packaged == []
    assert train(config(max_minutes=1e-9), tmp_path) == 2
    assert packaged == [2]


def test_a_run_within_its_minutes_is_packaged(tmp_path: Path, packaged: list[int | None]) -> None:
    """Also by the next start, where a kill came between the last save and the model."""
    train(config(), tmp_path)
    assert packaged == []
    train(config(max_minutes=60.0), tmp_path)
    train(config(max_minutes=60.0), tmp_path)
    train(config(max_minutes=60.0), tmp_path / "other")
    assert packaged == [4, 4]


def test_finished_run_writes_the_card_that_is_missing(tmp_path: Path) -> None:
    """As after a kill between the last save and the card."""
    train(config(), tmp_path)
    card = tmp_path / "MODEL_CARD.md"
    text = card.read_text()
    card.unlink()
    assert train(config(), tmp_path) == 4
    assert card.read_text() == text


def test_run_that_began_before_a_field_was_known_goes_on(tmp_path: Path) -> None:
    train(config(), tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["remat"], stored["data"]["witnesses"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert train(config(num_steps=5), tmp_path) == 5
    assert json.loads((tmp_path / "config.json").read_text())["remat"] == "none"


def test_longer_schedule_goes_on(tmp_path: Path) -> None:
    train(config(), tmp_path / "parts")
    assert train(config(num_steps=6), tmp_path / "parts") == 6
    train(config(num_steps=6), tmp_path / "whole")
    parts, whole = (read_metrics(tmp_path / name) for name in ("parts", "whole"))
    assert list(map(figures, parts)) == list(map(figures, whole))
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["num_steps"] == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "generator"}, "task is 'generator' but this run began with 'identity'"),
        ({"resolution": 32}, "resolution is 32 but this run began with 64"),
        ({"seed": 1}, "seed is 1 but this run began with 0"),
    ],
)
def test_directory_of_another_run(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    train(config(), tmp_path)
    with pytest.raises(UserError, match=message):
        train(config(**changes, num_steps=8), tmp_path)
    assert newest_step(tmp_path) == 4


def test_batch_that_does_not_fit_the_devices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch_size is 12; .* 8 devices; set --config.batch_size="):
        train(config(batch_size=12), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def refused(*_: Any) -> None:
    raise UserError("got models/none; expected a model directory")


@pytest.mark.parametrize("where", ["make_task", "known_shapes", "open_batches", "load_frozen"])
def test_a_refused_start_leaves_no_directory(
    tmp_path: Path, fake_task: FakeTask, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(fake_task if where == "load_frozen" else train_module, where, refused)
    with pytest.raises(UserError, match="got models/none"):
        train(config(), tmp_path / "runs" / "a")
    assert not list(tmp_path.iterdir())


def test_diverged_training_ends_with_status_1(
    tmp_path: Path,
    fake_task: FakeTask,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_task.bad_metric_at = 3

    class Flags:
        workdir = str(tmp_path)
        distributed = coordinator_address = num_processes = process_id = None
        config = type("Values", (), {"to_dict": lambda self: VALUES})()

    monkeypatch.setattr(train_module.flags, "FLAGS", Flags())
    assert main(["train"]) == 1
    error = capsys.readouterr().err
    assert "error: training diverged: loss/error is nan at step 3" in error
    assert "checkpoint 2 is good" in error
    assert newest_step(tmp_path) == 2


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_command_refuses_a_file_as_directory(tmp_path: Path, run_cli: RunCli, kind: str) -> None:
    path = tmp_path / "file"
    path.write_text("")
    workdir = path if kind == "file" else path / "run"
    done = run_cli("alrl_jax.train", "--config=configs/identity_64.py", f"--workdir={workdir}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expected a directory that can be written" in done.stderr and "--workdir" in done.stderr
