"""A folder of photographs: what can be read is read, the rest is reported by name."""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.data import folder
from alrl_jax.data.folder import FolderSource
from alrl_jax.data.pipeline import make_iterator
from alrl_jax.errors import UserError
from tests.support import photo_kinds

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


def photo(path: Path, shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (shade, shade, shade)).save(path)


def open_folder(path: Path, person_per: str = "image") -> FolderSource:
    return FolderSource(path, 16, person_per, progress=False)


def test_a_zoo_of_files(tmp_path: Path) -> None:
    photo_kinds.write_zoo(tmp_path / "zoo" / "deep")
    (tmp_path / "zoo" / "notes.txt").write_text("no photo")
    (tmp_path / "zoo" / "folder.jpg").mkdir()
    source = open_folder(tmp_path / "zoo")
    good = sorted(f"deep/{name}" for name in photo_kinds.READABLE | photo_kinds.OTHER_READABLE)
    assert source.names == good
    assert sorted(name for name, _ in source.report) == sorted(
        f"deep/{name}" for name in photo_kinds.BROKEN
    )
    assert all(reason for _, reason in source.report)
    for kind in ("faces", "pairs"):
        iterator = make_iterator(source, kind, 8, 0)
        for _ in range(6):
            batch = next(iterator)
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(batch))
        iterator.close()


def test_photographs_are_unlabelled(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    record = open_folder(tmp_path)[0]
    assert not record["labelled"] and (record["parsing"] == 255).all()
    assert record["identity_factors"].shape == (0,) and record["landmarks"].shape == (0, 2)
    assert (record["image"] == 100).all()


def test_people_by_image_or_by_folder(tmp_path: Path) -> None:
    for name in ("ann/1.png", "ann/2.png", "bob/1.png", "loose.png", "stray.png"):
        photo(tmp_path / name)
    assert len(set(open_folder(tmp_path).identities)) == 5
    by_folder = open_folder(tmp_path, "folder")
    people = dict(zip(by_folder.names, by_folder.identities, strict=True))
    assert people["ann/1.png"] == people["ann/2.png"]
    assert len(set(people.values())) == 4
    with pytest.raises(UserError, match="'name'"):
        open_folder(tmp_path, "name")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which is no directory"):
        open_folder(tmp_path / "missing")
    with pytest.raises(UserError, match="0 image files"):
        open_folder(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"broken")
    with pytest.raises(UserError, match="1 image files, none of them readable.*a.jpg"):
        open_folder(tmp_path)


def test_links_pipes_and_hidden_files(tmp_path: Path) -> None:
    photo(tmp_path / "tree" / "a.png")
    photo(tmp_path / "elsewhere.png")
    (tmp_path / "tree" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "tree" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    (tmp_path / "tree" / "._a.png").write_bytes(b"resource fork")
    os.mkfifo(tmp_path / "tree" / "pipe.png")
    source = open_folder(tmp_path / "tree")
    assert source.names == ["a.png", "link.png"]
    assert [name for name, _ in source.report] == ["dangling.png", "pipe.png"]


def test_files_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    first = open_folder(tmp_path)
    checked: list[str] = []
    real: Callable[[Path], str | None] = folder._check_image
    monkeypatch.setattr(
        folder, "_check_image", lambda path: checked.append(path.name) or real(path)
    )
    assert open_folder(tmp_path).report == first.report and checked == []
    photo(tmp_path / "b.png")
    assert open_folder(tmp_path).report == [] and checked == ["b.png"]
    for index in (tmp_path / "cache").rglob("*.json"):
        index.write_text("{ damaged")
    assert len(open_folder(tmp_path)) == 2 and len(checked) == 3


def test_a_file_that_breaks_later_never_stops_training(tmp_path: Path) -> None:
    for i in range(3):
        photo(tmp_path / f"{i}.png", shade=50 * i)
    source = open_folder(tmp_path)
    (tmp_path / "1.png").write_bytes(b"broken")
    (tmp_path / "2.png").unlink()
    records = source.read(np.array([0, 1, 2, 1]))
    assert (records["image"] == 0).all()  # the next readable one is the first
    assert sorted(name for name, _ in source.report) == ["1.png", "2.png"]
    (tmp_path / "0.png").unlink()
    with pytest.raises(UserError, match="no readable image any more"):
        source.read(np.array([0]))
