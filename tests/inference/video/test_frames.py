"""Videos: directories of frames and video files, faces that come and go, sound and times."""

import csv
import json
import types
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from PIL import Image

from alrl_jax import infer_frames
from alrl_jax.errors import UserError
from alrl_jax.inference.video.frame_folder import numbered_files
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing
from tests.inference.video.test_smoothing import FACE
from tests.support.fakes import PASTED, FakeSwapper
from tests.support.photo_files import noise, write_photo


def frames_in(folder: Path, numbers: list[int], side: int = 96) -> dict[str, Any]:
    """Frames of one scene, and the landmarks of a face that moves through it."""
    faces = {}
    for number in numbers:
        path = write_photo(folder / f"clip_{number}.png", 1, (side, side))
        faces[f"frames/{path.name}"] = (FACE * 0.8 + 0.4 * number).tolist()
    return faces


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> int:
    source = write_photo(folder / "s.png", 7, (32, 32))
    values = {
        "model": "m",
        "source": str(source),
        "frames": str(folder / "frames"),
        "output": str(folder / "out"),
        "fps": 25.0,
        "smooth": True,
        "codec": None,
        "crf": None,
        "start": 0.0,
        "end": None,
        "drop_alpha": False,
        **PASTED,
        "aligned_source": True,
        "landmarks_from": "file",
        "landmarks_path": str(folder / "faces.json"),
        "batch_size": 4,
    }
    monkeypatch.setattr(infer_frames, "load_swapper", lambda directory: FakeSwapper())
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**(values | given)))
    return infer_frames.main(["infer_frames"])


def results(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_frames_keep_their_names_and_say_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = frames_in(tmp_path / "frames", [9, 10, 11, 100])
    faces["frames/clip_10.png"] = []
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    (tmp_path / "frames" / "clip_101.png").write_bytes(b"broken")
    assert run(tmp_path, monkeypatch) == 3
    records = results(tmp_path)
    assert [r["status"] for r in records] == ["done", "skipped", "done", "done", "failed"]
    assert [r["output"] for r in records[:4]] == [f"clip_{n}.png" for n in (9, 10, 11, 100)]
    assert records[1]["reason"] == "no face found; the frame stays as it is"
    assert records[4]["reason"].startswith("frame: not a JPEG")
    for result in (records[0], records[1]):
        path = tmp_path / "out" / result["output"]
        with Image.open(path) as after, Image.open(tmp_path / "frames" / path.name) as before:
            changed = (np.asarray(after) != np.asarray(before)).any()
        fields = image_metadata.read_metadata(path)
        assert changed == bool(fields) == (result is records[0])
        assert path.with_suffix(".json").exists() == (result is records[0])
    assert (tmp_path / "out" / "clip_101.png").exists() is False

    (tmp_path / "frames" / "clip_101.png").unlink()
    assert run(tmp_path, monkeypatch) == 0
    again = [r["reason"] for r in results(tmp_path)]
    assert again == [
        "done by an earlier run",
        records[1]["reason"],
        *["done by an earlier run"] * 2,
    ]
    assert run(tmp_path, monkeypatch, smooth=False) == 0
    assert [r["status"] for r in results(tmp_path)] == ["done", "skipped", "done", "done"]


def test_places_are_smoothed_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = list(range(12))
    faces = frames_in(tmp_path / "frames", numbers)
    rng = np.random.default_rng(0)
    for name in faces:
        faces[name] = (FACE * 0.8 + rng.normal(size=(5, 2)) * 0.8).tolist()
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    spread = []
    for smooth in (False, True):
        assert run(tmp_path, monkeypatch, smooth=smooth) == 0
        matrices = []
        for number in numbers:
            sidecar = json.loads((tmp_path / "out" / f"clip_{number}.json").read_text())
            assert (sidecar["settings"]["smoothing"] is None) == (not smooth)
            matrices.append(sidecar["target"]["photo_to_crop"])
        spread.append(np.abs(np.diff(np.array(matrices), axis=0)).mean())
    assert spread[1] < 0.6 * spread[0]


def test_a_video_without_the_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = dict.fromkeys(frames_in(tmp_path / "frames", [1, 2]), [])
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    assert run(tmp_path, monkeypatch) == 3
    assert [r["status"] for r in results(tmp_path)] == ["skipped", "skipped"]


def test_masks_of_frames_lie_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = frames_in(tmp_path / "frames", [1, 2, 3])
    faces["frames/clip_2.png"] = []
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    for status in ("done", "skipped"):
        assert run(tmp_path, monkeypatch, masks=True) == 0
        assert [r["status"] for r in results(tmp_path)] == [status, "skipped", status]
        with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        masks = [f"masks/clip_{number}.png" for number in (1, 3)]
        assert [row["mask"] for row in rows] == masks
        assert [row["output"] for row in rows] == ["clip_1.png", "clip_3.png"]
        for name in masks:
            with Image.open(tmp_path / "out" / name) as mask:
                assert mask.mode == "L" and mask.size == (96, 96) and mask.getextrema() == (0, 255)
        assert len(list((tmp_path / "out" / "masks").iterdir())) == 2
    faces["frames/clip_1.png"] = []
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    assert run(tmp_path, monkeypatch, masks=True) == 0
    assert [p.name for p in (tmp_path / "out" / "masks").iterdir()] == ["clip_3.png"]


def test_frames_are_numbered(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    for name in ("b_2.png", "b_10.jpg", "b_1.png", "deep/b_3.png"):
        write_photo(folder / name, 0)
    assert [file.number for file in numbered_files(folder)] == [1, 2, 10]
    write_photo(folder / "c_02.png", 0)
    with pytest.raises(UserError, match="two frames of number 2"):
        numbered_files(folder)
    (folder / "c_02.png").rename(folder / "cover.png")
    with pytest.raises(UserError, match="number in its name"):
        numbered_files(folder)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": "none"}, "--frames=none"),
        ({"output": "frames"}, "where the frames lie"),
        ({"face": "all"}, "one face to follow"),
        ({"source": "none.png"}, "--source=none.png"),
    ],
)
def test_mistakes_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], message: str
) -> None:
    (tmp_path / "faces.json").write_text(json.dumps(frames_in(tmp_path / "frames", [1])))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run(tmp_path, monkeypatch, **given)


