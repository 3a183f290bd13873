"""What lies where: data sets are recognised by their names, and counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alrl_jax.data.prepare import photo_records
from alrl_jax.data.prepare.layouts import Album, Wish, ffhq_number, ranges
from alrl_jax.errors import UserError
from alrl_jax.photos.file_trees import open_tree
from tests.support import fabricated

NUMBERS = (3, 4, 999, 1000, 60000, 69999)
ORIGIN = {0: 5, 1: 162770, 2: 162771, 1999: 182637, 2000: 182638, 29999: 202599}


def found(source: Path, **wishes: Any) -> tuple[str, Album]:
    """The layout that is recognised, and its album."""
    tree, wish = open_tree(source), Wish(source, **wishes)
    layout = photo_records.recognise(tree, wish)
    return layout, photo_records.LAYOUTS[layout](tree, wish)


def names(album: Album) -> list[str]:
    return [photo.file.name for photo in album.photos]


@pytest.fixture(scope="module")
def ffhq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "ffhq-dataset"
    fabricated.write_ffhq(root, NUMBERS)
    return root


@pytest.fixture
def celebamask(tmp_path: Path) -> Path:
    fabricated.write_celebamask(tmp_path / "CelebAMask-HQ", ORIGIN, ORIGIN)
    return tmp_path / "CelebAMask-HQ"


def test_ffhq_as_it_comes(ffhq: Path) -> None:
    layout, album = found(ffhq)
    assert layout == "ffhq"
    assert names(album) == [f"images1024x1024/{n - n % 1000:05d}/{n:05d}.png" for n in NUMBERS]
    assert album.expected == 70000 and album.people.tolist() == list(range(6))
    assert album.missing == ["0-2", "5-998", "1001-59999", "60001-69998"]
    assert [album.row(place) for place in (0, 5)] == [(3,), (69999,)]
    assert album.notes == ["6 images of ffhq-dataset/thumbnails128x128 are not used"]


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("test", 2)])
def test_parts_of_ffhq(ffhq: Path, split: str, count: int) -> None:
    album = found(ffhq, split=split)[1]
    assert len(album.photos) == count and album.expected == {"train": 60000, "test": 10000}[split]
    assert [n < 60000 for n in map(ffhq_number, names(album))] == [split == "train"] * count


def test_other_forms_of_ffhq(ffhq: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for number in NUMBERS:
        fabricated.save(flat / f"{number:05d}.png", fabricated.pixels(number))
    sources = {
        ffhq / "images1024x1024": "{0:02d}000/{1:05d}.png",
        ffhq / "thumbnails128x128": "{0:02d}000/{1:05d}.png",
        flat: "{1:05d}.png",
        fabricated.training_zip(tmp_path / "t.zip", NUMBERS): "{0:05d}/img{1:08d}.png",
        fabricated.zipped(ffhq, tmp_path / "z.zip", "ffhq/"): (
            "ffhq/images1024x1024/{0:02d}000/{1:05d}.png"
        ),
    }
    for source, form in sources.items():
        layout, album = found(source)
        expected = [form.format(number // 1000, number) for number in NUMBERS]
        assert (layout, names(album)) == ("ffhq", expected), source


def test_what_is_not_ffhq(tmp_path: Path, ffhq: Path) -> None:
    (ffhq / "images1024x1024").rename(tmp_path / "in-the-wild-images")
    try:
        assert found(tmp_path / "in-the-wild-images")[0] == "folder"
        with pytest.raises(UserError, match="no aligned images of FFHQ"):
            photo_records.LAYOUTS["ffhq"](open_tree(tmp_path), Wish(tmp_path))
    finally:
        (tmp_path / "in-the-wild-images").rename(ffhq / "images1024x1024")
    for name in ("70000.png", "1.png", "holiday.png", "02000/00005.png", "00005.jpg"):
        root = tmp_path / name.replace("/", "_")
        fabricated.save(root / name, fabricated.pixels(0))
        assert found(root)[0] == "folder", name


def test_numbers_come_once(tmp_path: Path) -> None:
    for name in ("00001.png", "00000/00001.png", "00002.png", "readme.png"):
        fabricated.save(tmp_path / "images1024x1024" / name, fabricated.pixels(0))
    album = photo_records.LAYOUTS["ffhq"](open_tree(tmp_path), Wish(tmp_path))
    assert names(album) == ["images1024x1024/00000/00001.png", "images1024x1024/00002.png"]
    assert album.faults == [
        ("images1024x1024/00001.png", "number 1 a second time, after "
         "images1024x1024/00000/00001.png"),
        ("images1024x1024/readme.png", "not named like an image of this data set"),
    ]  # fmt: skip


def test_celebamask(celebamask: Path, tmp_path: Path) -> None:
    zipped = fabricated.zipped(celebamask, tmp_path / "CelebAMask-HQ.zip", "CelebAMask-HQ/")
    for source, prefix in (
        (celebamask, ""),
        (tmp_path, "CelebAMask-HQ/"),
        (zipped, "CelebAMask-HQ/"),
    ):
        layout, album = found(source)
        assert layout == "celebamask"
        assert names(album) == [f"{prefix}CelebA-HQ-img/{n}.jpg" for n in ORIGIN]
        assert album.expected == 30000 and album.missing[0] == "3-1998"
        for photo, number in zip(album.photos, ORIGIN, strict=True):
            ids = [label for label, _ in photo.masks]
            assert ids == [label for label in range(1, 19) if label != number % 7]
        assert album.columns == (
            "number", "celeba_file", *fabricated.ATTRIBUTE_NAMES, "yaw", "pitch", "roll"
        )  # fmt: skip
        attributes = [str(value) for value in fabricated.attributes(2)]
        assert album.row(2) == (2, "162771.jpg", *attributes, "2.25", "-2.5", "0.125")
        assert album.notes == ["no identity_CelebA.txt: everybody is another person"]


@pytest.mark.parametrize(
    ("split", "numbers", "size"),
    [("train", [0, 1], 24183), ("validation", [2, 1999], 2993), ("test", [2000, 29999], 2824)],
)
def test_parts_of_celebamask(celebamask: Path, split: str, numbers: list[int], size: int) -> None:
    album = found(celebamask, split=split)[1]
    assert names(album) == [f"CelebA-HQ-img/{n}.jpg" for n in numbers]
    assert album.expected == size and album.row(1)[0] == numbers[1]


def test_people_of_celeba(celebamask: Path, tmp_path: Path) -> None:
    people = {0: 70, 1: 3, 2: 70, 1999: 4, 2000: 3, 29999: 9}
    lines = [f"{ORIGIN[n]:06d}.jpg {person}" for n, person in people.items()]
    (tmp_path / "ids.txt").write_text("\n".join(lines))
    album = found(celebamask, identity_file=tmp_path / "ids.txt")[1]
    assert album.people.tolist() == [3, 0, 3, 1, 0, 2] and album.notes == []
    (tmp_path / "ids.txt").rename(celebamask / "identity_CelebA.txt")
    np.testing.assert_array_equal(found(celebamask)[1].people, album.people)
    (celebamask / "identity_CelebA.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(UserError, match=r"without the person of image 0 \(000005.jpg\)"):
        found(celebamask)
    with pytest.raises(UserError, match="which is no file"):
        found(celebamask, identity_file=tmp_path / "ids.txt")


def test_files_that_are_odd_in_celebamask(celebamask: Path) -> None:
    masks = celebamask / "CelebAMask-HQ-mask-anno"
    (masks / "0" / "00000_beard.png").write_bytes(b"")
    (masks / "1" / "00001_nose.png").write_bytes((masks / "0" / "00001_nose.png").read_bytes())
    (celebamask / "CelebA-HQ-img" / "30000.jpg").write_bytes(b"")
    (celebamask / "CelebA-HQ-img" / "2.jpg").unlink()
    for path in (masks / "14").glob("29999_*"):
        path.unlink()
    album = found(celebamask)[1]
    assert [name for name, _ in album.faults] == [
        "CelebA-HQ-img/30000.jpg",
        "CelebAMask-HQ-mask-anno/0/00000_beard.png",
        "CelebAMask-HQ-mask-anno/1/00001_nose.png",
    ]
    assert album.photos[-1].masks == () and len(album.photos) == 5
    assert album.notes[:2] == [
        "1 images have no masks: they are unlabelled",
        "17 masks belong to no image that is there",
    ]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "CelebA-HQ-to-CelebA-mapping.txt").unlink(), "which has no CelebA-HQ-to-C"),
        (
            lambda d: _spoil(d / "CelebA-HQ-to-CelebA-mapping.txt", 2),
            "line 3 of CelebA-HQ-to",
        ),
        (
            lambda d: _spoil(d / "CelebAMask-HQ-attribute-anno.txt", 4),
            "line 5 of CelebAMask-HQ",
        ),
        (lambda d: _spoil(d / "CelebAMask-HQ-attribute-anno.txt", 1), "another number of values"),
        (lambda d: _spoil(d / "CelebAMask-HQ-pose-anno.txt", 3), "line 4 of CelebAMask-HQ-pose"),
        (lambda d: _spoil(d / "CelebAMask-HQ-pose-anno.txt", 0), "without a line that counts"),
        (lambda d: (d / "CelebAMask-HQ-pose-anno.txt").write_bytes(b"\xff\xfe"), "cannot be read"),
    ],
)
def test_broken_tables(celebamask: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(celebamask)
    with pytest.raises(UserError, match=message):
        found(celebamask, split="train")


def _spoil(path: Path, line: int) -> None:
    lines = path.read_text().splitlines()
    lines[line] = "what is this"
    path.write_text("\n".join(lines))


def test_a_table_that_was_cut_is_reported(celebamask: Path) -> None:
    path = celebamask / "CelebAMask-HQ-pose-anno.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    album = found(celebamask)[1]
    assert "CelebAMask-HQ-pose-anno.txt says 6 lines and has 5" in album.notes
    assert album.row(5)[-3:] == ("", "", "")


def test_the_folder_of_images_alone_is_refused(celebamask: Path) -> None:
    with pytest.raises(UserError, match="name the folder above"):
        found(celebamask / "CelebA-HQ-img")


def test_any_folder(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.png", "a/x.webp", "loose.JPEG", "a/clip.mov", ".thumbs/9.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    layout, album = found(tmp_path)
    assert layout == "folder" and album.expected is None and album.missing == ()
    assert names(album) == ["a/x.webp", "b/1.png", "b/2.jpg", "loose.JPEG"]
    assert len(set(album.people)) == 4
    assert album.notes == ["1 files named *.mov are no images that are read here"]
    people = found(tmp_path, person_per="folder")[1].people
    assert people[1] == people[2] and len(set(people)) == 3
    with pytest.raises(UserError, match="got --split=train of a folder"):
        found(tmp_path, split="train")


def test_ranges_in_words() -> None:
    assert ranges([]) == [] and ranges([5, 1, 2, 3, 9, 10]) == ["1-3", "5", "9-10"]
