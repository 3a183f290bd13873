"""Video files as cameras and tools leave them: odd times, streams, shapes and metadata."""

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.inference.video.clock import Clock
from alrl_jax.inference.video.pyav import VideoCopy
from alrl_jax.photos.landmarks import LANDMARK_SOURCES, FoundFace, LandmarkSource, of_points
from tests.inference.video.test_frames import results, run
from tests.inference.video.test_smoothing import FACE

av: Any = pytest.importorskip("av")
SIDE = 64
GIVEN = {"landmarks_from": "cascade", "landmarks_path": None}


def greys(path: Path, frames: int, side: int = SIDE) -> Path:
    """A video whose frame n has the brightness 10 + 20 n."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for number in range(frames):
            pixels = np.full((side, side, 3), 10 + 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def found_in(monkeypatch: pytest.MonkeyPatch, *numbers: int, broken: int = -1) -> None:
    """Makes the cascade find a face in these frames of ``greys``, and break on one."""

    def find(path: Path, photo: np.ndarray) -> list[FoundFace]:
        number = round((float(photo.mean()) - 10) / 20)
        if number == broken:
            raise RuntimeError("odd")
        return [of_points(FACE * photo.shape[0] / 100)] if number in numbers else []

    monkeypatch.setitem(LANDMARK_SOURCES, "cascade", LandmarkSource(lambda path, options: find, ""))


def write_video(path: Path, frames: int = 6, sound: bool = True, **video: Any) -> Path:
    """Frames of noise at 25 a second, and a second of sound."""
    metadata = video.pop("metadata", {})
    scene = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with av.open(str(path), "w", format=video.pop("format", None)) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.options = {"bf": "2"}
        stream.codec_context.sample_aspect_ratio = video.pop("shape", Fraction(1))
        audio = container.add_stream("aac", rate=16000) if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(scene, number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            tone = av.AudioFrame.from_ndarray(
                np.zeros((1, 4000), np.int16), format="s16", layout="mono"
            )
            tone.sample_rate, tone.pts = 16000, 0
            container.mux(audio.encode(tone))
            container.mux(audio.encode(None))
    return path


def copied(path: Path, output: Path) -> tuple[list[float], list[str]]:
    """Copies a video frame by frame; gives the times of the copy, and what was left out."""
    with VideoCopy(path, output, output.suffix, "comment") as copy:
        for _, pixels in copy.frames():
            copy.write(pixels)
        copy.finish()
    with av.open(str(output)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return times, copy.left_out


def joined(folder: Path) -> Path:
    """Two transport streams in one file: times start again in its middle."""
    part = write_video(folder / "part.ts", 40)
    (folder / "two.ts").write_bytes(part.read_bytes() * 2)
    return folder / "two.ts"


def test_times_rise_whatever_the_file_says(tmp_path: Path) -> None:
    raw = write_video(tmp_path / "raw.h264", sound=False, format="h264")
    old = write_video(tmp_path / "old.avi", sound=False)
    for path, frames in ((raw, 6), (old, 6), (joined(tmp_path), 80)):
        times, _ = copied(path, tmp_path / "out.mkv")
        assert len(times) == frames, path
        steps = np.diff(times)
        assert (steps > 0.01).all() and (steps < 0.2).all(), (path, times)


def test_a_clock_keeps_times_that_rise() -> None:
    clock = Clock(second=25.0, least=2)
    given = [3, 4, 4, 9, 100, 0, 1, 5]
    assert [clock.at(time, 2) for time in given] == [3, 4, 6, 9, 100, 102, 103, 107]
    equal = Clock(second=25.0, least=0)
    assert [equal.at(time, 2) for time in (1, 1, 0, 5)] == [1, 1, 1, 5]


def test_streams_that_the_container_does_not_take_are_reported(tmp_path: Path) -> None:
    times, left_out = copied(write_video(tmp_path / "a.mkv", 3), tmp_path / "out.webm")
    assert len(times) == 3 and left_out == ["audio stream 1 (aac, not for webm)"]


def test_a_finished_video_ends_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_in(monkeypatch, 0, 2, broken=3)
    clip = greys(tmp_path / "clip.mp4", 4)
    given = GIVEN | {"frames": str(clip)}
    assert run(tmp_path, monkeypatch, **given) == 3
    records = results(tmp_path)
    assert [r["status"] for r in records] == ["done", "skipped", "done", "failed"]
    assert run(tmp_path, monkeypatch, **given) == 3
    (only,) = results(tmp_path)
    assert only["frames"] == {"done": 2, "skipped": 1, "failed": 1}
    assert (tmp_path / "out" / "clip.mp4.json").exists()


def test_a_video_without_a_swap_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in(monkeypatch)
    clip = greys(tmp_path / "clip.mp4", 2)
    for _ in range(2):
        assert run(tmp_path, monkeypatch, frames=str(clip), **GIVEN) == 3
        records = results(tmp_path)
        assert [r["status"] for r in records] == ["skipped", "skipped", "failed"]
        assert (
            records[-1]["reason"].startswith("no face in any frame") and not records[-1]["output"]
        )
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["results.jsonl"]


def test_the_mark_is_read_in_the_first_swapped_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in(monkeypatch, 2, 3)
    clip = greys(tmp_path / "clip.mp4", 4, side=256)
    assert run(tmp_path, monkeypatch, frames=str(clip), **GIVEN) == 0
    sidecar = json.loads((tmp_path / "out" / "clip.mp4.json").read_text())
    assert sidecar["watermark"]["marked"] and sidecar["watermark"]["readable"] is not None


def test_shape_of_pixels_turns_with_the_video(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 2, sound=False, shape=Fraction(4, 3))
    content = clip.read_bytes()
    matrix = content.index(b"tkhd") + 44
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    clip.write_bytes(content[:matrix] + turned + content[matrix + 36 :])
    copied(clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 4)
        assert next(container.decode(video=0)).rotation == 0


def test_shape_of_pixels_stays_and_places_go(tmp_path: Path) -> None:
    metadata = {"title": "A", "location": "+48+011/", "GPSLatitude": "48", "LOCATION-eng": "x"}
    clip = write_video(tmp_path / "a.mkv", 2, shape=Fraction(4, 3), metadata=metadata)
    for suffix in (".mp4", ".mkv"):
        copied(clip, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            kept = {key.lower(): value for key, value in container.metadata.items()}
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert kept["title"] == "A" and not any("loc" in k or "gps" in k for k in kept)