TIMES = [0, 1, 2, 4, 7, 8, 11, 12, 13, 14]
"""Of the frames of a video of changing rate, in 1/25 s."""


def write_video(path: Path, side: int, times: list[int]) -> np.ndarray:
    """A video with sound, and its sound's packets."""
    av = pytest.importorskip("av")
    scene = np.asarray(Image.fromarray(noise(3, (8, 8))).resize((side, side), Image.BICUBIC))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = side, side, "yuv420p"
        video.options = {"crf": "10"}
        video.codec_context.time_base = Fraction(1, 25)
        sound = container.add_stream("aac", rate=16000)
        container.metadata["title"] = "A video"
        for time in times:
            frame = av.VideoFrame.from_ndarray(scene, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(video.encode(frame))
        tone = (np.sin(np.arange(16000) / 5) * 9000).astype(np.int16)[None]
        audio = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        audio.sample_rate, audio.pts = 16000, 0
        for stream, last in ((sound, audio), (sound, None), (video, None)):
            container.mux(stream.encode(last))
    return scene


def contents(path: Path) -> tuple[list[float], list[np.ndarray], list[tuple[float, bytes]], Any]:
    """Times, frames, packets of sound and metadata of a video."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.dts is not None]
        sound = [(round(float(p.pts * p.time_base), 4), bytes(p)) for p in packets]
        metadata = dict(container.metadata)
    pixels = [frame.to_ndarray(format="rgb24") for frame in frames]
    return [round(f.time, 3) for f in frames], pixels, sound, metadata


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_keeps_sound_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    clip = tmp_path / f"clip{suffix}"
    write_video(clip, 64, TIMES)
    given = {"frames": str(clip), "aligned": True, "landmarks_path": None}
    assert run(tmp_path, monkeypatch, **given) == 0
    times, before, sound, _ = contents(clip)
    after_times, after, after_sound, metadata = contents(tmp_path / "out" / clip.name)
    assert after_times == times and len(after) == len(TIMES)
    assert after_sound == sound and sound
    assert {k.lower(): v for k, v in metadata.items()}["title"] == "A video"
    comment = {k.lower(): v for k, v in metadata.items()}["comment"]
    assert f"alrl_jax:digitalSourceType={image_metadata.DIGITAL_SOURCE_TYPE}" in comment
    for old, new in zip(before, after, strict=True):
        difference = np.abs(old.astype(int) - new)
        assert difference[:14].mean() < 3, "outside of the face, but for coding"
        assert difference[20:44, 20:44].mean() > 20
    records = results(tmp_path)
    assert [r["status"] for r in records] == ["done"] * len(TIMES)
    sidecar = json.loads((tmp_path / "out" / f"{clip.name}.json").read_text())
    assert sidecar["frames"] == {"done": len(TIMES)} and sidecar["streams_left_out"] == []
    output = tmp_path / "out" / clip.name
    assert sidecar["output"]["sha256"] == hashing.file_sha256(output)
    assert run(tmp_path, monkeypatch, **given) == 0
    assert [r["reason"] for r in results(tmp_path)] == ["done by an earlier run"]
    assert not list((tmp_path / "out").glob(".*"))


def test_frames_of_a_video_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alrl_jax.provenance.watermark import codec

    clip = tmp_path / "clip.mp4"
    write_video(clip, 256, [0])
    assert run(tmp_path, monkeypatch, frames=str(clip), aligned=True, landmarks_path=None) == 0
    _, (frame,), _, _ = contents(tmp_path / "out" / "clip.mp4")
    sidecar = json.loads((tmp_path / "out" / "clip.mp4.json").read_text())
    found = codec.detect(frame)
    assert found.payload is not None and sidecar["watermark"]["marked"]
    assert found.payload.as_json() == sidecar["watermark"]["payload"]


def test_broken_videos_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, 64, TIMES)
    given = {"frames": str(clip), "aligned": True, "landmarks_path": None}
    clip.write_bytes(clip.read_bytes()[:-300])
    with pytest.raises(UserError, match="expected a video file"):
        run(tmp_path, monkeypatch, **given)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["results.jsonl"]
    (tmp_path / "faces.json").write_text("{}")
    with pytest.raises(UserError, match="expected a detector"):
        run(tmp_path, monkeypatch, frames=str(clip))


def test_video_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(UserError, match=r"alrl_jax\[video\]"):
        run(
            tmp_path,
            monkeypatch,
            frames=str(tmp_path / "clip.mp4"),
            aligned=True,
            landmarks_path=None,
        )
