"""Photographs become records once and for all: labels, faults, resuming, many processes."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alrl_jax.data import shard_workers
from alrl_jax.data.parsing_classes import CELEBAMASK_LABELS
from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.prepare import photo_records
from alrl_jax.data.prepare.layouts import Wish
from alrl_jax.data.shards import Plan, ShardSource, open_shards, prepare
from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import UnreadableImageError, read_image, read_mask
from alrl_jax.photos.file_trees import open_tree
from tests.conftest import LONGEST_WAIT
from tests.support import fabricated, photo_kinds

ROOT = Path(__file__).parents[3]
NUMBERS = tuple(range(12))


def plan_of(source: Path, resolution: int = 16, workers: int = 0, **changes: int) -> Plan:
    """Plans small files of what a directory or a zip holds."""
    wish = Wish(source)
    tree = open_tree(source)
    layout = photo_records.recognise(tree, wish)
    album = photo_records.LAYOUTS[layout](tree, wish)
    plan = photo_records.photo_plan(layout, album, resolution, wish, None, workers, progress=False)
    small = {"max_chunk_size": 1, "chunks_per_shard": 2}
    return dataclasses.replace(plan, **small | changes)


def everything(source: ShardSource) -> np.ndarray:
    return source.read(np.arange(len(source)))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Bit for bit: unknown poses are no numbers, which are never equal."""
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    root = tmp_path / "CelebAMask-HQ"
    fabricated.write_celebamask(root, NUMBERS, {n: n + 1 for n in NUMBERS})
    return root


def painted(number: int, resolution: int) -> np.ndarray:
    """The label map that the masks of an image make, pixel by pixel."""
    masks = fabricated.masks_of(number)
    labels = np.zeros((resolution, resolution), np.uint8)
    for y in range(resolution):
        for x in range(resolution):
            place = tuple(
                int((at + 0.5) * fabricated.MASK_SIDE / resolution) for at in (y, x)
            )  # the nearest pixel of the mask
            over = [part for part in CELEBAMASK_LABELS[1:] if part in masks and masks[part][place]]
            labels[y, x] = CELEBAMASK_LABELS.index(over[-1]) if over else 0
    return labels


@pytest.mark.parametrize("resolution", [16, 24, 48, 64])
def test_masks_are_painted_over_each_other(faces: Path, resolution: int) -> None:
    records, faults = plan_of(faces, resolution).make(0, 3)
    assert faults == [] and records["labelled"].all()
    for number in range(3):
        np.testing.assert_array_equal(records["parsing"][number], painted(number, resolution))
        path = faces / "CelebA-HQ-img" / f"{number}.jpg"
        np.testing.assert_array_equal(records["image"][number], read_image(path, resolution))
    assert np.isnan(records["pose_degrees"]).all() and records["landmarks"].shape == (3, 0, 2)


def test_a_zip_gives_the_same_records(faces: Path, tmp_path: Path) -> None:
    zipped = fabricated.zipped(faces, tmp_path / "faces.zip", "CelebAMask-HQ/")
    a = prepare(tmp_path / "a", plan_of(faces))
    b = prepare(tmp_path / "b", plan_of(zipped))
    assert len(a) == len(NUMBERS) and same(everything(a), everything(b))
    np.testing.assert_array_equal(a.identities, NUMBERS)


def test_labels_reach_the_batches_and_turn_with_them(faces: Path, tmp_path: Path) -> None:
    source = prepare(tmp_path / "out", plan_of(faces))
    batches = make_iterator(source, "pairs", 4, 0)
    seen = set()
    for _ in range(6):
        batch = next(batches).target
        for image, parsing, person in zip(batch.image, batch.parsing, batch.identity, strict=True):
            record = source[int(person)]
            turned = not np.allclose(image, record["image"] / 127.5 - 1, atol=1e-5)
            seen.add(turned)
            labels = record["parsing"].astype(np.int32)
            if turned:
                left, right = [4, 6, 8], [5, 7, 9]  # eyes, brows, ears
                table = np.arange(19)
                table[left + right] = right + left
                labels = table[labels[:, ::-1]]
            np.testing.assert_array_equal(parsing, labels)
    batches.close()
    assert seen == {True, False}


