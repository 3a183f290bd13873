"""Preparation is atomic, resumable and done once; damage is reported, not read."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest

from alrl_jax.data import shard_files
from alrl_jax.data.records import Layout
from alrl_jax.data.shards import MAX_SHARDS, Plan, open_shards, prepare
from alrl_jax.errors import UserError
from tests.conftest import LONGEST_WAIT

ROOT = Path(__file__).parents[2]
LAYOUT = Layout(16, landmarks=("nose_tip",))
N = 20


class Maker:
    """Makes records and writes down which."""

    def __init__(self, delay: float = 0.0) -> None:
        self.calls: list[tuple[int, int]] = []
        self.delay = delay

    def __call__(self, start: int, stop: int) -> np.ndarray:
        time.sleep(self.delay)
        self.calls.append((start, stop))
        records = LAYOUT.empty(stop - start)
        records["identity"] = np.arange(start, stop) // 2
        records["image"] = np.arange(start, stop, dtype=np.uint8)[:, None, None, None]
        return records


def plan(make: Maker, **parameters: int) -> Plan:
    values = {"kind": "test", "resolution": 16} | parameters
    numbers = np.arange(N) // 2
    return Plan(
        values,
        LAYOUT,
        numbers,
        make,
        report=[("bad.jpg", "broken")],
        progress=False,
        max_chunk_size=2,
        chunks_per_shard=4,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    source = prepare(tmp_path / "data", plan(Maker()))
    assert len(source) == N and source.layout == LAYOUT
    assert source.report == [("bad.jpg", "broken")]
    indices = np.array([13, 2, 2, 19])
    records = source.read(indices)
    np.testing.assert_array_equal(records, Maker()(0, N)[indices])
    records["image"] = 0  # a copy of one's own
    one = source[13]
    assert one["image"].shape == (16, 16, 3) and (one["image"] == 13).all()
    assert one["identity"] == 6 and one["index"] == 13 and one["labelled"] is False
    np.testing.assert_array_equal(source.identities, np.arange(N) // 2)


def test_a_complete_data_set_is_reused(tmp_path: Path) -> None:
    prepare(tmp_path, plan(Maker()))
    again = Maker()
    prepare(tmp_path, plan(again))
    assert again.calls == []


def test_other_parameters_are_refused(tmp_path: Path) -> None:
    prepare(tmp_path, plan(Maker(), seed=1))
    with pytest.raises(UserError, match="seed=2 where it has 1"):
        prepare(tmp_path, plan(Maker(), seed=2))


def test_other_parameters_are_refused_in_an_unfinished_directory(tmp_path: Path) -> None:
    prepare(tmp_path, plan(Maker(), seed=1))
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(UserError, match="seed=2 where it has 1 for the unfinished"):
        prepare(tmp_path, plan(Maker(), seed=2))


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="thesis.txt"):
        prepare(tmp_path, plan(Maker()))


def test_a_failed_preparation_goes_on_where_it_was(tmp_path: Path) -> None:
    class Failing(Maker):
        def __call__(self, start: int, stop: int) -> np.ndarray:
            if start >= 12:
                raise RuntimeError("power cut")
            return super().__call__(start, stop)

    with pytest.raises(RuntimeError, match="power cut"):
        prepare(tmp_path, plan(Failing()))
    with pytest.raises(UserError, match="expected a prepared data set"):
        open_shards(tmp_path)
    rest = Maker()
    source = prepare(tmp_path, plan(rest))
    assert sorted(rest.calls)[0] == (8, 10)  # the first file was whole
    np.testing.assert_array_equal(source.read(np.arange(N)), Maker()(0, N))
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_broken_file_of_an_unfinished_preparation_is_made_again(tmp_path: Path) -> None:
    prepare(tmp_path, plan(Maker()))
    (tmp_path / "dataset.json").unlink()
    first, second, _ = sorted(tmp_path.glob("*.array_record"))
    first.write_bytes(first.read_bytes()[: 2 * first.stat().st_size // 3])
    second.write_bytes(b"")
    rest = Maker()
    source = prepare(tmp_path, plan(rest))
    assert sorted(rest.calls)[0] == (0, 2) and sorted(rest.calls)[-1] == (14, 16)
    np.testing.assert_array_equal(source.read(np.arange(N)), Maker()(0, N))


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_shards import Maker, plan
from alrl_jax.data.shards import prepare
print("ready", flush=True)
make = Maker(delay={delay})
source = prepare(Path({directory!r}), plan(make))
print(len(make.calls), len(source))
"""


