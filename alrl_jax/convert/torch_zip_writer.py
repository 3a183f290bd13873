"""Writes PyTorch checkpoints without PyTorch: the container that ``torch_files`` reads.

What is written is what ``torch.save`` writes for nested dicts of plain values and CPU tensors,
with nothing in it that ``torch.load(weights_only=True)`` refuses.  Equal contents give equal bytes.
"""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from alrl_jax.utils.files import atomic_write

ROOT = "archive"
ALIGNMENT = 64
"""Bytes at whose multiples storages begin, as PyTorch lays them out for mapped memory."""

_LOCAL_HEADER_BYTES = 30
_PADDING_TAG = b"FB"
_STORAGE_TYPES = {
    np.dtype("<f4"): "FloatStorage",
    np.dtype("<f2"): "HalfStorage",
    np.dtype("<f8"): "DoubleStorage",
    np.dtype("<i8"): "LongStorage",
}
_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write_torch_zip(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint, whole or not at all; an older file of that name is replaced.

    Args:
        path: the file, in a directory that exists.
        content: nested dicts, lists and tuples of arrays (float16, float32, float64, int64), text,
            numbers, booleans and None.

    Raises:
        TypeError: if there is something else in it.
    """
    emitter = _Emitter()
    description = b"\x80\x02" + emitter.emit(content) + b"."
    members = {
        "data.pkl": description,
        "byteorder": b"little",
        **{f"data/{key}": array.tobytes() for key, array in enumerate(emitter.storages)},
        "version": b"3\n",
    }
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as file,
        zipfile.ZipFile(file, "w") as archive,
    ):
        for name, data in members.items():
            _add(archive, file, f"{ROOT}/{name}", data)


def _add(archive: zipfile.ZipFile, file: BinaryIO, name: str, data: bytes) -> None:
    """Adds a member, uncompressed; a field of padding in its header aligns what follows."""
    member = zipfile.ZipInfo(name)  # of a fixed time, so that the bytes depend on the content alone
    tag_bytes = len(_PADDING_TAG) + 2
    start = file.tell() + _LOCAL_HEADER_BYTES + len(name) + tag_bytes
    padding = -start % ALIGNMENT
    member.extra = _PADDING_TAG + struct.pack("<H", padding) + bytes(padding)
    archive.writestr(member, data)


class _Emitter:
    """Emits pickle instructions of protocol 2 and collects the storages that they refer to."""

    def __init__(self) -> None:
        self.storages: list[np.ndarray] = []

    def emit(self, value: Any) -> bytes:
        """The instructions that leave ``value`` on the stack."""
        match value:
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                return _whole_number(value)
            case float():
                return b"G" + struct.pack(">d", value)
            case str():
                text = value.encode()
                return b"X" + struct.pack("<I", len(text)) + text
            case tuple():
                return b"(" + b"".join(map(self.emit, value)) + b"t"
            case list():
                return b"](" + b"".join(map(self.emit, value)) + b"e"
            case Mapping():
                items = b"".join(self.emit(k) + self.emit(v) for k, v in value.items())
                return b"}(" + items + b"u"
            case np.ndarray():
                return self._tensor(value)
        raise TypeError(f"got a {type(value).__name__}; expected plain values and arrays")

    def _tensor(self, value: np.ndarray) -> bytes:
        """A tensor that is the whole of a storage of its own."""
        kind = _STORAGE_TYPES.get(value.dtype)
        if kind is None:
            raise TypeError(f"got an array of {value.dtype}; expected {list(_STORAGE_TYPES)}")
        value = np.asarray(value, order="C")
        key = str(len(self.storages))
        self.storages.append(value)
        reference = (
            b"("
            + self.emit("storage")
            + f"ctorch\n{kind}\n".encode()
            + b"".join(map(self.emit, (key, "cpu", value.size)))
            + b"tQ"
        )
        strides = tuple(step // value.itemsize for step in value.strides)
        view = b"".join(map(self.emit, (0, value.shape, strides, False)))
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + view + _ORDERED_DICT + b"tR"


def _whole_number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + struct.pack("B", len(data)) + data