def test_what_cannot_be_read_is_left_out_by_name(faces: Path, tmp_path: Path) -> None:
    image = faces / "CelebA-HQ-img"
    (image / "3.jpg").write_bytes(b"")
    Image.new("RGB", (40, 20)).save(image / "7.jpg")
    masks = faces / "CelebAMask-HQ-mask-anno" / "0"
    (masks / "00005_hair.png").write_bytes(photo_kinds.READABLE["plain.png"]()[:-40])
    Image.new("L", (20, 16)).save(masks / "00006_cloth.png")
    for path in masks.glob("00008_*"):
        path.unlink()
    source = prepare(tmp_path / "out", plan_of(faces))
    kept = [n for n in NUMBERS if n not in (3, 7)]
    np.testing.assert_array_equal(source.identities, kept)
    records = everything(source)
    np.testing.assert_array_equal(records["identity"], kept)
    unlabelled = [kept[row] for row in np.flatnonzero(~records["labelled"])]
    assert unlabelled == [5, 6, 8]
    assert (records["parsing"][~records["labelled"]] == 255).all()
    assert (records["pose_degrees"][~records["labelled"]] == 0).all()
    assert [name.rpartition("/")[2] for name, _ in source.report] == [
        "3.jpg", "00005_hair.png", "00006_cloth.png", "7.jpg"
    ]  # fmt: skip
    reasons = [reason for _, reason in source.report]
    assert reasons[0] == "empty file" and reasons[3] == "40x20 pixels; expected a square"
    assert reasons[1].endswith("; so CelebA-HQ-img/5.jpg is unlabelled")
    assert not list((tmp_path / "out").glob("*.faults.json"))


def test_a_file_of_nothing_but_broken_ones(tmp_path: Path) -> None:
    for number in NUMBERS:
        fabricated.save(tmp_path / "in" / f"{number}.png", fabricated.pixels(number))
    for name in ("10.png", "11.png"):  # the second of six files, by the names
        (tmp_path / "in" / name).write_bytes(b"broken")
    source = prepare(tmp_path / "out", plan_of(tmp_path / "in", 32))
    assert len(source) == 10 and len(source.report) == 2
    np.testing.assert_array_equal(source[9]["image"], fabricated.pixels(9))
    for path in (tmp_path / "in").glob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"12 image files, none of them readable \(the first: 0"):
        plan_of(tmp_path / "in")


def test_broken_files_are_remembered_when_a_stopped_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in NUMBERS:
        fabricated.save(tmp_path / "in" / f"{number:05d}.png", fabricated.pixels(number))
    (tmp_path / "in" / "00001.png").write_bytes(b"broken")
    read = photo_records.read_image

    def stopping(content: bytes, resolution: int, *, cut: bool = True) -> np.ndarray:
        if content == (tmp_path / "in" / "00007.png").read_bytes():
            raise KeyboardInterrupt
        return read(content, resolution, cut=cut)

    monkeypatch.setattr(photo_records, "read_image", stopping)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "out", plan_of(tmp_path / "in"))
    asked = []

    def counting(content: bytes, resolution: int, *, cut: bool = True) -> np.ndarray:
        asked.append(content)
        return read(content, resolution, cut=cut)

    plan = plan_of(tmp_path / "in")
    monkeypatch.setattr(photo_records, "read_image", counting)
    source = prepare(tmp_path / "out", plan)
    assert len(asked) == 6  # of files 6 to 11
    assert source.report == [
        ("00001.png", "not a JPEG, PNG or WebP file, nor AVIF, GIF, HEIC or TIFF")
    ]
    assert source.identities.tolist() == [n for n in NUMBERS if n != 1]
    monkeypatch.undo()
    other = prepare(tmp_path / "other", plan_of(tmp_path / "in"))
    assert same(everything(source), everything(other))


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Path]:
    """Photographs that take some time each; one is broken."""
    for number in range(64):
        fabricated.save(tmp_path / "many" / f"{number:03d}.png", fabricated.pixels(number, 512))
    (tmp_path / "many" / "017.png").write_bytes(b"broken")
    yield tmp_path / "many"


COMMAND = ("-m", "tools.prepare_dataset", "--resolution=1024")


