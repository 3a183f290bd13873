"""Files in directories and zips: read where they lie, hostile archives refused."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alrl_jax.errors import UserError
from alrl_jax.photos import file_trees
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.file_trees import DirectoryFile, open_tree

CONTENT = {"a/b.png": b"one" * 500, "c.jpg": b"", "d.txt": b"two"}


def write_zip(path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in CONTENT.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_reads_like_a_directory(tmp_path: Path, method: int) -> None:
    for name, data in CONTENT.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    zipped = open_tree(write_zip(tmp_path / "tree.zip", method))
    plain = open_tree(tmp_path / "tree")
    assert list(zipped) == list(plain) == list(CONTENT)
    for name, data in CONTENT.items():
        assert zipped[name].read() == plain[name].read() == data
        assert zipped[name].name == plain[name].name == name
        assert zipped[name].mark[0] == plain[name].mark[0] == len(data)


def test_bytes_before_a_zip_are_no_matter(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "plain.zip")
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert open_tree(path)["a/b.png"].read() == CONTENT["a/b.png"]


@pytest.mark.parametrize(
    "name", ["../up.png", "/etc/up.png", "a/../../up.png", "a\\up.png", "a/\0b.png"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    plain = name.replace("\0", "#").replace("\\", "#").encode()
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(plain.decode(), b"x")
    data = (tmp_path / "evil.zip").read_bytes().replace(plain, name.encode())
    (tmp_path / "evil.zip").write_bytes(data)
    with pytest.raises(UserError, match="do not trust that archive"):
        open_tree(tmp_path / "evil.zip")


def test_bombs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", b"\0" * 2**21)
    with pytest.raises(UserError, match=r"'a.png' would grow from \d+ to 2097152 bytes"):
        open_tree(tmp_path / "bomb.zip")


def test_a_member_that_is_longer_than_it_says(tmp_path: Path) -> None:
    """What is unpacked is bounded by what the table of the zip says, whatever the data give."""
    path = write_zip(tmp_path / "liar.zip")
    said = struct.pack("<I", len(CONTENT["a/b.png"]))
    path.write_bytes(path.read_bytes().replace(said, struct.pack("<I", 7)))
    with pytest.raises(UnreadableImageError, match="another size or checksum"):
        open_tree(path)["a/b.png"].read()


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "checksum": (lambda d: d.replace(b"two", b"2.."), "another size or checksum"),
    "encrypted": (lambda d: _flagged(d, 8, 1), "encrypted"),
    "method": (lambda d: _flagged(d, 10, 14), "packed by method 14"),
    "header": (lambda d: d[:-200].replace(b"PK\3\4", b"PK\3\5") + d[-200:], "not where it says"),
}


def _flagged(data: bytes, offset: int, value: int) -> bytes:
    """Sets a field of the last entry in the table of a zip."""
    place = data.rindex(b"PK\1\2") + offset
    return data[:place] + struct.pack("<H", value) + data[place + 2 :]


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_members(tmp_path: Path, kind: str) -> None:
    damage, reason = DAMAGES[kind]
    path = write_zip(tmp_path / "x.zip", zipfile.ZIP_STORED)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnreadableImageError, match=reason):
        open_tree(path)["d.txt"].read()


def test_what_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="neither a directory nor a zip"):
        open_tree(tmp_path / "x.zip")
    with pytest.raises(UserError, match="is not there"):
        open_tree(tmp_path / "missing")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as file:
        file.writestr("a.png", b"1")
        with pytest.warns(UserWarning):
            file.writestr("a.png", b"2")
    with pytest.raises(UserError, match="two files of one name"):
        open_tree(tmp_path / "twice.zip")


def test_files_that_are_too_large_or_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "large.png").write_bytes(b"12345")
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as file:
        file.writestr("large.png", b"12345")
    monkeypatch.setattr(file_trees, "MAX_FILE_BYTES", 4)
    for file in (
        DirectoryFile(str(tmp_path), "large.png"),
        open_tree(tmp_path / "large.zip")["large.png"],
    ):
        with pytest.raises(UnreadableImageError, match="5 bytes; no photograph"):
            file.read()
    with pytest.raises(UnreadableImageError, match="No such file"):
        DirectoryFile(str(tmp_path), "dangling.png").read()
    assert DirectoryFile(str(tmp_path), "dangling.png").mark == (-1, -1)
