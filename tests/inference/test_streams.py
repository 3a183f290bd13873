"""Streams: order, bounded read-ahead, failures on the way, and what is read once."""

import collections
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax import swap_stream
from alrl_jax.inference import engine, photo_reader
from alrl_jax.inference.bounded_cache import BoundedCache
from alrl_jax.inference.ordered import ordered
from alrl_jax.inference.settings import Settings
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import png
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import noise, pairs_in, swapping, write_photo

ALIGNED = Settings(aligned=True)


class Counted:
    """An endless iterator that knows how many items were taken."""

    def __init__(self, items: Any) -> None:
        self.items, self.taken = iter(items), 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.taken += 1
        return next(self.items)


def test_results_come_in_order_a_bounded_way_ahead() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    source = Counted(itertools.count())
    with ThreadPoolExecutor(4) as pool:
        results = ordered(work, source, pool, 5)
        for given, number in enumerate(itertools.islice(results, 30)):
            assert number == given
            assert source.taken <= given + 5
        results.close()


def test_an_error_comes_when_its_turn_comes() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = ordered(lambda x: 1 // x, [1, 1, 0, 1], pool, 4)
        assert [next(results), next(results)] == [1, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_cache_makes_a_value_once_and_keeps_few() -> None:
    cache: BoundedCache[int] = BoundedCache(2)
    made: list[int] = []

    def make(key: int) -> int:
        time.sleep(0.01)
        made.append(key)
        return key

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: cache.get(7, lambda: make(7)), range(16))) == [7] * 16
    assert made == [7]
    for key in (1, 7, 2, 7, 1):  # 1 goes when 2 comes, as 7 was used after it
        cache.get(key, lambda key=key: make(key))
    assert made == [7, 1, 2, 1] and len(cache) == 2
    with pytest.raises(ZeroDivisionError):
        cache.get(0, lambda: 1 // 0)
    assert cache.get(0, lambda: 5) == 5, "errors are not kept"


def test_stream_is_in_order_and_takes_few_pairs_ahead(tmp_path: Path) -> None:
    write_photo(tmp_path / "s.png", 0)
    endless = ((tmp_path / "s.png", noise(i)) for i in itertools.count(1))
    source, model = Counted(endless), FakeSwapper()
    stream = swap_stream(source, model, ALIGNED, batch_size=8)
    most = engine.Engine(model, ALIGNED, 8).most_under_way
    for number, result in enumerate(itertools.islice(stream, 3 * most)):
        assert result.number == number and source.taken <= number + 1 + most
        assert result.photo is not None
        pixels = result.photo.pixels
        np.testing.assert_array_equal(pixels[4:12, 4:12], noise(0)[4:12, 4:12])
        np.testing.assert_array_equal(pixels[:4], noise(number + 1)[:4])
    assert {call["shape"] for call in model.calls} == {(8, 16, 16, 3)}
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]


def test_what_is_under_way_weighs_no_more_than_it_may() -> None:
    weights = [1, 1, 1, 9, 2, 3, 3, 3, 1, 1, 8, 1] * 3
    lock, active, sums = threading.Lock(), [], []

    def work(weight: int) -> int:
        with lock:
            active.append(weight)
            sums.append((sum(active), len(active)))
        time.sleep(0.001)
        with lock:
            active.remove(weight)
        return weight

    with ThreadPoolExecutor(8) as pool:
        results = ordered(work, weights, pool, 4, lambda weight: weight, 7)
        assert list(results) == weights
    assert all(total <= 7 or count == 1 for total, count in sums)
    assert max(count for _, count in sums) > 1