def start(source: Path, output: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *COMMAND, f"--source={source}", f"--output={output}", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alive() -> dict[int, int]:
    """Parent of every process that has not ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:  # ended meanwhile
                continue
            if state != "Z":
                found[int(entry.name)] = int(parent)
    return found


def below(process: int) -> set[int]:
    """Processes that a process has started, and those that these have."""
    parents = alive()
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_killed_with_its_workers_and_started_again(many: Path, tmp_path: Path) -> None:
    output, deadline = tmp_path / "out", time.monotonic() + LONGEST_WAIT
    process = start(many, output, "--workers=2")
    workers: set[int] = set()
    while len(workers) < 3 or not list(output.glob("faces-*.array_record")):
        assert time.monotonic() < deadline
        if process.poll() is not None:  # done before this process had its turn
            process.communicate()
            shutil.rmtree(output)
            process = start(many, output, "--workers=2")
        time.sleep(0.01)
        workers = below(process.pid)  # both, and the server that they come from
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "dataset.json").exists()
    while workers & alive().keys():  # they end by themselves
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in output.glob("faces-*.array_record")}
    again = start(many, output, "--workers=2")
    stdout, stderr = again.communicate(timeout=LONGEST_WAIT)
    assert again.returncode == 0, stderr
    assert "63 images of 63 people" in stdout and "skipped 017.png: not a JPEG" in stdout
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    source = open_shards(output)
    assert source.report == [
        ("017.png", "not a JPEG, PNG or WebP file, nor AVIF, GIF, HEIC or TIFF")
    ]
    expected, _ = plan_of(many, 1024).make(60, 64)
    assert same(source.read(np.arange(59, 63)), expected)
    report = json.loads((output / "report.json").read_text())
    assert (report["found"], report["records"], len(report["skipped"])) == (64, 63, 1)


def test_workers_and_threads_write_the_same(many: Path, tmp_path: Path) -> None:
    by_threads = prepare(tmp_path / "a", plan_of(many, 16, chunks_per_shard=16))
    by_workers = prepare(tmp_path / "b", plan_of(many, 16, workers=2, chunks_per_shard=16))
    assert same(everything(by_threads), everything(by_workers))
    assert by_threads.report == by_workers.report
    for path in (tmp_path / "a").glob("faces-*"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


class Ending:
    """Makes nothing; its process ends."""

    def __call__(self, start: int, stop: int) -> np.ndarray:
        os._exit(9)

    def part(self, start: int, stop: int) -> "Ending":
        return self


class Failing:
    """Makes nothing; the disk is full."""

    def __call__(self, start: int, stop: int) -> np.ndarray:
        raise OSError(28, "No space left on device", "somewhere")

    def part(self, start: int, stop: int) -> "Failing":
        return self


def test_workers_that_fail(many: Path, tmp_path: Path) -> None:
    plan = plan_of(many, workers=2)
    with pytest.raises(UserError, match="ended from outside .status 9."):
        prepare(tmp_path / "a", dataclasses.replace(plan, make=Ending()))
    with pytest.raises(OSError, match="No space left on device: 'somewhere'"):
        prepare(tmp_path / "b", dataclasses.replace(plan, make=Failing()))
    assert not shard_workers.multiprocessing.active_children()
    assert len(prepare(tmp_path / "a", plan_of(many))) == 63


def test_changed_files_are_another_data_set(faces: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "out", plan_of(faces))
    mask = next((faces / "CelebAMask-HQ-mask-anno" / "0").iterdir())
    Image.new("L", (16, 16)).save(mask)
    with pytest.raises(UserError, match="files='[0-9a-f]{64}' where it has"):
        prepare(tmp_path / "out", plan_of(faces))


def test_masks_of_every_kind() -> None:
    """Whatever is not black counts, however the file stores it."""
    expected = np.zeros((16, 16), bool)
    expected[4:, :3] = True
    grey = Image.fromarray(np.where(expected, 255, 0).astype(np.uint8))
    dark = Image.fromarray(expected.astype(np.uint8))
    clear = grey.convert("RGBA")
    clear.putalpha(0)
    deep = Image.fromarray(expected.astype(np.uint16))
    for image in (grey, dark, clear, deep, grey.convert("RGB"), grey.convert("1"),
                  grey.convert("LA"), grey.convert("P")):  # fmt: skip
        mask = read_mask(photo_kinds.encoded(image, "PNG"), 16)
        assert mask.dtype == bool, image.mode
        np.testing.assert_array_equal(mask, expected, image.mode)
    with pytest.raises(UnreadableImageError, match="32x16 pixels; expected a square"):
        read_mask(photo_kinds.encoded(grey.resize((32, 16)), "PNG"), 16)
