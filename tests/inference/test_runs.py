"""Runs that are stopped, that cannot write, or that find odd files on their way."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.inference import outputs
from alrl_jax.photos.pair_list import AllPairs, PairFiles, list_files, list_pairs
from alrl_jax.utils import hashing
from tests.conftest import ROOT
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import noise, pairs_in, swapping, write_photo

SLOW_RUN = """
import sys, time
from pathlib import Path
import jax
jax.config.update("jax_num_cpu_devices", 1)
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import pairs_in, swapping
class Slow(FakeSwapper):
    def swap(self, *args, **kwargs):
        time.sleep(0.05)
        return super().swap(*args, **kwargs)
folder = Path(sys.argv[1])
list(swapping(folder / "out", Slow()).run(pairs_in(folder, 60), 1))
"""


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    output = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(tmp_path)], env=environment)
    log = output / "results.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    records = lines(output)
    assert [r["number"] for r in records] == list(range(len(records))) and 3 <= len(records) < 60
    photos = list(output.glob("*.png"))
    for path in photos:  # whole, and each with its sidecar
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["output"]["sha256"] == hashing.file_sha256(path)
    (output / f".000059_x.png.{process.pid}.tmp").write_bytes(b"half")
    pairs = pairs_in(tmp_path, 60)
    results = list(swapping(output).run(pairs, 8))
    assert {r["status"] for r in results[: len(records)]} == {"skipped"}
    assert [r["status"] for r in results].count("skipped") == len(photos)
    assert results[0]["gates"] == records[0]["gates"] and results[0]["seconds"]["swap"] is None
    assert lines(output) == results and len(list(output.glob("*.png"))) == 60
    assert not list(output.glob(".*")), "what the killed run left half is gone"


def test_results_are_written_as_they_come(tmp_path: Path) -> None:
    run = swapping(tmp_path / "out").run(pairs_in(tmp_path, 5), 1)
    for count, result in enumerate(run, start=1):
        assert lines(tmp_path / "out")[count - 1] == result
    assert set(result) >= {"source", "target", "output", "status", "reason", "number"}
    assert set(result["seconds"]) == {"read", "swap", "write"}


def full_disk(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Files whose name holds one of these are written in part, then there is no room."""
    write = Path.write_bytes

    def write_bytes(self: Path, data: bytes) -> int:
        if any(name in self.name for name in names):
            write(self, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


@pytest.mark.parametrize("kind", ["png", "json"])
def test_a_full_disk_fails_the_pair_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pairs = pairs_in(tmp_path, 4)
    full_disk(monkeypatch, f"s1_to_t1.{kind}", f"s2_to_t2.{kind}")
    results = list(swapping(tmp_path / "out").run(pairs, 2))
    assert [r["status"] for r in results] == ["done", "failed", "failed", "done"]
    assert results[1]["reason"] == "output: No space left on device"
    assert results[1]["output"] is None and results[1]["gates"] is None
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert [name for name in left if "s1" in name or "s2" in name] == []
    assert len(left) == 5
    monkeypatch.undo()
    again = list(swapping(tmp_path / "out").run(pairs, 2))
    assert [r["status"] for r in again] == ["skipped", "done", "done", "skipped"]


def test_a_name_that_is_taken_fails_the_pair(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path, 2)
    (tmp_path / "out" / "000000_s0_to_t0.png").mkdir(parents=True)
    results = list(swapping(tmp_path / "out").run(pairs, 2))
    assert [r["status"] for r in results] == ["failed", "done"]
    assert results[0]["reason"].startswith("output: ")
    assert not (tmp_path / "out" / "000000_s0_to_t0.json").exists()


class FullLog:
    """A file on a disk that becomes full after some bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_results_that_cannot_be_written_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.open

    def opened(self: Path, *args: Any, **kwargs: Any) -> Any:
        file = whole(self, *args, **kwargs)
        return FullLog(file, 1000) if self.name == outputs.RESULTS_FILE and args else file

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(UserError, match="No space left.*start again"):
        list(swapping(tmp_path / "out").run(pairs_in(tmp_path, 12), 1))
    monkeypatch.undo()
    assert lines(tmp_path / "out"), "whole lines alone"


def test_output_that_cannot_be_written_is_reported_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", Path("/proc/nothing")):
        with pytest.raises(UserError, match="--output=.*expected a directory that can be written"):
            outputs.make_output(str(path))


def test_directories_and_patterns(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/deep/2.JPG", "a/.hidden.png", "a/note.txt", "b/x.png", "b/y.png"):
        write_photo(tmp_path / "photos.png", 0).rename(tmp_path / "p.png")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p.png").rename(path)
    a, b = tmp_path / "a", tmp_path / "b"
    every = list_pairs(None, str(a), str(b / "*.png")).pairs
    assert isinstance(every, AllPairs) and len(every) == 4
    assert list(every) == [
        PairFiles(s, t) for s in (a / "1.png", a / "deep/2.JPG") for t in (b / "x.png", b / "y.png")
    ]
    assert every[-1] == every[3]
    turn = list_pairs(None, str(a), str(b), "zip").pairs
    assert list(turn) == [every[0], every[3]]
    assert len(list_pairs(None, str(a / "1.png"), str(tmp_path / "**/*.[pJ]*")).pairs) == 4
    for source in ("*.gif", str(tmp_path / "b/none*"), str(tmp_path / "empty")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="--source=.*expected"):
            list_pairs(None, source, str(b))
    with pytest.raises(UserError, match="1 sources and 2 targets"):
        list_pairs(None, str(a / "1.png"), str(b), "zip")
    literal = write_photo(tmp_path / "[1].png", 1)
    assert list_pairs(None, str(literal), str(literal)).pairs[0].source == literal


def test_files_of_other_names_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_photo(tmp_path / "in" / "a.png", 0)
    for name in ("b.pic", "deep/notes.txt", ".hidden"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    files, _ = list_files("target", str(tmp_path / "in"))
    assert files == [tmp_path / "in" / "a.png"]
    assert "left out 2 files of --target=" in caplog.text and "b.pic" in caplog.text


def test_folders_that_cannot_be_read_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(tmp_path / "a.png", 0)
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match="closed, which cannot be read"):
        list_files("target", str(tmp_path))


def test_a_batch_that_does_not_fit_the_device_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(*args: Any, **kwargs: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory on the device")

    model = FakeSwapper()
    monkeypatch.setattr(model, "swap", swap)
    with pytest.raises(UserError, match="lower --batch_size"):
        list(swapping(tmp_path / "out", model).run(pairs_in(tmp_path, 1), 4))


def test_a_profile_that_no_png_can_hold_is_left_out(tmp_path: Path) -> None:
    profile = b"x" * 16 + b"RGB " + np.random.default_rng(0).bytes(2**20)
    Image.fromarray(noise(1)).save(tmp_path / "t.jpg", icc_profile=profile)
    pairs = [PairFiles(write_photo(tmp_path / "s.png", 0), tmp_path / "t.jpg")]
    (record,) = swapping(tmp_path / "out").run(pairs, 1)
    path = tmp_path / "out" / record["output"]
    with Image.open(path) as image:
        image.load()
        assert "icc_profile" not in image.info
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["colour_profile"].startswith("left out: 1048596 bytes")


def test_links_that_lead_out_of_a_directory_are_refused(tmp_path: Path) -> None:
    secret = write_photo(tmp_path / "outside/secret.png", 0)
    inside = write_photo(tmp_path / "d/a.png", 1)
    (tmp_path / "d/b.png").symlink_to(secret)
    (tmp_path / "d/c.png").symlink_to(inside)
    (tmp_path / "d/loop.png").symlink_to(tmp_path / "d/loop.png")
    (tmp_path / "d/gone.png").symlink_to(tmp_path / "d/nowhere.png")
    (tmp_path / "d/folder").symlink_to(tmp_path / "outside")
    listing = list_pairs(None, str(inside), str(tmp_path / "d"))
    run = swapping(tmp_path / "out", refused=listing.refused)
    records = {Path(r["target"]).name: r for r in run.run(listing.pairs, 8)}
    assert set(records) == {"a.png", "b.png", "c.png", "gone.png", "loop.png"}
    done = {name for name, result in records.items() if result["status"] == "done"}
    assert done == {"a.png", "c.png"}
    assert records["b.png"]["reason"] == "target: a link that leads out of its directory"
    assert records["gone.png"]["reason"] == "target: No such file or directory"
    named = list_pairs(None, str(inside), str(tmp_path / "d/b.png"))
    assert not named.refused, "the user named it"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path: Path) -> None:
    source = write_photo(tmp_path / "s.png", 0)
    targets = [write_photo(tmp_path / f"t{i}.png", i, (48, 48)) for i in range(20)]
    pairs = [PairFiles(source, target) for target in targets] * 500

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    sizes = []
    model = FakeSwapper()
    for result in swapping(tmp_path / "out", model).run(pairs, 16):
        assert result["status"] == "done"
        model.calls.clear()  # the stand-in keeps what it was asked
        if result["number"] in (1000, 9999):
            sizes.append(resident())
    assert sizes[1] - sizes[0] < 16 * 2**20, "9,000 photos of 48 px would be 62 MB more"
