"""Reads the container of PyTorch before 1.6: pickles one behind the other, then raw numbers.

Magic number, version, machine, the object, the keys of its storages; then for every key the number
of elements and the elements.  The same stream stands inside NVIDIA's pickles, once a tensor.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError
from alrl_jax.convert.readers.inert_pickle import Budget, ByteReader, Global, opaque, read_pickle
from alrl_jax.convert.readers.torch_objects import Storage, storage_dtype, whole_numbers

MAGIC = 0x1950A86A20F9469CFC6C
MAGIC_BYTES = MAGIC.to_bytes(10, "little")
"""Found near the beginning of every such file."""
VERSION = 1001

_COUNT = struct.Struct("<q")
_TENSORS = "torch._utils "
"""What needs the numbers to be there."""

Declared = dict[str, tuple[np.dtype, int]]
"""Type and number of elements of every storage, by key."""


def read_legacy(
    data: bytes | memoryview, names: Mapping[str, Global], budget: Budget | None = None
) -> Any:
    """Reads such a stream; its arrays are views of ``data``.

    The object stands before its numbers, so it is read twice: first for the storages that it
    names, then, when these are found, for the object itself.

    Args:
        data: the whole stream.
        names: what may be named, by "module name".
        budget: limit of the instructions of the whole file.

    Raises:
        CheckpointError: if the stream is damaged or holds more than data.
    """
    reader = ByteReader(data)
    budget = budget or Budget(2 * len(reader.view))
    _check_header(reader, budget)
    start = reader.position
    declared: Declared = {}
    unread = {name: opaque(name) if name.startswith(_TENSORS) else g for name, g in names.items()}
    read_pickle(reader, unread, lambda identifier: _declare(identifier, declared), budget)
    storages = _find_storages(reader, declared, budget)
    reader.position = start
    return read_pickle(reader, names, lambda identifier: storages[identifier[2]], budget)


def _check_header(reader: ByteReader, budget: Budget) -> None:
    if read_pickle(reader, {}, budget=budget) != MAGIC:
        raise CheckpointError("damaged: another magic number")
    version = read_pickle(reader, {}, budget=budget)
    if version != VERSION:
        raise CheckpointError(f"its version is not {VERSION}")
    machine = read_pickle(reader, {}, budget=budget)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise CheckpointError("its numbers are not little-endian")


def _declare(identifier: Any, declared: Declared) -> None:
    match identifier:
        case ("storage", Global(name=kind), str(key), str(), int(count), None):
            found = storage_dtype(kind), whole_numbers((count,))[0]
        case ("storage", Global(), str(), str(), int(), _):
            raise CheckpointError("a storage is a view of another (view_metadata)")
        case _:
            raise CheckpointError("damaged: a reference to a storage")
    if declared.setdefault(key, found) != found:
        raise CheckpointError("damaged: a storage is described in two ways")


def _find_storages(reader: ByteReader, declared: Declared, budget: Budget) -> dict[str, Storage]:
    """Views of the elements; counts are held against the file before anything is made."""
    keys = read_pickle(reader, {}, budget=budget)
    texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not texts or len(keys) != len(declared) or set(keys) != set(declared):
        raise CheckpointError("damaged: the list of its storages")
    storages = {}
    for key in keys:
        dtype, count = declared[key]
        head = bytes(reader.read(_COUNT.size))
        size = count * dtype.itemsize
        start = reader.position
        if len(head) < _COUNT.size or size > len(reader.view) - start:
            raise CheckpointError(f"a storage of {count} numbers goes beyond the end of the file")
        if _COUNT.unpack(head)[0] != count:
            raise CheckpointError(f"a storage of {count} numbers says that it has others")
        reader.position += size
        storages[key] = Storage(np.frombuffer(reader.view[start : start + size], dtype))
    if reader.position != len(reader.view):
        raise CheckpointError("there is more behind its last storage")
    return storages