def test_large_photos_make_queues_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever came before them, and however many threads there are."""
    monkeypatch.setattr(engine, "THREADS", 16)
    monkeypatch.setattr(engine, "BYTES_A_STAGE", 2 * 24 * 200 * 200)
    source, small = write_photo(tmp_path / "s.png", 0), write_photo(tmp_path / "small.png", 1)
    large = write_photo(tmp_path / "large.png", 2, (200, 200))
    pairs = [PairFiles(source, small)] * 70 + [PairFiles(source, large)] * 60
    run = swapping(tmp_path / "out")
    lock, alive, most = threading.Lock(), collections.Counter[Path](), collections.Counter[Path]()

    def counted(path: Path, change: int) -> None:
        with lock:
            alive[path] += change
            most[path] = max(most[path], alive[path])

    prepare, finish = run.prepare, run._finish

    def prepared(numbered: Any) -> Any:
        counted(numbered[1].target, 1)
        return prepare(numbered)

    def finished(job: Any) -> Any:
        counted(job.files.target, -1)
        return finish(job)

    run.prepare, run._finish = prepared, finished  # type: ignore[method-assign]
    results = list(run.run(pairs, 64))
    assert [r["status"] for r in results] == ["done"] * 130
    # Two are read, two groups hold eight each, one more begins the next group, two are written.
    assert 2 < most[large] <= 2 + 2 * 8 + 1 + 2
    assert most[small] > 40


def test_photos_are_weighed_by_their_headers(tmp_path: Path) -> None:
    small = write_photo(tmp_path / "a.png", 0, (20, 30))
    (tmp_path / "deep.png").write_bytes(png.encode(np.zeros((20, 30, 4), np.uint16)))
    (tmp_path / "cut.png").write_bytes(small.read_bytes()[:60])  # its header alone
    (tmp_path / "text.png").write_bytes(b"no photo")
    os.mkfifo(tmp_path / "pipe.png")
    reader = photo_reader.PhotoReader(ALIGNED, None, 16)
    names = ("a", "deep", "cut", "text", "pipe", "none")
    weights = [reader.weight("target", tmp_path / f"{name}.png") for name in names]
    assert weights == [24 * 600, 56 * 600, 24 * 600, 0, 0, 0]
    assert reader.weight("source", small) == 24 * 600
    reader.source(small, "")
    assert reader.weight("source", small) == 0, "it will not be read again"


def test_pairs_that_cannot_be_swapped_do_not_stop_a_stream(tmp_path: Path) -> None:
    good = (noise(0), noise(1))
    bad = [
        (tmp_path / "none.png", noise(1)),
        (noise(0), noise(1).astype(np.float32)),
        (noise(0), noise(1, (8, 8))),
        noise(0),
    ]
    results = list(swap_stream(iter([good, *bad, good]), FakeSwapper(), ALIGNED))
    assert [r.photo is not None for r in results] == [True, *[False] * 4, True]
    reasons = [r.reason or "" for r in results[1:5]]
    wanted = ("source: No such file", "target: array [16, 16, 3] of float32", "8x8", "not a pair")
    assert all(want in reason for want, reason in zip(wanted, reasons, strict=True))


def test_images_of_a_stream_say_what_they_are(tmp_path: Path) -> None:
    (result,) = swap_stream([(noise(0), noise(1))], FakeSwapper(), ALIGNED)
    assert result.photo is not None
    result.photo.save(tmp_path / "a.png")
    assert image_metadata.read_metadata(tmp_path / "a.png") == result.photo.fields
    assert set(result.seconds) == {"read", "swap", "write"}
    assert result.facts["gates"]["source_share_by_layer"] == [1.0] * 6


def test_similarity_is_that_of_the_swap_to_the_source() -> None:
    """The stand-in swaps the middle alone: between equal and unrelated."""
    same, other = swap_stream([(noise(0), noise(0)), (noise(0), noise(1))], FakeSwapper(), ALIGNED)
    assert same.facts["identity_similarity"] == pytest.approx(1.0, abs=1e-4)
    assert -0.5 < other.facts["identity_similarity"] < 0.9
    assert "own identity net" in other.facts["identity_similarity_by"]


def test_one_source_of_many_pairs_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read, hashed = photo_reader.read_faces, photo_reader.hashing.file_sha256

    def counted_read(path: Path, *rest: Any) -> Any:
        opened.append(path.name)
        return read(path, *rest)

    def counted_hash(path: Path) -> str:
        opened.append(f"sha256 {path.name}")
        return hashed(path)

    monkeypatch.setattr(photo_reader, "read_faces", counted_read)
    monkeypatch.setattr(photo_reader.hashing, "file_sha256", counted_hash)
    source = write_photo(tmp_path / "s.png", 0)
    targets = [write_photo(tmp_path / f"t{i}.png", i) for i in range(20)]
    pairs = [PairFiles(source, target) for target in targets]
    results = list(swapping(tmp_path / "out").run(pairs, 4))
    assert [r["status"] for r in results] == ["done"] * 20
    assert opened.count("s.png") == opened.count("sha256 s.png") == 1
    assert sum(name.startswith("t") for name in opened) == 20


def test_reading_swapping_and_writing_overlap(tmp_path: Path) -> None:
    active: collections.Counter[str] = collections.Counter()
    seen: set[tuple[str, ...]] = set()

    def slowly(stage: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def work(*args: Any, **kwargs: Any) -> Any:
            active[stage] += 1
            seen.add(tuple(sorted(name for name, count in active.items() if count)))
            time.sleep(0.02)
            try:
                return act(*args, **kwargs)
            finally:
                active[stage] -= 1

        return work

    class Slow(FakeSwapper):
        def swap(self, *args: Any, **kwargs: Any) -> Any:
            return slowly("swap", super().swap)(*args, **kwargs)

    run = swapping(tmp_path / "out", Slow())
    run.prepare = slowly("read", run.prepare)  # type: ignore[method-assign]
    run._finish = slowly("write", run._finish)  # type: ignore[method-assign]
    list(run.run(pairs_in(tmp_path, 60), 8))
    together = {stage for stages in seen if len(stages) > 1 for stage in stages}
    assert together == {"read", "swap", "write"}
