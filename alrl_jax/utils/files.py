"""Writing files: all at once or not at all, under a name that is given last."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together: no name is given before all of them are on the disk.

    Names are given in order. Where that fails, those that were given are taken back.

    Args:
        contents: of the files, by path.

    Raises:
        OSError: they cannot be written; nothing new is left.
    """
    temporaries = {path: temporary_name(path) for path in contents}
    given = []
    try:
        for path, content in contents.items():
            temporaries[path].write_bytes(content)
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
            given.append(path)
    except BaseException:
        for path in given:
            path.unlink(missing_ok=True)
        raise
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """The name under which a file or folder of this process is made, before it gets its own."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_leftovers(directory: Path) -> None:
    """Removes the unfinished files and folders of processes of this machine that were killed."""
    for path in directory.glob(".*.*.tmp"):
        process = path.name.removesuffix(".tmp").rpartition(".")[2]
        if process.isdecimal() and not _is_running(int(process)):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes a text file, all at once or not at all."""
    write_files({path: text.encode("utf-8")})


def json_text(values: Any) -> str:
    """JSON that every reader accepts: NaN and infinity are errors."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def write_json(path: Path, values: Any) -> None:
    """Writes JSON, all at once or not at all; see ``json_text``."""
    write_text(path, json_text(values))


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an ``.npz`` file, all at once or not at all."""
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
