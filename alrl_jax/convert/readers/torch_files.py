"""Reads PyTorch checkpoints without PyTorch and without running anything in them.

A ``.pt`` file of PyTorch 1.6 or later is an uncompressed zip archive: a pickle ``NAME/data.pkl``
that describes the objects, and the raw numbers of every tensor storage in ``NAME/data/KEY``.
"""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError, shown
from alrl_jax.convert.readers.inert_pickle import Global, read_pickle
from alrl_jax.convert.readers.numpy_objects import NUMPY_NAMES
from alrl_jax.convert.readers.torch_objects import TORCH_NAMES, Storage, storage_dtype
from alrl_jax.errors import UserError

MAX_PICKLE_BYTES = 64 * 2**20

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def read_torch_zip(path: Path) -> Any:
    """Reads a checkpoint.

    Args:
        path: the file.

    Returns:
        What was saved: dicts, lists, tuples, plain values, and read-only arrays for tensors.
        Objects of other kinds are ``Opaque``.

    Raises:
        UserError: if the file is no such archive, is damaged, or holds more than weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = _check_members(archive, path.stat().st_size)
            description = archive.read(f"{root}/data.pkl")
            return read_pickle(
                description, TORCH_NAMES | NUMPY_NAMES, _storage_loader(archive, root)
            )
    except CheckpointError as error:
        raise UserError(
            f"got {path}, which is not read: {error}; expected a PyTorch checkpoint of plain "
            "tensors; save the state dict alone"
        ) from error
    except _ZIP_ERRORS as error:
        raise UserError(
            f"got {path}, a damaged zip archive ({error}); expected a PyTorch checkpoint; "
            "download it again"
        ) from error


def _check_members(archive: zipfile.ZipFile, file_bytes: int) -> str:
    """The folder inside the archive; refuses archives that are larger than they look."""
    members = archive.infolist()
    names = {member.filename for member in members}
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if not roots:
        inside = shown(min(names, default="nothing"))
        raise CheckpointError(f"no data.pkl: a zip archive of other files ({inside}); unpack it")
    if len(roots) != 1 or len(names) != len(members):
        raise CheckpointError("it has several data.pkl, or two files of one name")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError("members of the archive are compressed")
    if sum(member.file_size for member in members) > file_bytes:
        raise CheckpointError("members of the archive overlap")
    if archive.getinfo(f"{roots[0]}/data.pkl").file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(f"data.pkl is larger than {MAX_PICKLE_BYTES} bytes")
    order = f"{roots[0]}/byteorder"
    if order in names and archive.read(order) != b"little":
        raise CheckpointError("its numbers are not little-endian")
    return roots[0]


def _storage_loader(archive: zipfile.ZipFile, root: str) -> Callable[[Any], Storage]:
    loaded: dict[str, Storage] = {}

    def load(identifier: Any) -> Storage:
        match identifier:
            case ("storage", Global(name=kind), str(key), str(), int(count)):
                dtype = storage_dtype(kind)
            case _:
                raise CheckpointError("damaged: a reference to a storage")
        if key not in loaded:
            try:
                data = archive.read(f"{root}/data/{key}")
            except KeyError as error:
                raise CheckpointError(f"storage '{shown(key)}' is missing") from error
            if len(data) % dtype.itemsize:
                raise CheckpointError(f"storage '{shown(key)}' is cut short")
            loaded[key] = Storage(np.frombuffer(data, dtype))
        storage = loaded[key]
        if storage.values.dtype != dtype or storage.values.size != count:
            raise CheckpointError(f"storage '{shown(key)}' is not of {count} {dtype} numbers")
        return storage

    return load
