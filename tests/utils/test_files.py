"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alrl_jax.utils import buckets, files
from alrl_jax.utils.files import (
    atomic_folder,
    atomic_write,
    is_temporary,
    remove_leftovers,
    temporary_name,
    write_arrays,
    write_files,
    write_json,
    write_sparse,
    write_text,
)

PACKAGE = Path(files.__file__).parent.parent


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing_replace(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Renaming to a name fails, as on a broken disk."""
    replace = os.replace

    def fails(old: Path, new: Path) -> None:
        if new.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(new))
        replace(old, new)

    monkeypatch.setattr(os, "replace", fails)


@pytest.mark.parametrize("error", [ValueError("half"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("ha")
        assert path.read_text() == "old"
        raise error
    assert names(tmp_path) == ["a.txt"] and path.read_text() == "old"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert is_temporary(temporary.name) and temporary == temporary_name(path)
    assert names(tmp_path) == ["a.txt"] and path.read_text() == "new"


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "new"),
    "json": lambda path: write_json(path, {"a": 1}),
    "sparse": lambda path: write_sparse(path, b"new", 5),
    "arrays": lambda path: write_arrays(path, {"a": np.arange(3)}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_no_writer_leaves_anything_by_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with monkeypatch.context() as patch:
        failing_replace(patch, "a")
        with pytest.raises(OSError, match="Input/output"):
            WRITERS[writer](path)
    assert names(tmp_path) == ["a"] and path.read_text() == "old"
    WRITERS[writer](path)
    assert names(tmp_path) == ["a"] and path.read_bytes() != b"old"


def test_a_sparse_file_is_its_head_and_zeros_that_take_no_space(tmp_path: Path) -> None:
    write_sparse(tmp_path / "a", b"head", 1 << 24)
    assert (tmp_path / "a").read_bytes() == b"head".ljust(1 << 24, b"\0")
    assert (tmp_path / "a").stat().st_blocks * 512 < 1 << 20


def test_what_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'


def test_several_files_are_there_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {tmp_path / name: name.encode() for name in "abc"}
    with monkeypatch.context() as patch:
        failing_replace(patch, "c")
        with pytest.raises(OSError, match="Input/output"):
            write_files(contents)
    assert names(tmp_path) == []
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="No such file"):
        write_files({**contents, tmp_path / "missing" / "d": b"d"})
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"
    write_files(contents)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_durable_files_are_synced_with_their_folder_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, list[str]]] = []

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, names(tmp_path)))

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "a.json"
    write_json(path, {})
    assert synced == []
    path.unlink()
    write_json(path, {}, durable=True)
    temporary = temporary_name(path).name
    assert synced == [(temporary, [temporary]), (tmp_path.name, ["a.json"])]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m"
    with atomic_folder(path) as fresh:
        assert fresh.name == "m"
        (fresh / "a").write_text("1")
    with atomic_folder(path) as fresh:
        (fresh / "b").write_text("2")
        assert names(path) == ["a"]
    assert names(path) == ["b"] and names(path.parent) == ["m"]
    with pytest.raises(ValueError, match="half"), atomic_folder(path) as fresh:
        (fresh / "c").write_text("3")
        raise ValueError("half")
    assert names(path) == ["b"] and names(path.parent) == ["m"]


def test_a_folder_that_gets_no_name_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    path.mkdir()
    (path / "a").write_text("old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.parent.name == "new":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)  # where a disk cannot do that
    with pytest.raises(OSError, match="Input/output"), atomic_folder(path) as fresh:
        (fresh / "a").write_text("new")
    assert names(tmp_path) == ["m"] and (path / "a").read_text() == "old"


KILLED = """
import os, signal, sys
from pathlib import Path
from alrl_jax.utils.files import atomic_folder, atomic_write
folder = Path(sys.argv[1])
with atomic_folder(folder / "m") as fresh, atomic_write(folder / "a") as temporary:
    (fresh / "x").write_text("half")
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode < 0 and (tmp_path / "a").read_text() == "old"
    left = [name for name in names(tmp_path) if name != "a"]
    assert len(left) == 2 and all(map(is_temporary, left))
    ours = temporary_name(tmp_path / "b")
    ours.write_text("being written")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([ours.name, "a"])
    remove_leftovers(tmp_path, locked=True)
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["a.12.tmp", ".a.tmp", ".12.tmp", ".a.b.tmp", ".a.12", ".a.².tmp"])
def test_names_of_others_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, locked=True)
    assert names(tmp_path) == [name] and not is_temporary(name)


def test_files_are_written_in_one_place() -> None:
    """Whoever renames or syncs by hand forgets a case that ``utils.files`` has.

    What is fetched from a bucket gets its name by itself: ``utils.files`` would put it there again.
    """
    by_hand = re.compile(r"os\.replace|\.rename\(|os\.fsync|\.tmp\"")
    sources = sorted(PACKAGE.rglob("*.py"))
    found = [path for path in sources if by_hand.search(path.read_text(encoding="utf-8"))]
    assert found == [Path(buckets.__file__), Path(files.__file__)]
