"""Whose face goes where: sources by face, references, the mean of several pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos.alignment import crop_face, ffhq
from alrl_jax.photos.pair_list import PairFiles, list_pairs, read_pairs
from tests.support.fakes import RESOLUTION, FakeSwapper
from tests.support.photo_files import write_photo

FIVE = np.array([[12.0, 14], [26, 13], [19, 20], [14, 27], [25, 26]])
FACES = [(FIVE + [40 * i, 0]).tolist() for i in range(3)]
"""Three faces side by side."""


def write_grey(path: Path, level: int) -> Path:
    Image.new("RGB", (20, 20), (level, level, level)).save(path)
    return path


def swapping(folder: Path, references: Any = (), **choices: Any) -> Swapping:
    """A run in which the targets t*.png have three faces each, and sources are crops."""
    (folder / "out").mkdir(exist_ok=True)
    names = [path.name for path in folder.glob("t*.png")]
    (folder / "faces.json").write_text(json.dumps(dict.fromkeys(names, FACES)))
    given = {"landmarks_from": "file", "aligned_source": True, "mark": False, **choices}
    out, faces = folder / "out", folder / "faces.json"
    return Swapping(FakeSwapper(), Settings(**given), out, faces, None, references)


def levels(folder: Path, result: dict[str, Any]) -> list[int]:
    """What the middle of each of the three faces shows."""
    with Image.open(folder / "out" / result["output"]) as image:
        pixels = np.asarray(image)
    return [int(pixels[20, 40 * i + 19].mean().round()) for i in range(3)]


def test_a_list_names_a_source_for_each_face(tmp_path: Path) -> None:
    for level in (10, 200):
        write_grey(tmp_path / f"s{level}.png", level)
    for name in ("t0.png", "t1.png"):
        Image.new("RGB", (120, 60), (90, 90, 90)).save(tmp_path / name)
    (tmp_path / "pairs.csv").write_text(
        "source,target,face\ns10.png,t0.png,2\ns200.png,t0.png,0\ns10.png,t1.png,all\n"
        "s200.png,t1.png,\ns10.png,t1.png,1\n"
    )
    pairs = read_pairs(tmp_path / "pairs.csv")
    assert [pair.listed_face for pair in pairs] == ["2,0", "all", "", "1"]
    results = list(swapping(tmp_path, face="largest").run(pairs, 4))
    assert [result["status"] for result in results] == ["done"] * 4
    seen = [levels(tmp_path, result) for result in results]
    assert seen[0] == [200, 90, 10] and seen[1] == [10, 10, 10] and seen[3] == [90, 10, 90]
    assert sorted(seen[2]) == [90, 90, 200], "the face that --face says"
    assert results[0]["sources"] == ["../s10.png", "../s200.png"] and "sources" not in results[1]
    again = list(swapping(tmp_path, face="largest").run(pairs, 4))
    assert [result["status"] for result in again] == ["skipped"] * 4
    swapped = PairFiles(pairs[3].source, pairs[3].target, face="2")
    (changed,) = swapping(tmp_path, face="largest").run([swapped], 4)
    assert changed["status"] == "done" and levels(tmp_path, changed) == [90, 90, 10]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a.png,t.png,1\nb.png,t.png,1\n", "two sources for face 1"),
        ("a.png,t.png,two\n", "row 2 with face 'two'"),
        ('a.png,t.png,"0,1"\n', "row 2 with face '0,1'"),
    ],
)
def test_lists_with_faces_that_are_none(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "pairs.csv").write_text("source,target,face\n" + rows)
    with pytest.raises(UserError, match=said):
        read_pairs(tmp_path / "pairs.csv")


def test_several_numbers_name_several_faces(tmp_path: Path) -> None:
    write_grey(tmp_path / "s.png", 10)
    Image.new("RGB", (120, 60), (90, 90, 90)).save(tmp_path / "t.png")
    pair = PairFiles(tmp_path / "s.png", tmp_path / "t.png")
    (result,) = swapping(tmp_path, face="0,2").run([pair], 4)
    assert levels(tmp_path, result) == [10, 90, 10]
    (result,) = swapping(tmp_path, face="0,3").run([pair], 4)
    assert result["reason"].startswith("target: 3 faces found, none of number 3")


def test_the_face_that_is_a_reference_is_swapped(tmp_path: Path) -> None:
    target = write_photo(tmp_path / "t.png", 5, (60, 120))
    write_photo(tmp_path / "t1.png", 6, (60, 120))
    write_grey(tmp_path / "s.png", 10)
    with Image.open(target) as image:
        photo = np.asarray(image)
    files = []
    for number in (1, 2):
        crop = crop_face(photo, ffhq(np.array(FACES[number]) + 0.5, RESOLUTION))
        files.append(tmp_path / f"person{number}.png")
        Image.fromarray(np.rint((crop + 1) * 127.5).astype(np.uint8)).save(files[-1])
    pairs = [PairFiles(tmp_path / "s.png", tmp_path / name) for name in ("t.png", "t1.png")]
    given = {"reference_similarity": 0.9, "references_sha256": (("x",),)}
    done, failed = swapping(tmp_path, [[files[0]]], **given).run(pairs, 4)
    before = [int(photo[20, 40 * i + 19].mean().round()) for i in range(3)]

    def changed(result: dict[str, Any]) -> list[bool]:
        pairs = zip(levels(tmp_path, result), before, strict=True)
        return [abs(after - own) > 20 for after, own in pairs]

    assert changed(done) == [False, True, False]
    (face,) = done["faces"]
    assert face["similarity"] > 0.99 and face["box"][0] == pytest.approx(52.5)
    assert "no face of the references among 3: cosine" in failed["reason"]
    assert failed["reason"].startswith("target: ") and "at least 0.9" in failed["reason"]
    both = given | {"references_sha256": (("x",), ("y",))}
    (done, _) = swapping(tmp_path, [[files[1]], [files[0]]], **both).run(pairs, 4)
    assert changed(done) == [False, True, True]
    (tmp_path / "person1.png").write_bytes(b"no photo")
    with pytest.raises(UserError, match="got --reference=.*person1.png .not a JPEG"):
        swapping(tmp_path, [[files[0]]], **given)


def test_several_pictures_of_a_person_are_averaged(tmp_path: Path) -> None:
    (tmp_path / "person").mkdir()
    for level in (20, 60, 130):
        write_grey(tmp_path / "person" / f"{level}.png", level)
    Image.new("RGB", (120, 60), (90, 90, 90)).save(tmp_path / "t.png")
    person, target = str(tmp_path / "person"), str(tmp_path / "t.png")
    listing = list_pairs(None, person, target, average=True)
    (result,) = swapping(tmp_path, face="all", average=True).run(listing.pairs, 4)
    assert levels(tmp_path, result) == [70, 70, 70] and len(result["sources"]) == 3
    (again,) = swapping(tmp_path, face="all", average=True).run(listing.pairs, 4)
    assert again["status"] == "skipped"
    write_grey(tmp_path / "person" / "130.png", 100)
    (changed,) = swapping(tmp_path, face="all", average=True).run(listing.pairs, 4)
    assert levels(tmp_path, changed) == [60, 60, 60]
    (tmp_path / "person" / "60.png").write_bytes(b"no photo")
    (failed,) = swapping(tmp_path, face="all", average=True).run(listing.pairs, 4)
    assert failed["status"] == "failed" and "60.png, of several" in failed["reason"]
    with pytest.raises(UserError, match="--average with --pairs"):
        list_pairs("pairs.csv", None, None, average=True)
