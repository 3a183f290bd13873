"""The one place that writes files: whole or not at all, under a name that is given last.

A file or folder is made under a temporary name beside its own, ``.NAME.PROCESS.tmp``, which says
whose it is: ``remove_leftovers`` removes what killed processes left. What mirrors an address of a
bucket is put there as it gets its name.
"""

import contextlib
import ctypes
import glob
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.utils import buckets
from alrl_jax.utils.processes import is_running

_SUFFIX = ".tmp"
_HERE = -100
"""AT_FDCWD: a relative path begins in the working directory."""
_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS."""


@contextlib.contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` to write to; the file gets its name at the end.

    Where the block fails, an older file stays as it was, and the temporary one is removed.

    Args:
        path: of the file, in a directory that exists.
        durable: wait until file and name are on the disk, so that they outlive a power cut.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = temporary_name(path)
    try:
        yield temporary
        give_names({path: temporary}, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder to fill, of the same name, which replaces ``path`` whole at the end.

    Where the block fails, an older folder stays as it was, and the new one is removed. The two
    change places in one step where the disk can do that. Where it cannot, a process that is killed
    between two renames leaves both in the temporary folder, and the next writer brings the older
    one back.

    Args:
        path: of the folder; its parents are made where they are missing. A link stays one, and the
            folder that it leads to is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(os.path.realpath(path))
    _recover(path)
    scratch = temporary_name(path)
    remove(scratch)  # left by a killed process that had this one's number
    fresh, old = scratch / "new" / path.name, scratch / "old"
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if not path.exists():
            fresh.rename(path)
        elif not _exchange(fresh, path):
            path.rename(old)
            try:
                fresh.rename(path)
            except BaseException:
                old.rename(path)
                raise
        buckets.put_folder(path)
    finally:
        remove(scratch)


def _recover(path: Path) -> None:
    """Removes what killed writers of a folder left, and brings back what they had put aside."""
    for scratch in path.parent.glob(f".{glob.escape(path.name)}.*{_SUFFIX}"):
        process = _process_of(scratch.name)
        if process is None or is_running(process):
            continue
        if (scratch / "old").is_dir() and not path.exists():
            (scratch / "old").rename(path)
        remove(scratch)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two folders change places in one step; False where system or disk cannot do that."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):  # Linux
        return library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0
    if hasattr(library, "renamex_np"):  # macOS
        return library.renamex_np(*names, _EXCHANGE) == 0
    return False


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together: no name is given before all of them are written.

    Args:
        contents: of the files, by path; names are given in this order, see ``give_names``.

    Raises:
        OSError: they cannot be written; nothing new is left.
    """
    temporaries = {path: temporary_name(path) for path in contents}
    try:
        for path, content in contents.items():
            temporaries[path].write_bytes(content)
        give_names(temporaries)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def give_names(temporaries: Mapping[Path, Path], *, durable: bool = False) -> None:
    """Gives finished files and folders their names, in order.

    Where that fails, those that were given are taken back: all of them are there, or none.

    Args:
        temporaries: what is finished, by the name it is to have. An older file of that name is
            replaced; an older folder has to be removed before.
        durable: wait until contents and names are on the disk.

    Raises:
        OSError: a name cannot be given.
    """
    given = []
    try:
        for path, temporary in temporaries.items():
            if durable:
                _sync(temporary)
            os.replace(temporary, path)
            given.append(path)
            if durable:
                _sync(path.parent)
        buckets.put(given)
    except BaseException:
        for path in given:
            _remove_here(path)
        raise


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """The name under which a file or folder of this process is made, before it gets its own."""
    return path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")


def is_temporary(name: str) -> bool:
    """Whether a name is one that ``temporary_name`` gives, in whatever process."""
    return _process_of(name) is not None


def remove_leftovers(directory: Path, *, locked: bool = False) -> None:
    """Removes the unfinished files and folders of processes of this machine that were killed.

    Args:
        directory: where they lie; folders in it are not searched.
        locked: this process alone may write there, so that whatever is unfinished is a leftover,
            of another machine's processes too.
    """
    for path in directory.glob(f".*.*{_SUFFIX}"):
        process = _process_of(path.name)
        if process is not None and (locked or not is_running(process)):
            remove(path)


def _process_of(name: str) -> int | None:
    """The number of the process in a temporary name; None in any other name."""
    stem, _, process = name.removesuffix(_SUFFIX).rpartition(".")
    temporary = name.endswith(_SUFFIX) and stem.startswith(".") and len(stem) > 1
    return int(process) if temporary and process.isdecimal() else None


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, where there is one.

    What mirrors an address of a bucket is removed there as well.
    """
    buckets.remove(path)
    _remove_here(path)


def _remove_here(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    write_files({path: text.encode("utf-8")})


def json_text(values: Any) -> str:
    """JSON that every reader accepts: NaN and infinity are errors."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def write_json(path: Path, values: Any, *, durable: bool = False) -> None:
    """Writes JSON, whole or not at all; see ``json_text`` and ``atomic_write``."""
    with atomic_write(path, durable=durable) as temporary:
        temporary.write_text(json_text(values), encoding="utf-8")


def write_sparse(path: Path, head: bytes, length: int) -> None:
    """Writes a file of ``length`` bytes that begins with ``head``, whole or not at all.

    What follows is a hole: it reads as zeros, and takes no space on a disk that knows holes.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(head)
        file.truncate(length)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an ``.npz`` file, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
