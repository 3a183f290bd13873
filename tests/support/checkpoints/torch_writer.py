"""Writes ``.pt`` files as PyTorch does, without PyTorch."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.checkpoints.pickle_writer import STORAGE_TYPES, strides


class TorchWriter:
    """Emits the pickle of nested dicts of arrays, and collects their storages."""

    def __init__(self) -> None:
        self.storages: list[bytes] = []

    def pickle(self, value: Any) -> bytes:
        """A whole pickle of protocol 2."""
        return b"\x80\x02" + self.emit(value) + b"."

    def emit(self, value: Any) -> bytes:
        """The instructions that leave ``value`` on the stack."""
        if isinstance(value, dict):
            items = b"".join(self.emit(k) + self.emit(v) for k, v in value.items())
            return b"ccollections\nOrderedDict\n)R(" + items + b"u"
        if isinstance(value, np.ndarray):
            return self.tensor(value)
        if isinstance(value, str):
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.emit, value)) + b"t"
        if isinstance(value, bytes):  # ready-made instructions
            return value
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        assert isinstance(value, int)
        return b"J" + struct.pack("<i", value)

    def namespace(self, values: dict[str, Any]) -> bytes:
        """An ``argparse.Namespace``."""
        return b"cargparse\nNamespace\n)\x81" + self.emit(values) + b"b"

    def tensor(self, value: np.ndarray, **changes: Any) -> bytes:
        """A tensor; ``changes`` replace its offset, size, stride, count or storage type."""
        data = np.ascontiguousarray(value)
        self.storages.append(data.tobytes())
        kind = changes.get("type", STORAGE_TYPES.get(data.dtype.str[1:]))
        storage = self.emit("storage") + b"ctorch\n" + str(kind).encode() + b"\n"
        storage += self.emit(str(len(self.storages) - 1)) + self.emit("cpu")
        storage = b"(" + storage + self.emit(changes.get("count", data.size)) + b"tQ"
        arguments = [
            storage,
            self.emit(changes.get("offset", 0)),
            self.emit(tuple(changes.get("size", value.shape))),
            self.emit(tuple(changes.get("stride", strides(value.shape)))),
            b"\x89ccollections\nOrderedDict\n)R",
        ]
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + b"".join(arguments) + b"tR"

    def save(self, path: Path, pickle: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
        """Writes the archive around a pickle."""
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("archive/data.pkl", pickle)
            archive.writestr("archive/byteorder", "little")
            for key, data in enumerate(self.storages):
                archive.writestr(f"archive/data/{key}", data)
            archive.writestr("archive/version", "3\n")
        return path


def save_torch(path: Path, value: Any) -> Path:
    """Writes nested dicts of arrays."""
    writer = TorchWriter()
    return writer.save(path, writer.pickle(value))
