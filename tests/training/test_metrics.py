import json
import resource
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.storage.workdir import read_metrics
from alrl_jax.training.metrics import MetricLog, MetricWindow, TrainingDiverged, sample_grid


def test_line_is_in_the_file_at_once(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0) as log:
        log.write(5, {"loss/a": 0.1, "loss/b": 2.0})
        text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text) == {"step": 5, "loss/a": 0.1, "loss/b": 2.0}
    assert text.endswith("\n")


def test_resumed_log_neither_repeats_nor_skips(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0) as log:
        for step in (2, 4, 6, 8):
            log.write(step, {"a": float(step)})
    with MetricLog(tmp_path, 5) as log:
        log.write(6, {"a": 60.0})
    assert read_metrics(tmp_path) == [
        {"step": 2, "a": 2.0},
        {"step": 4, "a": 4.0},
        {"step": 6, "a": 60.0},
    ]


def test_a_start_that_drops_nothing_writes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with MetricLog(tmp_path, 0) as log:
        log.write(2, {"a": 1.0})
        log.write(4, {"a": 2.0})
    path = tmp_path / "metrics.jsonl"
    before = path.stat().st_ino
    with MetricLog(tmp_path, 4):
        assert path.stat().st_ino == before
    assert not caplog.text
    with MetricLog(tmp_path, 3):
        assert len(read_metrics(tmp_path)) == 1
    assert "metrics reach step 4, the newest checkpoint is of step 3" in caplog.text


def test_line_that_a_killed_run_left_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "a": 1.0}\n{"step": 4, "a"')
    with MetricLog(tmp_path, 4) as log:
        log.write(6, {"a": 3.0})
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 6]


def test_a_line_that_cannot_be_read_is_dropped_alone(tmp_path: Path) -> None:
    lines = [b'{"step": 1, "a": 1.0}', b"\xff\0", b'{"step": "2"}', b"[3]", b'{"step": 4, "a": 2}']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 4]
    with MetricLog(tmp_path, 4):
        pass
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines[0] + b"\n" + lines[4] + b"\n"


def test_a_disk_without_room_is_reported(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MetricLog(tmp_path, 0) as log:
        log.write(2, {"a": 1.0})
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
            with pytest.raises(UserError, match="metrics.jsonl, to which step 4 cannot be written"):
                log.write(4, {"a": 2.0})
                log.write(4, {"a": 2.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with MetricLog(tmp_path, 2) as log:
        log.write(4, {"a": 3.0})
    assert read_metrics(tmp_path) == [{"step": 2, "a": 1.0}, {"step": 4, "a": 3.0}]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0, enabled=False) as log:
        log.write(1, {"a": 1.0})
        log.write_samples(1, {"a": np.zeros((1, 4, 4, 3))})
    assert not list(tmp_path.iterdir())
    assert read_metrics(tmp_path) == []


def test_window_means_are_over_the_steps_that_had_the_metric() -> None:
    window = MetricWindow()
    for step, value in enumerate((1.0, 2.0, 6.0)):
        extra = {"r1": jnp.float32(5.0)} if step == 1 else {}
        window.add(step, {"loss": jnp.float32(value)} | extra)
    assert window.take_means() == {"loss": 3.0, "r1": 5.0}
    assert window.take_means() == {}


def test_window_goes_on_exactly_from_its_json() -> None:
    values = np.random.default_rng(0).normal(size=9).astype(np.float32)
    whole, first, second = MetricWindow(), MetricWindow(), MetricWindow()
    for step, value in enumerate(values):
        whole.add(step, {"loss": value})
        if step < 4:
            first.add(step, {"loss": value})
    first.collect()
    second.set_state(json.loads(json.dumps(first.get_state())))
    for step, value in enumerate(values[4:]):
        second.add(step, {"loss": value})
    assert second.take_means() == whole.take_means()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_window_names_what_is_not_finite(bad: float) -> None:
    window = MetricWindow()
    window.add(3, {"loss/a": 1.0, "loss/b": 1.0})
    window.add(4, {"loss/a": 1.0, "loss/b": bad})
    with pytest.raises(TrainingDiverged, match=f"loss/b is {bad} at step 4"):
        window.collect()


def test_grid_draws_images_masks_and_tables() -> None:
    columns = {
        "image": np.stack([np.full((96, 96, 3), v, np.float32) for v in (-1.0, 1.0)]),
        "mask": np.full((2, 32, 32, 1), 0.5, np.float32),
        "gates": np.zeros((2, 2, 3), np.float32),
    }
    grid = sample_grid(columns)
    side, gap, header = 96, 2, 14
    assert grid.shape == (header + 2 * (side + gap), 2 * (side + gap) + 3 * side // 2 + gap, 3)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid[header, 0], [0, 0, 0])
    np.testing.assert_array_equal(grid[header + side + gap, 0], [255, 255, 255])
    np.testing.assert_array_equal(grid[header + side - 1, side + gap], [128, 128, 128])
    np.testing.assert_array_equal(grid[header, 2 * (side + gap)], [26, 76, 178])
    assert (grid[:header] < 255).any(), "no names in the header"


def test_samples_are_pngs_named_by_step(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0) as log:
        log.write_samples(12, {"a": np.zeros((2, 16, 16, 3), np.float32)})
    assert [p.name for p in (tmp_path / "samples").iterdir()] == ["00000012.png"]
    with Image.open(tmp_path / "samples" / "00000012.png") as image:
        assert image.format == "PNG" and image.size == (98, 14 + 2 * 98)


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    for name in ("clu", "tensorflow", "tensorboard"):
        pytest.importorskip(name)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with MetricLog(tmp_path, 0) as log:
        log.write(3, {"loss/a": 0.5})
        log.write_samples(3, {"a": np.zeros((1, 8, 8, 3), np.float32)})
    events = EventAccumulator(str(next(tmp_path.glob("events*"))))
    events.Reload()
    assert set(events.Tags()["tensors"]) == {"loss/a", "samples"}
    assert [event.step for event in events.Tensors("loss/a")] == [3]
