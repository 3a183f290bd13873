"""Reads PyTorch checkpoints without PyTorch and without running anything in them.

A ``.pt`` file of PyTorch 1.6 or later is an uncompressed zip archive: a pickle ``NAME/data.pkl``
that describes the objects, and the raw numbers of every tensor storage in ``NAME/data/KEY``.
"""

import dataclasses
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from alrl_jax.convert.inert_pickle import (
    Global,
    InertPickleError,
    check_key,
    opaque,
    read_pickle,
)
from alrl_jax.errors import UserError

MAX_PICKLE_BYTES = 64 * 2**20
MAX_AXES = 8

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


@dataclasses.dataclass(frozen=True)
class _Storage:
    """The numbers that tensors are views of."""

    values: np.ndarray


_STORAGE_TYPES: dict[str, np.dtype] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch BFloat16Storage": np.dtype(jnp.bfloat16),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}


def _make_dict(*arguments: Any) -> dict[str | int, Any]:
    """An OrderedDict, empty or from a list of pairs."""
    pairs = arguments[0] if arguments else []
    if len(arguments) > 1 or not isinstance(pairs, list):
        raise InertPickleError("damaged: an OrderedDict of something else than pairs")
    return {check_key(key): value for key, value in pairs}


def _whole_numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > MAX_AXES:
        raise InertPickleError("damaged: the shape of a tensor")
    if not all(type(v) is int and 0 <= v < 2**48 for v in values):
        raise InertPickleError("damaged: the shape of a tensor")
    return values


def _make_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> np.ndarray:
    """A view of a storage; the rest (gradients, hooks) does not matter."""
    size, stride = _whole_numbers(size), _whole_numbers(stride)
    (offset,) = _whole_numbers((offset,))
    if not isinstance(storage, _Storage) or len(size) != len(stride) or len(rest) > 3:
        raise InertPickleError("damaged: the description of a tensor")
    values, count = storage.values, math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= values.size or count > values.size):
        raise InertPickleError("damaged: a tensor reaches beyond its storage")
    if not count:
        return np.zeros(size, values.dtype)
    steps = tuple(step * values.itemsize for step in stride)
    return np.ndarray(size, values.dtype, values.data, offset * values.itemsize, steps)


def _make_parameter(tensor: Any, *rest: Any) -> np.ndarray:
    if not isinstance(tensor, np.ndarray) or len(rest) > 2:
        raise InertPickleError("damaged: a parameter that is no tensor")
    return tensor


_NAMES: dict[str, Global] = {
    "collections OrderedDict": Global("collections OrderedDict", _make_dict),
    "torch._utils _rebuild_tensor_v2": Global("torch._utils _rebuild_tensor_v2", _make_tensor),
    "torch._utils _rebuild_parameter": Global("torch._utils _rebuild_parameter", _make_parameter),
    "argparse Namespace": opaque("argparse Namespace"),
    **{name: Global(name) for name in _STORAGE_TYPES},
}


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
            return read_pickle(description, _NAMES, _storage_loader(archive, root))
    except InertPickleError as error:
        raise UserError(
            f"got {path}, which is not read: {error}; expected a PyTorch checkpoint of plain "
            "tensors; save the state dict alone"
        ) from error
    except _ZIP_ERRORS as error:
        raise UserError(
            f"got {path}, a damaged zip archive ({error}); expected a PyTorch checkpoint; "
            "download it anew"
        ) from error


def _check_members(archive: zipfile.ZipFile, file_bytes: int) -> str:
    """The folder inside the archive; refuses archives that are larger than they look."""
    members = archive.infolist()
    names = {member.filename for member in members}
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1 or len(names) != len(members):
        raise InertPickleError("it has no data.pkl, or several")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InertPickleError("members of the archive are compressed")
    if sum(member.file_size for member in members) > file_bytes:
        raise InertPickleError("members of the archive overlap")
    if archive.getinfo(f"{roots[0]}/data.pkl").file_size > MAX_PICKLE_BYTES:
        raise InertPickleError(f"data.pkl is larger than {MAX_PICKLE_BYTES} bytes")
    order = f"{roots[0]}/byteorder"
    if order in names and archive.read(order) != b"little":
        raise InertPickleError("its numbers are not little-endian")
    return roots[0]


def _storage_loader(archive: zipfile.ZipFile, root: str) -> Callable[[Any], _Storage]:
    loaded: dict[str, _Storage] = {}

    def load(identifier: Any) -> _Storage:
        match identifier:
            case ("storage", Global(name=kind), str(key), str(), int(count)):
                dtype = _STORAGE_TYPES.get(kind)
            case _:
                raise InertPickleError("damaged: a reference to a storage")
        if dtype is None:
            raise InertPickleError(f"a storage is of type {kind!r}")
        if key not in loaded:
            try:
                data = archive.read(f"{root}/data/{key}")
            except KeyError as error:
                raise InertPickleError(f"storage {key!r} is missing") from error
            if len(data) % dtype.itemsize:
                raise InertPickleError(f"storage {key!r} is cut short")
            loaded[key] = _Storage(np.frombuffer(data, dtype))
        storage = loaded[key]
        if storage.values.dtype != dtype or storage.values.size != count:
            raise InertPickleError(f"storage {key!r} is not of {count} {dtype} numbers")
        return storage

    return load
