"""One bad photo fails by itself: whatever breaks on it, the others go on."""

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags

from alrl_jax import infer, swap_stream
from alrl_jax.inference import doubts, stream, swapping
from alrl_jax.inference.job import fault
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.photos import landmarks
from alrl_jax.photos.landmarks import FaceFinder, FoundFace, LandmarkSource, of_points
from tests.inference.video.test_frames import run as run_frames
from tests.inference.video.test_smoothing import FACE
from tests.support.fakes import OF_PHOTOS, PASTED, FakeSwapper
from tests.support.photo_files import write_photo


class BrokenLibraryError(Exception):
    """What no module of ours knows."""


def breaking(number: int) -> LandmarkSource:
    """Finds one face everywhere, but breaks on the file whose name ends in a number."""

    def find(path: Path, photo: np.ndarray) -> list[FoundFace]:
        if path.stem.endswith(str(number)):
            raise BrokenLibraryError("two\nlines")
        return [of_points(FACE * 0.8)]

    return LandmarkSource(lambda path, options: find, "")


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and results of five photos."""
    for i in range(5):
        write_photo(folder / "targets" / f"t{i}.png", i, (96, 96))
    values = {
        "model": "m",
        "pairs": None,
        "source": str(write_photo(folder / "s.png", 7)),
        "target": str(folder / "targets"),
        "output": str(folder / "out"),
        **OF_PHOTOS,
        **PASTED,
        "aligned_source": True,
        "batch_size": 2,
    }
    monkeypatch.setattr(infer, "load_swapper", lambda directory: FakeSwapper())
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**values))
    status = infer.main(["infer"])
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    return status, [json.loads(line) for line in lines]


def test_a_detector_that_breaks_fails_its_photo_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(landmarks.LANDMARK_SOURCES, "cascade", breaking(2))
    status, records = run(tmp_path, monkeypatch)
    assert status == 3
    assert [r["status"] for r in records] == ["done", "done", "failed", "done", "done"]
    reason = "target: the detector failed: BrokenLibraryError: two lines"
    assert records[2]["reason"].startswith(reason)


@pytest.mark.parametrize("error", [MemoryError(), BrokenLibraryError("odd")])
def test_what_breaks_later_fails_its_photo_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setitem(landmarks.LANDMARK_SOURCES, "cascade", breaking(9))
    calls = []

    def finish(target: Any, *rest: Any) -> Any:
        calls.append(target)
        if len(calls) == 1:
            raise error
        return stream.finish(target, *rest)

    monkeypatch.setattr(swapping, "finish", finish)
    status, records = run(tmp_path, monkeypatch)
    assert status == 3
    assert sorted(r["status"] for r in records) == ["done"] * 4 + ["failed"]
    assert [r["reason"] for r in records if r["reason"]] == [fault(error)]


def test_a_stream_goes_on_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "facts", lambda job, settings: 1 / 0)
    pixels = np.zeros((32, 32, 3), np.uint8)
    settings = Settings(aligned=True)
    results = list(swap_stream([(pixels, pixels)] * 2, FakeSwapper(), settings))
    assert [r.reason for r in results] == ["ZeroDivisionError: division by zero"] * 2


def test_frames_fail_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(landmarks.LANDMARK_SOURCES, "cascade", breaking(2))
    for i in range(5):
        write_photo(tmp_path / "frames" / f"f{i}.png", i, (96, 96))
    real = FrameSwapping.swapped_frame

    def swapped_frame(self: FrameSwapping, job: Any) -> Any:
        if job.number == 3:
            raise BrokenLibraryError("odd")
        return real(self, job)

    monkeypatch.setattr(FrameSwapping, "swapped_frame", swapped_frame)
    given = {"landmarks_from": "cascade", "landmarks_path": None}
    assert run_frames(tmp_path, monkeypatch, **given) == 3
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["status"] for r in records] == ["done", "done", "failed", "failed", "done"]
    assert records[2]["reason"] == "frame: the detector failed: BrokenLibraryError: two lines"
    assert records[3]["reason"] == "BrokenLibraryError: odd"
    outputs = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert outputs == ["f0.png", "f1.png", "f4.png"]


def test_faces_that_are_none_are_left_out_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = of_points(FACE * 0.8), of_points(FACE * 0.8 + 1e6)
    found = [bad, good, bad]
    source = LandmarkSource(lambda path, options: lambda photo_path, photo: found, "")
    monkeypatch.setitem(landmarks.LANDMARK_SOURCES, "cascade", source)
    finder, photo = FaceFinder("cascade", None, 16), np.zeros((96, 96, 3), np.uint8)
    assert len(finder.alignments(Path(), photo, "all")) == 1
    found.remove(good)
    with pytest.raises(landmarks.FaceNotFoundError, match="do not fit"):
        finder.alignments(Path(), photo, "all")
