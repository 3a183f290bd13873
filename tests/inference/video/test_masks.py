"""Masks of video files: one a frame, there with the video or not at all."""

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.inference.manifest import VIDEO_COLUMNS
from alrl_jax.inference.video.pyav import VideoCopy
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing
from tests.inference.video.test_frames import results, run
from tests.inference.video.test_video_file import GIVEN, SIDE, found_in, greys

pytest.importorskip("av")


def swap(folder: Path, monkeypatch: pytest.MonkeyPatch, clip: Path, **given: Any) -> int:
    return run(folder, monkeypatch, **GIVEN | {"frames": str(clip), "masks": True} | given)


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> list[str]:
    """All files of the outputs, hidden ones included."""
    output = folder / "out"
    return sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())


WHOLE = [
    "clip.mp4",
    "clip.mp4.json",
    "manifest.csv",
    *(f"masks/clip.mp4/00000{number}.png" for number in range(5)),
    "results.jsonl",
]


def test_every_frame_has_a_mask_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_in(monkeypatch, 1, 2, 4, broken=3)
    clip = greys(tmp_path / "clip.mp4", 5)
    assert swap(tmp_path, monkeypatch, clip) == 3
    assert [r["status"] for r in results(tmp_path)] == ["skipped", "done", "done", "failed", "done"]
    assert names(tmp_path) == WHOLE
    sidecar = json.loads((tmp_path / "out" / "clip.mp4.json").read_text())
    video = hashing.file_sha256(tmp_path / "out" / "clip.mp4")
    assert sidecar["mask"]["swapped"] == [[1, 2], [4, 4]]
    rows = manifest(tmp_path)
    assert [tuple(row) for row in rows] == [VIDEO_COLUMNS] * 5
    for number, row in enumerate(rows):
        swapped = number in (1, 2, 4)
        assert row == {
            "source": "../s.png",
            "target": "../clip.mp4",
            "output": "clip.mp4",
            "frame": str(number),
            "mask": f"masks/clip.mp4/00000{number}.png",
            "label": "fake" if swapped else "untouched",
            "provenance_id": f"{sidecar['model']['sha256']}:{video}",
            "marked": "false",
        }
        path = tmp_path / "out" / row["mask"]
        with Image.open(path) as mask:
            assert mask.mode == "L" and mask.size == (SIDE, SIDE)
            assert mask.getextrema() == ((0, 255) if swapped else (0, 0))
        fields = image_metadata.read_metadata(path)
        assert fields["targetSHA256"] == hashing.file_sha256(clip)
        assert fields["frame"] == str(number)
        assert fields["digitalSourceType"] == image_metadata.GENERATED_SOURCE_TYPE


def test_a_video_is_finished_with_its_masks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in(monkeypatch, *range(5))
    clip = greys(tmp_path / "clip.mp4", 5)
    masks = tmp_path / "out" / "masks"
    assert swap(tmp_path, monkeypatch, clip) == 0
    before = manifest(tmp_path)
    (tmp_path / "out" / "manifest.csv").unlink()
    (masks / ".clip.mp4.999999999.tmp").mkdir()
    (masks / ".clip.mp4.999999999.tmp" / "000000.png").write_bytes(b"left by who was killed")
    assert swap(tmp_path, monkeypatch, clip) == 0
    assert [r["status"] for r in results(tmp_path)] == ["skipped"]
    assert manifest(tmp_path) == before and names(tmp_path) == WHOLE

    (masks / "clip.mp4" / "000002.png").write_bytes(b"changed")
    (masks / "clip.mp4" / "000005.png").write_bytes(b"one more")
    assert swap(tmp_path, monkeypatch, clip) == 0
    assert [r["status"] for r in results(tmp_path)] == ["done"] * 5
    assert names(tmp_path) == WHOLE
    assert swap(tmp_path, monkeypatch, clip, masks=False, detail=0.5) == 0
    left = ["clip.mp4", "clip.mp4.json", "results.jsonl"]
    assert names(tmp_path) == left, "no masks of another video than the one that is there"


def test_what_fails_leaves_no_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = greys(tmp_path / "clip.mp4", 3)
    found_in(monkeypatch)
    assert swap(tmp_path, monkeypatch, clip) == 3
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["results.jsonl"]

    found_in(monkeypatch, 0, 1, 2)
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "000001.png":
            write(self, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match="No space left.*make room"):
            swap(tmp_path, monkeypatch, clip)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["results.jsonl"]


def test_what_an_earlier_run_finished_goes_when_a_new_video_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in(monkeypatch, *range(5))
    clip = greys(tmp_path / "clip.mp4", 5)
    assert swap(tmp_path, monkeypatch, clip) == 0

    def broken(copy: VideoCopy, pixels: np.ndarray) -> None:
        raise UserError("no more room")

    with monkeypatch.context() as patch:
        patch.setattr(VideoCopy, "write", broken)
        with pytest.raises(UserError, match="no more room"):
            swap(tmp_path, monkeypatch, clip, detail=0.5)
    assert names(tmp_path) == WHOLE, "all of it stays"

    replace = os.replace

    def fails_last(old: Any, new: Any) -> None:
        if Path(new).name == "clip.mp4" and Path(new).parent.name == "out":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(new))
        replace(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails_last)
        with pytest.raises(OSError, match="Input/output"):
            swap(tmp_path, monkeypatch, clip, detail=0.5)
    assert names(tmp_path) == ["results.jsonl"], "and nothing is there by half"
    assert swap(tmp_path, monkeypatch, clip, detail=0.5) == 0
    assert names(tmp_path) == WHOLE and len(manifest(tmp_path)) == 5