def start(directory: Path, delay: float) -> subprocess.Popen[str]:
    script = SCRIPT.format(tests=str(Path(__file__).parent), delay=delay, directory=str(directory))
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_preparation_resumes(tmp_path: Path) -> None:
    process = start(tmp_path / "data", delay=0.4)
    deadline = time.monotonic() + LONGEST_WAIT
    while not list(tmp_path.glob("data/faces-*.array_record")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "data" / "dataset.json").exists()
    rest = Maker()
    source = prepare(tmp_path / "data", plan(rest))
    assert 0 < len(rest.calls) < N // 2
    np.testing.assert_array_equal(source.read(np.arange(N)), Maker()(0, N))


def test_of_two_processes_one_prepares(tmp_path: Path) -> None:
    both = [start(tmp_path / "data", delay=0.1) for _ in range(2)]
    results = sorted(process.communicate(timeout=LONGEST_WAIT)[0].split()[-2:] for process in both)
    assert results == [["0", "20"], ["10", "20"]]


def test_of_two_threads_one_prepares(tmp_path: Path) -> None:
    makers = [Maker(delay=0.02), Maker(delay=0.02)]
    barrier = threading.Barrier(2)

    def work(make: Maker) -> int:
        barrier.wait()
        return len(prepare(tmp_path, plan(make)))

    with futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, makers)) == [N, N]
    assert sorted(len(make.calls) for make in makers) == [0, N // 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: next(d.glob("*.array_record")).unlink(), "damaged data set"),
        (lambda d: next(d.glob("*.array_record")).write_bytes(b"x" * 100), "damaged data set"),
        (lambda d: (d / "identities.npy").unlink(), "identities.npy"),
        (lambda d: (d / "identities.npy").write_bytes(b""), "damaged data set"),
        (lambda d: np.save(d / "identities.npy", np.zeros(3, np.int32)), "3 person numbers"),
        (lambda d: (d / "dataset.json").write_text("{"), "damaged data set"),
        (lambda d: (d / "dataset.json").write_text("{}"), "damaged data set"),
        (lambda d: (d / "dataset.json").write_text('{"format": 99}'), "of format 99"),
        (lambda d: (d / "dataset.json").unlink(), "expected a prepared data set"),
    ],
)
def test_damage_is_reported_in_one_line(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    prepare(tmp_path, plan(Maker()))
    damage(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        open_shards(tmp_path)
    assert "\n" not in str(caught.value)


def test_large_images_make_small_chunks() -> None:
    large = dataclasses.replace(plan(Maker()), layout=Layout(1024), max_chunk_size=64)
    assert large.chunk_size * 1024**2 * 4 * 3 <= 2**27
    assert large.shard_size % large.chunk_size == 0


def test_many_images_make_no_more_files() -> None:
    many = dataclasses.replace(plan(Maker()), identities=np.arange(1_000_003))
    assert many.num_shards <= MAX_SHARDS and many.shard_size % many.chunk_size == 0
    assert many.num_shards * many.shard_size >= 1_000_003


def test_a_broken_record_is_reported(tmp_path: Path) -> None:
    prepare(tmp_path, plan(Maker()))
    file = min(tmp_path.glob("*.array_record"))
    data = bytearray(file.read_bytes())
    place = 65536 + 60  # in the records: the first block is the file's own
    data[place] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(UserError, match="damaged data set"):
        open_shards(tmp_path).read(np.arange(8))


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an OSError with a file name, which command lines tell in one line."""

    class Full:
        def __init__(self, path: str, options: str) -> None:
            Path(path).touch()

        def write(self, record: bytes) -> None:
            raise RuntimeError("write() failed: No space left on device; writing; at byte 0")

    monkeypatch.setattr(shard_files.array_record_module, "ArrayRecordWriter", Full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        prepare(tmp_path, plan(Maker()))
    assert str(caught.value.filename).startswith(str(tmp_path))


def test_layout_survives_json() -> None:
    layout = Layout(32, ("a", "b"), ("c",), ("nose_tip",))
    assert Layout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
