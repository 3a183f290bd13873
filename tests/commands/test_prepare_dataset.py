"""The command that writes data sets, as a user runs it."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import open_source
from alrl_jax.photos.decoding import read_image
from tests.support import fabricated, photo_kinds

ROOT = Path(__file__).parents[2]
RunCli = Callable[..., subprocess.CompletedProcess[str]]


def test_photographs(tmp_path: Path, run_cli: RunCli) -> None:
    photos = tmp_path / "photos" / "somebody"
    photo_kinds.write_zoo(photos)
    (photos / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"a name that is no UTF-8")
    arguments = (f"--source={tmp_path / 'photos'}", f"--output={tmp_path / 'out'}")
    done = run_cli("tools.prepare_dataset", *arguments, "--resolution=16", "--identities=folder")
    assert done.returncode == 0, done.stderr
    good = photo_kinds.READABLE | photo_kinds.OTHER_READABLE
    assert f"{len(good)} images of 1 people" in done.stdout
    assert f"{len(photo_kinds.BROKEN) + 1} files skipped" in done.stdout
    for name in photo_kinds.BROKEN:
        assert f"skipped somebody/{name}: " in done.stdout
    source = open_source(DataRequest("prepared", tmp_path / "out", 16))
    assert len(source) == len(good) and len(source.report) == len(photo_kinds.BROKEN) + 1
    first = read_image(photos / sorted(good)[0], 16)
    np.testing.assert_array_equal(source[0]["image"], first)
    again = run_cli("tools.prepare_dataset", *arguments, "--resolution=32")
    assert again.returncode == 2 and "resolution=32 where it has 16" in again.stderr


def test_synthetic(tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(
        "tools.prepare_dataset",
        "--source=synthetic",
        f"--output={tmp_path / 'out'}",
        "--resolution=16",
        "--num_identities=2",
        "--images_per_identity=2",
    )
    assert done.returncode == 0, done.stderr
    assert "4 images of 2 people at 16 pixels" in done.stdout
    assert "preparing" in done.stderr and "4/4" in done.stderr
    assert open_source(DataRequest("prepared", tmp_path / "out", 16))[3]["labelled"]


def test_celebamask_in_a_zip(tmp_path: Path, run_cli: RunCli) -> None:
    """Nothing is unpacked; what is not there, and what is broken, is said."""
    root, output = tmp_path / "CelebAMask-HQ", tmp_path / "out"
    fabricated.write_celebamask(root, range(6), {n: n + 1 for n in range(5)} | {5: 190000})
    (root / "CelebA-HQ-img" / "2.jpg").write_bytes(b"no photo")
    people = "".join(f"{n + 1:06d}.jpg {10 * (n % 2)}\n" for n in range(5)) + "190000.jpg 5\n"
    (tmp_path / "people.txt").write_text(people)
    archive = fabricated.zipped(root, tmp_path / "faces.zip", "CelebAMask-HQ/")
    arguments = [
        f"--source={archive}",
        f"--output={output}",
        "--resolution=24",
        "--split=train",
        f"--identity_file={tmp_path / 'people.txt'}",
    ]
    done = run_cli("tools.prepare_dataset", *arguments, "--expect_count=4")
    assert done.returncode == 2 and not output.exists()
    assert "got 5 photographs found; expected 4 (--expect_count)" in done.stderr
    done = run_cli("tools.prepare_dataset", *arguments, "--expect_count=5")
    assert done.returncode == 2 and "got 4 photographs that can be read" in done.stderr
    done = run_cli("tools.prepare_dataset", *arguments)
    assert done.returncode == 0, done.stderr
    assert "layout celebamask, split train: 5 of 24183 images" in done.stdout
    assert "4 images of 2 people at 24 pixels" in done.stdout and "4 of them lab" in done.stdout
    source = open_source(DataRequest("prepared", output, 24))
    assert source.identities.tolist() == [0, 1, 1, 0]
    assert [source[i]["labelled"] for i in range(4)] == [True] * 4
    report = json.loads((output / "report.json").read_text())
    wanted = {"layout": "celebamask", "split": "train", "expected": 24183, "found": 5, "records": 4}
    assert report.items() >= wanted.items()
    name = "CelebAMask-HQ/CelebA-HQ-img/2.jpg"
    assert report["skipped"] == [
        {"file": name, "reason": "not a JPEG, PNG or WebP file, nor AVIF, GIF, HEIC or TIFF"}
    ]
    with (output / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"][-5:], row["celeba_file"], row["identity"]) for row in rows] == [
        ("0.jpg", "000001.jpg", "0"),
        ("1.jpg", "000002.jpg", "1"),
        ("3.jpg", "000004.jpg", "1"),
        ("4.jpg", "000005.jpg", "0"),
    ]
    assert rows[2]["Bald"] == "1" and rows[2]["Male"] == "-1" and rows[2]["yaw"] == "3.25"


MISTAKES = """
import sys
from absl import flags
from alrl_jax.errors import UserError
from alrl_jax.commands.prepare_dataset import define_flags, main
define_flags()
for line in sys.stdin:
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["prepare_dataset", *line.split()])
    try:
        main([])
    except UserError as error:
        print(error)
    for name in flags.FLAGS.flags_by_module_dict()["alrl_jax.commands.prepare_dataset"]:
        name.unparse()
"""


def test_mistakes_of_many_kinds(tmp_path: Path) -> None:
    output = f"--output={tmp_path / 'out'}"
    fabricated.write_ffhq(tmp_path / "ffhq", [0])
    ffhq = f"--source={tmp_path / 'ffhq'}"
    cases = {
        f"--source={tmp_path / 'none'}": "none, which is not there",
        f"{ffhq} --split=validation": "expected all or train or test",
        f"{ffhq} --split=test": "with 0 image files, none of them readable",
        f"{ffhq} --identities=folder": "got --identities for layout ffhq",
        f"{ffhq} --identity_file=x": "expected it with celebamask alone",
        f"{ffhq} --layout=celebamask": "has no folder CelebA-HQ-img",
        f"{ffhq} --resolution=8": "got --resolution=8; expected at least 16",
        f"{ffhq} --workers=0": "got --workers=0; expected at least 1",
        f"{ffhq} --limit=0": "got --limit=0",
        f"{ffhq} --num_identities=3": "expected it of a world (synthetic, humans) alone",
        f"{ffhq} --cover_share=0.5": "expected it of a world (synthetic, humans) alone",
        "--source=synthetic --limit=3": "expected it of photographs alone",
        "--source=synthetic --split=no": "no",
    }
    done = subprocess.run(
        [sys.executable, "-c", MISTAKES],
        input="\n".join(f"{case} {output}" for case in cases),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    messages = [line for line in done.stdout.splitlines() if line.startswith("got ")]
    assert len(messages) == len(cases), done.stdout + done.stderr
    for message, expected in zip(messages, cases.values(), strict=True):
        assert expected in message and message.count(";") >= 2, message
    assert not (tmp_path / "out").exists()


def test_mistakes(tmp_path: Path, run_cli: RunCli) -> None:
    output = f"--output={tmp_path / 'out'}"
    for arguments in ((f"--source={tmp_path}", output), ("--source=synthetic",)):
        done = run_cli("tools.prepare_dataset", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
