"""Photos that ended in wrong or misleading results with programs of this kind: one kind a test."""

import fcntl
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alrl_jax import infer
from alrl_jax.commands import sign_image, verify_image
from tests.cases.running import Command
from tests.support.photo_files import noise, write_photo


def photo(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_a_crop_without_anything_in_it_is_doubtful(command: Command) -> None:
    target = photo(command.folder / "sky.png", np.full((16, 16, 3), (90, 140, 230), np.uint8))
    assert command.swap(target) == 0
    (result,) = command.results
    assert result["status"] == "done"
    assert "target: nothing can be seen in the crop" in result["doubtful"]
    assert command.said[0].startswith("1 done (1 of them doubtful)")
    assert command.swap(target, "--strict") == 3, "skipped, and as doubtful as before"
    assert command.results[0]["status"] == "skipped" and command.results[0]["doubtful"]


def test_a_face_that_lies_outside_its_photo_is_doubtful(command: Command) -> None:
    target = write_photo(command.folder / "t.png", 3, (96, 96))
    corner = np.array([[88.0, 88.0], [112.0, 88.0], [100.0, 100.0], [91.0, 112.0], [109.0, 112.0]])
    faces = command.folder / "faces.json"
    faces.write_text(json.dumps({"t.png": (corner - 8).tolist()}))
    found = (
        "--noaligned",
        "--aligned_source",
        "--landmarks_from=file",
        f"--landmarks_path={faces}",
    )
    assert command.swap(target, *found, "--strict") == 3
    assert "of the face lies outside the photo" in command.results[0]["doubtful"]


def test_a_grey_photo_stays_grey(command: Command) -> None:
    grey = np.repeat(noise(5)[..., :1], 3, axis=-1)
    assert command.swap(photo(command.folder / "grey.png", grey)) == 0
    pixels = command.pixels()
    assert (pixels == pixels[..., :1]).all() and (pixels != grey).any()


def test_alpha_is_kept(command: Command) -> None:
    rgba = np.concatenate([noise(5), np.full((16, 16, 1), 77, np.uint8)], axis=-1)
    assert command.swap(photo(command.folder / "alpha.png", rgba)) == 0
    assert (command.pixels()[..., 3] == 77).all()


def test_postscript_is_no_photo(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would start Ghostscript for it, whatever its name."""
    target = command.folder / "holiday.jpg"
    Image.fromarray(noise(5)).save(target, "EPS")
    monkeypatch.setattr("subprocess.Popen.__init__", None)
    assert command.swap(target) == 3
    assert command.results[0]["reason"].startswith("target: not a JPEG")
    assert command(verify_image, str(target)) == 2
    assert "cannot identify image" in json.loads(command.said[0])["error"]
    names = ("target", "certificates", "key")
    others = [f"--{name}={command.folder / 'source.png'}" for name in names]
    output = f"--output={command.folder / 's.jpg'}"
    assert command(sign_image, f"--picture={target}", *others, output) == 2
    assert "expected an image" in command.error


@pytest.mark.parametrize("flag", ["source", "target", "pairs"])
def test_a_pipe_is_not_waited_for(command: Command, flag: str) -> None:
    os.mkfifo(command.folder / "pipe.png")
    write_photo(command.folder / "t.png", 1)
    named = {"source": "t.png", "target": "t.png", flag: "pipe.png"}
    if flag == "pairs":
        named = {"pairs": "pipe.png"}
    given = [f"--{name}={command.folder / file}" for name, file in named.items()]
    output = f"--output={command.folder / 'out'}"
    assert command(infer, "--model=embedded/swapper_64", "--aligned", *given, output) == 2
    assert "pipe.png" in command.error and "expected a" in command.error


def test_a_second_run_in_one_directory_is_refused(command: Command) -> None:
    target = write_photo(command.folder / "t.png", 3)
    (command.folder / "out").mkdir()
    held = os.open(command.folder / "out", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert command.swap(target) == 2
        assert "which another run writes into" in command.error
        assert not list((command.folder / "out").iterdir())
    finally:
        os.close(held)
    assert command.swap(target) == 0


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--feather=nan", "got --feather=nan; expected a finite number"),
        ("--batch_size=" + "9" * 30, "expected a number of at most 63 bits"),
        ("--output=", "got --output=''; expected a path"),
        ("--face=\x1b[2J" + "x" * 5_000_000, r"got --face=\x1b[2Jxxx"),
    ],
)
def test_absurd_flags_are_one_line(command: Command, flag: str, line: str) -> None:
    target = write_photo(command.folder / "t.png", 3)
    assert command.swap(target, flag) == 2
    assert line in command.error and "\x1b" not in command.error


def test_what_cannot_be_written_is_said_before_a_model_is_opened(command: Command) -> None:
    (command.folder / "file").write_text("")
    output = f"--output={command.folder / 'file' / 'out'}"
    assert command(infer, "--model=nowhere", "--source=s.png", "--target=t.png", output) == 2
    assert "file is no directory" in command.error
