"""Situations that users of comparable programs reported in public, made again with synthetic files.

Each ends without a wrong "done", a crash or a line that points elsewhere; ``docs/hard-knocks.md``
lists them.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from alrl_jax import infer
from tests.cases.running import Command
from tests.support.fakes import FakeSwapper
from tests.support.photo_files import noise, write_photo

ROTATED = 6
"""EXIF: the top of the scene is at the right of the stored picture."""


def put(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def picture(seed: int = 3, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.fromarray(noise(seed, size))


def oriented(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return put(path, picture(3, (16, 24)), exif=exif)


def named(name: str, **options: object) -> Callable[[Path], Path]:
    return lambda folder: put(folder / name, picture(), **options)


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _mode(name: str, mode: str) -> Callable[[Path], Path]:
    return lambda folder: put(folder / name, picture().convert(mode))


def _half(folder: Path) -> Path:
    path = put(folder / "t.jpg", picture(3, (64, 64)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _palette(folder: Path) -> Path:
    image = picture().quantize(8)
    return put(folder / "t.png", image, transparency=0)


def _text(folder: Path) -> Path:
    """A million bytes in a few: a comment that a reader unpacks."""
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 200_000, zip=True)
    return put(folder / "t.png", picture(), pnginfo=info)


DONE: dict[str, Callable[[Path], Path]] = {
    "a name in another script, with an address in it": named("希望 http___t.cn_A6-花1331.png"),
    "a name with brackets, as of a second download": named("photo[1] (2).png"),
    "a name with a line break": named("a\nb.png"),
    "a name that begins with a dash": named("-rf.png"),
    "a name with per cent signs": named("100%d%s.png"),
    "a name of 200 characters": named("n" * 200 + ".png"),
    "an ending in capitals": named("T.PNG"),
    "a PNG that is called .jpg": named("t.jpg", format="PNG"),
    "no ending at all": named("holiday", format="PNG"),
    "an orientation that there is not": lambda folder: oriented(folder / "t.jpg", 9),
    "a photo of CMYK": _mode("t.jpg", "CMYK"),
    "grey with transparency": _mode("t.png", "LA"),
    "black and white": _mode("t.png", "1"),
    "a palette with transparency": _palette,
    "a long comment": _text,
}
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an empty file": (written("t.jpg", b""), "empty file"),
    "a web page that was saved as a photo": (written("t.jpg", b"<!DOCTYPE html>"), "not a JPEG"),
    "half of a photo": (_half, "truncated"),
    "a photo of one pixel": (lambda f: put(f / "t.png", picture(3, (1, 1))), ""),
}


@pytest.mark.parametrize("name", DONE)
def test_done(command: Command, name: str) -> None:
    target = DONE[name](command.folder)
    assert command.swap(target) == 0, command.said
    (result,) = command.results
    assert result["status"] == "done", result
    output = command.folder / "out" / result["output"]
    with Image.open(output) as image:
        image.load()
    json.loads(output.with_suffix(".json").read_text())


@pytest.mark.parametrize("name", REFUSED)
def test_refused(command: Command, name: str) -> None:
    make, reason = REFUSED[name]
    status = command.swap(make(command.folder))
    if status == 0:
        assert command.results[0]["doubtful"]
        return
    assert status == 3 and command.results[0]["status"] == "failed"
    assert reason in command.results[0]["reason"]
    assert not list((command.folder / "out").glob("*.png"))


def test_a_photo_that_lies_on_its_side_is_upright(command: Command) -> None:
    assert command.swap(oriented(command.folder / "t.jpg", ROTATED)) == 0
    assert command.pixels().shape[:2] == (24, 16)


def test_targets_of_one_name_in_several_folders(command: Command) -> None:
    for seed, folder in enumerate(("a", "b")):
        write_photo(command.folder / "t" / folder / "same.png", seed)
    assert command.swap(command.folder / "t") == 0
    assert len({result["output"] for result in command.results}) == 2
    assert (command.pixels(0) != command.pixels(1)).any()


def test_photos_that_differ_in_their_ending_alone(command: Command) -> None:
    for ending in ("jpg", "png"):
        put(command.folder / "t" / f"same.{ending}", picture())
    assert command.swap(command.folder / "t") == 0
    assert len({result["output"] for result in command.results}) == 2


def test_another_source_is_another_result(command: Command) -> None:
    """What lies there of an earlier run is no reason to skip."""
    target = write_photo(command.folder / "t.png", 3)
    assert command.swap(target) == 0
    before = command.pixels()
    other = write_photo(command.folder / "other" / "source.png", 77)
    assert command.swap(target, f"--source={other}") == 0
    assert command.results[-1]["status"] == "done"
    assert (command.pixels() != before).any()


def test_results_in_the_folder_of_the_targets_are_no_targets(command: Command) -> None:
    folder = command.folder / "t"
    write_photo(folder / "a.png", 3)
    output = f"--output={folder / 'out'}"
    for _ in range(2):
        assert command.swap(folder, output) in (0, 2)
        if command.said[-1].startswith("error: "):
            return
        assert len((folder / "out" / "results.jsonl").read_text().splitlines()) == 1


def test_what_systems_put_beside_photos_is_left_out(command: Command) -> None:
    folder = command.folder / "t"
    write_photo(folder / "a.png", 3)
    for name in ("Thumbs.db", ".DS_Store", "._a.png", "desktop.ini"):
        (folder / name).write_bytes(b"\0\1\2")
    assert command.swap(folder) == 0
    assert [Path(result["target"]).name for result in command.results] == ["a.png"]


def test_a_folder_without_photos(command: Command) -> None:
    (command.folder / "t").mkdir()
    (command.folder / "t" / "notes.txt").write_text("none")
    assert command.swap(command.folder / "t") == 2
    assert "expected" in command.error and not (command.folder / "out").exists()


def test_a_bad_photo_among_good_ones(command: Command) -> None:
    for seed in range(3):
        write_photo(command.folder / "t" / f"{seed}.png", seed)
    (command.folder / "t" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert command.swap(command.folder / "t") == 3
    assert [result["status"] for result in command.results] == ["done", "failed", "done"]


def test_the_source_is_the_target(command: Command) -> None:
    assert command.swap(command.folder / "source.png") == 0
    assert command.results[0]["status"] == "done"


def two_faces(command: Command) -> tuple[Path, str, str, str]:
    """A photo of two faces, and flags that say where they are."""
    five = np.array([[8.0, 10.0], [16.0, 10.0], [12.0, 14.0], [9.0, 18.0], [15.0, 18.0]])
    target = write_photo(command.folder / "t.png", 3, (32, 64))
    faces = {"t.png": [five.tolist(), (five + [36, 0]).tolist()]}
    (command.folder / "faces.json").write_text(json.dumps(faces))
    places = f"--landmarks_path={command.folder / 'faces.json'}"
    return target, "--noaligned", "--landmarks_from=file", places


def test_the_face_that_was_chosen_is_swapped(command: Command) -> None:
    target, *found = two_faces(command)
    assert command.swap(target, *found, "--aligned_source", "--face=1") == 0
    changed = (command.pixels() != noise(3, (32, 64))).any(axis=(0, 2))
    assert changed[40:].any() and not changed[:24].any()


def test_a_face_that_there_is_not(command: Command) -> None:
    target, *found = two_faces(command)
    assert command.swap(target, *found, "--aligned_source", "--face=5") == 3
    assert "2 face" in command.results[0]["reason"]


def listed(command: Command, content: bytes) -> int:
    """Swaps what a list names."""
    command._patch.setattr(infer, "load_swapper", lambda directory: FakeSwapper())
    for seed, name in enumerate(("s.png", "t.png")):
        write_photo(command.folder / name, seed)
    (command.folder / "pairs.csv").write_bytes(content)
    given = (f"--pairs={command.folder / 'pairs.csv'}", f"--output={command.folder / 'out'}")
    return command(infer, "--model=m", "--aligned", "--nomark", *given)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfsource,target\r\ns.png,t.png\r\n",
        b"source,target\n\ns.png,t.png\n\n\n",
        b" source , target \n s.png , t.png \n",
        b'"source","target"\n"s.png","t.png"\n',
    ],
)
def test_lists_as_spreadsheets_write_them(command: Command, content: bytes) -> None:
    status = listed(command, content)
    assert status == 0 or (status == 2 and "expected" in command.error), command.said


@pytest.mark.parametrize(
    "content",
    [
        b"source;target\ns.png;t.png\n",
        "source,target\ns.png,t.png\n".encode("utf-16"),
        b"source,target\ns.png\n",
        b"source,target\n",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ],
)
def test_lists_that_are_none(command: Command, content: bytes) -> None:
    assert listed(command, content) == 2
    assert "pairs.csv" in command.error and not (command.folder / "out").exists()


def test_where_a_photo_was_taken_is_not_passed_on(command: Command) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "SECRET MAKER"
    assert command.swap(put(command.folder / "t.jpg", picture(), exif=exif)) == 0
    content = (command.folder / "out" / command.results[0]["output"]).read_bytes()
    assert b"SECRET MAKER" not in content


def test_a_profile_of_colours_is_kept(command: Command) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert command.swap(put(command.folder / "t.png", picture(), icc_profile=profile)) == 0
    content = (command.folder / "out" / command.results[0]["output"]).read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        assert image.info["icc_profile"] == profile


def test_names_are_no_formulas_in_a_spreadsheet(command: Command) -> None:
    """A cell that begins with = + - or @ would be computed; the path stays the same one."""
    for seed, name in enumerate(("=1+2.png", "@sum.png", "-3.png")):
        write_photo(command.folder / "t" / name, seed)
    assert command.swap(command.folder / "t", "--masks") == 0
    lines = (command.folder / "out" / "manifest.csv").read_text().splitlines()
    cells = [cell.strip('"') for line in lines for cell in line.split(",")]
    assert len(lines) == 4 and not [cell for cell in cells if cell[:1] in "=+-@" and cell]
