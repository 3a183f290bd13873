"""Films that stop and go on, and what a user chooses of a film: part, codec, quality, alpha."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.inference.video import segments
from alrl_jax.inference.video.encoding import VideoOptions, packed, unpacked
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.inference.video.pyav import VideoCopy
from tests.inference.video.test_frames import results, run
from tests.inference.video.test_video_file import GIVEN, SIDE, copied, found_in, greys, write_video

av: Any = pytest.importorskip("av")


def frames_of(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(f.time) for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in results(folder)]


def test_a_film_that_was_stopped_equals_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FRAMES", 3)
    found_in(monkeypatch, 0, 1, 2, 4, 5, 6, 7, 9)
    given = GIVEN | {"masks": True, "batch_size": 2}
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        greys(tmp_path / name / "clip.mp4", 10)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(whole, monkeypatch, frames=str(whole / "clip.mp4"), **given) == 0
    swapped, asked = FrameSwapping.swapped_frame, list[int]()
    for stop in (2, 4, 7, 99):
        asked.clear()

        def stops(self: FrameSwapping, job: Any, stop: int = stop) -> Any:
            asked.append(job.number)
            if job.number >= stop:
                raise KeyboardInterrupt
            return swapped(self, job)

        monkeypatch.setattr(FrameSwapping, "swapped_frame", stops)
        go = lambda: run(stopped, monkeypatch, frames=str(stopped / "clip.mp4"), **given)  # noqa: E731
        if stop == 99:
            assert go() == 0
        else:
            with pytest.raises(KeyboardInterrupt):
                go()
            kept = list((stopped / "out").rglob("*.packets"))
            assert len(kept) == stop // 3, "finished segments, and those of none are none"
            assert not list((stopped / "out").glob("*.mp4"))
    assert min(asked) == 6, "what was finished is not swapped again"
    times, frames = frames_of(stopped / "out" / "clip.mp4")
    expected_times, expected = frames_of(whole / "out" / "clip.mp4")
    assert times == expected_times and len(frames) == 10
    for own, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(own, other)
    assert lines(stopped) == lines(whole)
    masks = [sorted((f / "out" / "masks" / "clip.mp4").iterdir()) for f in (whole, stopped)]
    assert [p.name for p in masks[0]] == [p.name for p in masks[1]] and len(masks[0]) == 10
    assert not list((stopped / "out").glob(".*"))
    sidecars = [json.loads((f / "out" / "clip.mp4.json").read_text()) for f in (whole, stopped)]
    assert sidecars[0]["frames"] == sidecars[1]["frames"] == {"done": 8, "skipped": 2}
    assert sidecars[0]["mask"]["swapped"] == sidecars[1]["mask"]["swapped"]


def test_segments_of_other_settings_go(tmp_path: Path) -> None:
    first = segments.Segments(tmp_path / "s", {"a": 1})
    first.open()
    line = [{"status": "done"}] * segments.FRAMES
    first.add(b"12", line, {"marked": True})
    first.add(b"3", line, None)
    first.leave()
    again = segments.Segments(tmp_path / "s", {"a": 1})
    again.open()
    assert again.frames == 2 * segments.FRAMES and list(again.blocks()) == [b"12", b"3"]
    (tmp_path / "s" / "000000.packets").write_bytes(b"1")
    again.open()
    assert again.frames == 0, "what is damaged is made again, and what lies behind it"
    again.leave()
    assert not (tmp_path / "s").exists()
    first.add(b"12", line, None)
    other = segments.Segments(tmp_path / "s", {"a": 2})
    other.open()
    assert other.frames == 0 and not (tmp_path / "s").exists()


def test_packets_come_back() -> None:
    given = [(3, -1, 0, True, b""), (2**40, 7, 5, False, b"abc")]
    assert list(unpacked(packed(given))) == given


def odd(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 65, 47, "yuv444p"
        for number in range(3):
            pixels = np.full((47, 65, 3), 40 * number + 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_odd_sides_are_padded_and_named(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with VideoCopy(odd(tmp_path / "odd.mp4"), output, ".mp4", "") as copy:
        for _, pixels in copy.frames():
            copy.write(pixels)
        copy.finish()
    said = "padded from 65x47 to 66x48 by a column at the right and a row at the bottom"
    assert copy.changes == [said]
    with av.open(str(output)) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p"
    pixels = frame.to_ndarray(format="rgb24")
    assert pixels.shape == (48, 66, 3) and np.ptp(pixels.astype(int)) <= 2


def test_a_part_of_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_in(monkeypatch, *range(10))
    clip = greys(tmp_path / "clip.mp4", 10)
    given = GIVEN | {"frames": str(clip), "start": 0.12, "end": 0.28, "detail": 0.0}
    assert run(tmp_path, monkeypatch, **given) == 0
    times, frames = frames_of(tmp_path / "out" / "clip.mp4")
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12], atol=1e-6)
    levels = [frame[:4, -4:].mean() for frame in frames]
    np.testing.assert_allclose(levels, [70, 90, 110, 130], atol=4)
    sidecar = json.loads((tmp_path / "out" / "clip.mp4.json").read_text())
    assert sidecar["settings"]["video"] == {"start": 0.12, "end": 0.28}
    assert run(tmp_path, monkeypatch, **given | {"end": None}) == 0
    assert len(frames_of(tmp_path / "out" / "clip.mp4")[0]) == 7


def test_sound_of_a_part(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mkv", 6)
    output = tmp_path / "out.mkv"
    options = VideoOptions(start=0.08)
    with VideoCopy(clip, output, ".mkv", "", options) as copy:
        for _, pixels in copy.frames():
            copy.write(pixels)
        copy.finish()
    with av.open(str(clip)) as container:
        before = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
    with av.open(str(output)) as container:
        after = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
    expected = [time - 0.08 for time in before if time >= 0.08]
    np.testing.assert_allclose(after, expected, atol=2e-3)
    assert len(frames_of(output)[0]) == 4


@pytest.mark.parametrize(("codec", "suffix"), [("hevc", ".mp4"), ("vp9", ".webm"), ("av1", ".mkv")])
def test_codecs(tmp_path: Path, codec: str, suffix: str) -> None:
    clip = greys(tmp_path / "clip.mp4", 4)
    output = tmp_path / f"out{suffix}"
    with VideoCopy(clip, output, suffix, "", VideoOptions(codec, 30)) as copy:
        for _, pixels in copy.frames():
            copy.write(pixels)
        copy.finish()
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
    levels = [frame.mean() for frame in frames_of(output)[1]]
    np.testing.assert_allclose(levels, [10, 30, 50, 70], atol=5)


def test_quality_is_a_choice(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 3, sound=False)
    sizes = []
    for crf in (10, 40):
        output = tmp_path / f"{crf}.mp4"
        with VideoCopy(clip, output, ".mp4", "", VideoOptions(crf=crf)) as copy:
            for _, pixels in copy.frames():
                copy.write(pixels)
            copy.finish()
        sizes.append(output.stat().st_size)
    assert sizes[1] < sizes[0] / 3


def test_transparency_is_refused_or_left_out(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mov"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "rgba"
        pixels = np.full((SIDE, SIDE, 4), 90, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="--drop_alpha"):
        copied(clip, tmp_path / "out.mov")
    options = VideoOptions(drop_alpha=True)
    with VideoCopy(clip, tmp_path / "out.mov", ".mov", "", options) as copy:
        for _, frame in copy.frames():
            copy.write(frame)
        copy.finish()
    assert copy.left_out == ["the frames' transparency"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"codec": "hevc", "frames": "clip.webm"}, "--codec=hevc for .webm"),
        ({"crf": 60, "frames": "clip.mp4"}, "--crf=60 for h264; expected 0 to 51"),
        ({"start": 2.0, "end": 1.0, "frames": "clip.mp4"}, "--start=2 --end=1"),
        ({"crf": 20, "frames": "folder"}, "--crf with a directory"),
    ],
)
def test_mistakes_are_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    found_in(monkeypatch, 0)
    (tmp_path / "folder").mkdir()
    for name in ("clip.webm", "clip.mp4"):
        (tmp_path / name).write_bytes(b"x")
    frames = str(tmp_path / given["frames"])
    with pytest.raises(UserError, match=message):
        run(tmp_path, monkeypatch, **GIVEN | given | {"frames": frames})
