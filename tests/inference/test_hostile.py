"""What strangers may put into a folder: refused by name with a reason, and nothing else happens."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.inference import command
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.file_trees import MAX_FILE_BYTES
from alrl_jax.photos.pair_list import PairFiles, list_pairs
from alrl_jax.photos.photo import read_photo
from tests.support import photo_kinds
from tests.support.photo_files import swapping, write_photo

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:.*DecompressionBomb")
SECONDS_A_FILE = 5.0
"""Longest CPU time that a file may take: other programs on the machine do not count."""


def swapped(folder: Path, targets: list[Path], **given: Any) -> list[dict[str, Any]]:
    source = write_photo(folder / "source.png", 0)
    pairs = [PairFiles(source, target) for target in targets]
    return list(swapping(folder / "out", **given).run(pairs, 8))


def test_every_broken_file_fails_its_pair_with_a_reason(tmp_path: Path) -> None:
    photo_kinds.write_zoo(tmp_path / "zoo")
    readable = {**photo_kinds.READABLE, **photo_kinds.OTHER_READABLE}
    names = [*readable, *photo_kinds.BROKEN]
    records = swapped(tmp_path, [tmp_path / "zoo" / name for name in names])
    for name, result in zip(names, records, strict=True):
        assert result["status"] == ("done" if name in readable else "failed"), (name, result)
        assert name in readable or result["reason"].startswith("target: ")
    assert len(list((tmp_path / "out").glob("*.png"))) == len(readable)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    odd = [tmp_path / f"{name}.png" for name in ("pipe", "folder", "huge", "loop", "x" * 300)]
    records = swapped(tmp_path, [*odd, Path("nul\0.png"), Path("/dev/zero")])
    assert {result["status"] for result in records} == {"failed"}
    reasons = [result["reason"] for result in records]
    assert reasons[:2] == ["target: not a regular file"] * 2
    assert "no photograph has as many" in reasons[2] and "null" in reasons[5]
    assert reasons[6] == "target: not a regular file"


def test_odd_names_stay_inside_the_output(tmp_path: Path) -> None:
    names = ["new\nline.png", "..", "-rf.png", "a/../b.png", "$(rm).png", "\udcff\u202e.png"]
    folder = tmp_path / "in"
    for name in ("new\nline.png", "-rf.png", "b.png", "$(rm).png", "\udcff\u202e.png"):
        write_photo(folder / name, 1)
    (folder / "a").mkdir()
    records = swapped(tmp_path, [folder / name for name in names])
    assert [r["status"] for r in records] == ["done", "failed", *["done"] * 4]
    outputs = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert outputs == sorted(r["output"] for r in records if r["output"])
    assert all(name.isascii() and name.isprintable() and "/" not in name for name in outputs)
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert len(lines) == len(names) and json.loads(lines[0])["target"].endswith("new\nline.png")
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"in", "out", "source.png"}, "nothing is written elsewhere"


def test_odd_names_are_printed_as_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    counts, failures = {"failed": 3, "done": 2}, ["  pair 0: \udcff \x9b"]
    command.print_summary(counts, failures, Path("a\nb/results.jsonl"))
    printed = capsys.readouterr().out
    assert (
        printed == "2 done, 3 failed: a\\nb/results.jsonl\n  pair 0: \\udcff \\x9b\n  and 2 more\n"
    )


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut off, doubled, or moved."""
    array = np.frombuffer(data, np.uint8).copy()
    kind = rng.integers(5)
    start, stop = sorted(rng.integers(0, len(array), 2).tolist())
    if kind == 0:
        return array[: stop + 1].tobytes()
    if kind == 1:
        return np.concatenate([array[:stop], array[start:]]).tobytes()
    if kind == 2:
        return np.concatenate([array[:start], array[stop:]]).tobytes()
    reach = len(array) if kind == 3 else min(200, len(array))  # headers more often
    places = rng.integers(0, reach, 1 + rng.integers(8))
    array[places] = rng.integers(0, 256, len(places))
    return array.tobytes()


def mutants(count: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    makers = [*photo_kinds.READABLE.values(), *photo_kinds.OTHER_READABLE.values()]
    sound = [make() for make in makers]
    return [mutated(sound[i % len(sound)], rng) for i in range(count)]


def test_damaged_photos_are_read_or_refused(tmp_path: Path) -> None:
    read = 0
    for data in mutants(150, seed=0):
        (tmp_path / "a.png").write_bytes(data)
        try:
            found = read_photo(tmp_path / "a.png")
            assert found.seen.shape == found.colour.shape
            read += 1
        except UnreadableImageError as error:
            assert str(error) and "\n" not in str(error)
    assert 10 < read < 140


@pytest.mark.slow
@pytest.mark.endurance
def test_5000_damaged_photos_go_through_a_run(tmp_path: Path) -> None:
    targets = [tmp_path / "in" / f"{i}.jpg" for i in range(5000)]
    (tmp_path / "in").mkdir()
    for path, data in zip(targets, mutants(len(targets), seed=1), strict=True):
        path.write_bytes(data)
    last, records = time.process_time(), []
    source = write_photo(tmp_path / "source.png", 0)
    pairs = [PairFiles(source, target) for target in targets]
    for result in swapping(tmp_path / "out").run(pairs, 32):
        now = time.process_time()
        assert now - last < 32 * SECONDS_A_FILE, f"{result['number']} took {now - last:.0f} s"
        last = now
        records.append(result)
    assert {r["status"] for r in records} == {"done", "failed"}
    for result in records:
        assert result["status"] == "done" or "\n" not in result["reason"]
    outputs = list((tmp_path / "out").glob("*.png"))
    assert len(outputs) == sum(r["status"] == "done" for r in records) > 500
    for path in outputs[::20]:
        with Image.open(path) as image:
            image.load()
    assert not list((tmp_path / "out").glob(".*"))


def test_outputs_of_earlier_runs_are_no_inputs(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", 0)
    write_photo(tmp_path / "out" / "000000_a_to_a.png", 1)
    listing = list_pairs(None, str(tmp_path), str(tmp_path), output=tmp_path / "out")
    assert list(listing.pairs) == [PairFiles(tmp_path / "a.png", tmp_path / "a.png")]
