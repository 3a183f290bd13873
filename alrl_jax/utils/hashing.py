"""SHA-256 of files, folders and variables."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from alrl_jax.utils.opening import open_regular


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """SHA-256 over names and contents of all files that lie in a folder, in hexadecimal.

    Raises:
        OSError: there is no such folder, or something in it is no file that can be read.
    """
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        digest.update(os.fsencode(f"{name} {file_sha256(folder / name)}\n"))
    return digest.hexdigest()


def variables_sha256(variables: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and values of a model's variables.

    The same for a model whatever kind of directory it was loaded from.
    """
    digest = hashlib.sha256()
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    for name in sorted(flat):
        values = np.ascontiguousarray(flat[name])
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def joined_sha256(hashes: Iterable[str]) -> str:
    """One hash for several, in their order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
