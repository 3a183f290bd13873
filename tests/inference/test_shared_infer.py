"""Several processes share the pairs of a run: one list of results, and who dies is done again."""

import csv
import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.inference.video.frame_folder import FolderSwapping, numbered_files
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.utils import parts
from alrl_jax.utils.parts import ALONE, Part, Share
from tests.conftest import LONGEST_WAIT
from tests.support import several
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import pairs_in, write_photo

SHARES = [Share(index, 3, "0a") for index in range(3)]


def swapping(output: Path) -> Swapping:
    output.mkdir(exist_ok=True)
    return Swapping(FakeSwapper(), Settings(aligned=True, masks=True), output)


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "seconds"}


def test_shares_give_what_one_process_gives(tmp_path: Path) -> None:
    pairs, out = pairs_in(tmp_path, 7), tmp_path / "out"
    list(swapping(tmp_path / "alone").run(pairs, 2))
    own = [[r["number"] for r in swapping(out).run(pairs, 2, s)] for s in (SHARES[2], SHARES[1])]
    assert own == [[2, 5], [1, 4]]
    first = swapping(out)
    assert [r["number"] for r in first.run(pairs, 2, SHARES[0])] == [0, 3, 6]
    assert first.results.lost == [] and first.results.all == lines(out)
    expected = [without_time(line) for line in lines(tmp_path / "alone")]
    assert [without_time(line) for line in lines(out)] == expected
    listed = list(csv.DictReader((out / "manifest.csv").read_text().splitlines()))
    assert [row["output"] for row in listed] == [line["output"] for line in expected]
    names = [sorted(p.name for p in d.iterdir()) for d in (out, tmp_path / "alone")]
    assert names[0] == names[1], "nothing is left of the parts"


def test_what_a_dead_process_left_is_done_by_the_next_start(tmp_path: Path) -> None:
    pairs, out = pairs_in(tmp_path, 6), tmp_path / "out"
    dying = swapping(out).run(pairs, 1, SHARES[1])
    next(dying)
    dying.close()  # as when it is killed, it lets go of its folder and is not done
    list(swapping(out).run(pairs, 1, SHARES[2]))
    first = swapping(out)
    list(first.run(pairs, 1, SHARES[0]))
    assert first.results.lost == [1]
    assert parts.explain_lost([1]).startswith("process 1 ended before their share was done")
    assert [line["number"] for line in lines(out)] == [0, 1, 2, 3, 5]
    statuses = [r["status"] for r in swapping(out).run(pairs, 1)]
    assert statuses.count("done") == 1 or statuses == ["skipped"] * 6
    assert [line["number"] for line in lines(out)] == list(range(6))


def test_a_process_that_never_begins_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SECONDS_TO_BEGIN", 0.1)
    first = swapping(tmp_path / "out")
    list(first.run(pairs_in(tmp_path, 2), 1, Share(0, 2, "0b")))
    assert first.results.lost == [1]


def test_survivors_of_an_earlier_run_keep_the_next_one_out(tmp_path: Path) -> None:
    pairs, out = pairs_in(tmp_path, 2), tmp_path / "out"
    out.mkdir()
    with Part(out, SHARES[2]), pytest.raises(UserError, match="process 2 of an earlier run is at"):
        next(swapping(out).run(pairs, 1))
    assert [r["status"] for r in swapping(out).run(pairs, 1)] == ["done", "done"]
    assert not list(out.glob(".part-*"))


def arguments(folder: Path, output: Path) -> list[str]:
    paths = [f"--source={folder / 's'}", f"--target={folder / 't'}", f"--output={output}"]
    return ["tests.support.shared_infer", "--model=none", "--aligned", "--batch_size=1", *paths]


def write_faces(folder: Path) -> None:
    for seed in range(4):
        write_photo(folder / "s" / f"{seed}.png", seed)
        write_photo(folder / "t" / f"{seed}.png", 100 + seed)


@pytest.mark.slow
def test_two_processes_by_hand(tmp_path: Path) -> None:
    write_faces(tmp_path)
    command = arguments(tmp_path, tmp_path / "out")
    values = several.environment(1)
    first, second = several.finish(
        [several.start([*command, *each], values) for each in several.by_hand(2)]
    )
    assert "16 done" in first and "16" not in second
    assert [line["number"] for line in lines(tmp_path / "out")] == list(range(16))


@pytest.mark.slow
def test_one_of_four_is_killed_under_slurm(tmp_path: Path) -> None:
    write_faces(tmp_path)
    out = tmp_path / "out"
    command = [*arguments(tmp_path, out), "--distributed=slurm"]
    processes = [
        several.start(command, several.environment(1, **each, SECONDS_A_BATCH="2"))
        for each in several.under_slurm(4)
    ]
    try:
        wait_for_outputs(out, processes)
        processes[2].send_signal(signal.SIGKILL)
        results = [process.communicate(timeout=LONGEST_WAIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    statuses = [process.returncode for process in processes]
    assert statuses == [3, 0, -9, 0], [errors[-2000:] for _, errors in results]
    assert "process 2 ended before their share was done: start again" in results[0][0]
    found = [line["number"] for line in lines(out)]
    assert found == sorted(found) and {n for n in range(16) if n % 4 != 2} <= {*found}
    assert len(found) < 16
    (output,) = several.finish([several.start(arguments(tmp_path, out), several.environment(1))])
    assert [line["number"] for line in lines(out)] == list(range(16))
    done, skipped = (int(n) for n in re.findall(r"(\d+) (?:done|skipped)", output)[:2])
    # What was written and is not in the killed process's list is skipped, too.
    assert done + skipped == 16 and 1 <= done <= 16 - len(found)


def wait_for_outputs(out: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Waits until the third process has made an output."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not list(out.glob("000002_*.png")):
        assert processes[2].poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def test_frames_are_shared(tmp_path: Path) -> None:
    frames, source = tmp_path / "frames", write_photo(tmp_path / "s.png", 0)
    for number in range(5):
        write_photo(frames / f"{number:03d}.png", 10 + number)

    def run(output: Path, share: Share) -> list[int]:
        output.mkdir(exist_ok=True)
        swapping = FrameSwapping(FakeSwapper(), Settings(aligned=True), source)
        folder = FolderSwapping(swapping, output, 25.0)
        return [r["number"] for r in folder.run(numbered_files(frames), 2, share)]

    assert run(tmp_path / "alone", ALONE) == list(range(5))
    assert run(tmp_path / "out", Share(1, 2, "0a")) == [1, 3]
    assert run(tmp_path / "out", Share(0, 2, "0a")) == [0, 2, 4]
    one, two = ([without_time(x) for x in lines(tmp_path / n)] for n in ("alone", "out"))
    assert one == two and [line["status"] for line in two] == ["done"] * 5
    for number in range(5):
        first, second = (pixels(tmp_path / n / f"{number:03d}.png") for n in ("alone", "out"))
        np.testing.assert_array_equal(first, second)
