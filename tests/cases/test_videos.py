"""Videos of which something would be lost or wrong without a word: one kind a test."""

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cases.running import Command
from tests.support.photo_files import noise

av = pytest.importorskip("av")
SIDE, COUNT = 32, 12


def write_video(path: Path, sizes: dict[int, int], codec: str = "mpeg4", **stream: Any) -> Path:
    """Frames of noise in grey stripes, each of the size that is in force from its number on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, **stream)
        video.width = video.height = sizes[0]
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        video.options = {"g": "1"} if codec == "mpeg4" else {}
        side = sizes[0]
        for number in range(COUNT):
            side = sizes.get(number, side)
            pixels = np.repeat(noise(number, (side, 1)), side, axis=1)
            pixels[: side // 2, : side // 2] = 255  # so that turned and mirrored ones differ
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def first_frame(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def packets(path: Path) -> list[tuple[int, int]]:
    """Place and size of every packet in a file."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


def test_a_damaged_frame_is_counted(command: Command) -> None:
    clip = write_video(command.folder / "clip.mp4", {0: SIDE})
    content = bytearray(clip.read_bytes())
    place, size = packets(clip)[5]
    content[place : place + size] = bytes(size)
    clip.write_bytes(content)
    assert command.swap_video(clip) == 3
    assert "  video: 1 frames of the file are damaged or missing" in "\n".join(command.said)
    assert [r["status"] for r in command.results] == ["done"] * (COUNT - 1) + ["failed"]
    sidecar = json.loads((command.folder / "out" / "clip.mp4.json").read_text())
    assert sidecar["frames"] == {"done": COUNT - 1, "failed": 1}
    assert command.swap_video(clip) == 3, "an earlier run's losses are not forgotten"


def test_a_video_that_is_cut_off_is_counted(command: Command) -> None:
    """With its index at the front, as after streaming, the rest still plays."""
    clip = write_video(command.folder / "clip.mkv", {0: SIDE})
    place, _ = packets(clip)[4]
    clip.write_bytes(clip.read_bytes()[:place])
    whole = COUNT / 25
    status = command.swap_video(clip)
    done = [r for r in command.results if r["status"] == "done"]
    assert 0 < len(done) < COUNT
    # Below a second, a file whose streams say nothing of their lengths is not called cut.
    assert status == (3 if whole - len(done) / 25 > 1 else 0)


def test_a_mirrored_video_is_mirrored(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from alrl_jax.inference.video.display_matrix import read_matrix, shown

    one = 1 << 16
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    wanted = {
        (one, 0, 0, one): pixels,
        (-one, 0, 0, one): pixels[:, ::-1],
        (one, 0, 0, -one): pixels[::-1],
        (-one, 0, 0, -one): pixels[::-1, ::-1],
        (0, one, one, 0): pixels.swapaxes(0, 1),
        (0, one, -one, 0): np.rot90(pixels, -1),
        (0, -one, one, 0): np.rot90(pixels, 1),
    }
    for (a, b, c, d), expected in wanted.items():
        data = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()
        matrix = read_matrix(data)
        assert matrix is not None
        np.testing.assert_array_equal(shown(pixels, matrix), expected)
    half = round(one * 0.7071)
    turned = np.array([half, half, 0, -half, half, 0, 0, 0, 1 << 30], np.int32)
    assert read_matrix(turned.tobytes()) is None, "by an eighth of a turn"
    assert read_matrix(np.zeros(9, np.int32).tobytes()) is None


def test_a_change_of_size_is_refused(command: Command) -> None:
    clip = command.folder / "clip.ts"
    parts = [
        write_video(command.folder / f"{side}.ts", {0: side}, "mpeg2video") for side in (32, 48)
    ]
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert command.swap_video(clip) == 2
    assert "frames change from 32x32 to 48x48 pixels" in command.error
    assert not (command.folder / "out" / "clip.mkv").exists()


def test_frames_that_would_fill_the_memory_are_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alrl_jax.inference.video.pyav.MAX_PIXELS", SIDE * SIDE - 1)
    assert command.swap_video(write_video(command.folder / "clip.mp4", {0: SIDE})) == 2
    assert f"frames of {SIDE}x{SIDE} pixels" in command.error


def test_a_list_of_other_files_is_no_video(command: Command) -> None:
    """FFmpeg would open what a playlist names, whatever the playlist is called."""
    secret = write_video(command.folder / "secret.mp4", {0: SIDE})
    lists = {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
    }
    for name, text in lists.items():
        (command.folder / name).write_text(text)
        assert command.swap_video(command.folder / name) == 2, name
        assert "expected a video file" in command.error


def test_a_pipe_is_no_video(command: Command) -> None:
    os.mkfifo(command.folder / "clip.mp4")
    assert command.swap_video(command.folder / "clip.mp4") == 2
    assert "not a regular file" in command.error
