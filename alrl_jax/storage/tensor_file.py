"""Reads safetensors files that may come from strangers: the header is checked before anything else.

A file is eight bytes, the length of a JSON header, the header, and the numbers. One file is opened
once: its hash and its arrays are of the same bytes, whoever replaces it meanwhile.
"""

import hashlib
import io
import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.utils.opening import open_regular, parse_json

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}
"""Types of arrays by their names in a file: those that model directories are written with."""
MAX_HEADER_BYTES = 2**26
MAX_TENSORS = 100_000
MAX_NAME = 1000
MAX_DIMENSIONS = 8
_COPY = "copy the directory again"


class Entry(NamedTuple):
    """An array in a file.

    Attributes:
        dtype: of its numbers.
        shape: of the array.
        begin: where its numbers begin, in bytes behind the header.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class TensorFile:
    """An open file whose header is sound: what it promises is there, once and in order.

    Attributes:
        path: of the file.
        entries: its arrays, by name.
    """

    def __init__(self, path: Path, file: io.BufferedReader, size: int) -> None:
        self.path, self._file = path, file
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise self.fault("its header has no sensible length")
        self._begin = 8 + length
        try:
            header = parse_json(file.read(length))
        except ValueError as error:
            raise self.fault(f"its header is no JSON: {error}") from error
        if not isinstance(header, dict):
            raise self.fault("its header is no JSON object")
        header.pop("__metadata__", None)
        if len(header) > MAX_TENSORS:
            raise self.fault(f"{len(header)} arrays; expected at most {MAX_TENSORS}")
        self.entries = {name: self._entry(name, value) for name, value in header.items()}
        self._check_order(size - self._begin)

    def fault(self, what: str) -> UserError:
        """The error about a file that is none of ours."""
        return UserError(f"got {self.path}, no sound safetensors file ({what}); {_COPY}")

    def sha256(self) -> str:
        """Of the whole file, in hexadecimal."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays, as copies in memory: together no larger than the file."""
        if not self.entries or not any(entry.nbytes for entry in self.entries.values()):
            return {n: np.zeros(entry.shape, entry.dtype) for n, entry in self.entries.items()}
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return {name: self._array(data, entry) for name, entry in self.entries.items()}

    def _array(self, data: mmap.mmap, entry: Entry) -> np.ndarray:
        if not entry.nbytes:
            return np.zeros(entry.shape, entry.dtype)
        # A byte of a stranger's file may be neither of the two that a truth value has.
        stored = np.dtype("u1") if entry.dtype == bool else entry.dtype
        count, place = math.prod(entry.shape), self._begin + entry.begin
        values = np.frombuffer(data, stored, count, place).reshape(entry.shape)
        return values != 0 if entry.dtype == bool else values.astype(stored.newbyteorder("="))

    def _entry(self, name: str, value: Any) -> Entry:
        match value:
            case {"dtype": str(kind), "shape": list(shape), "data_offsets": [begin, end]}:
                pass
            case _:
                raise self.fault(f"{name[:80]!r} is no dtype, shape and data_offsets")
        if kind not in DTYPES:
            raise self.fault(f"{name[:80]!r} is of {kind[:20]}; expected {', '.join(DTYPES)}")
        numbers = [*shape, begin, end]
        if not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
            raise self.fault(f"{name[:80]!r} has a shape or a place that is no whole number")
        if not name or len(name) > MAX_NAME or len(shape) > MAX_DIMENSIONS:
            raise self.fault(f"{name[:80]!r} has too long a name or shape")
        entry = Entry(DTYPES[kind], tuple(shape), begin)
        if end - begin != entry.nbytes:
            raise self.fault(f"{name[:80]!r} of shape {shape} has {end - begin} bytes")
        return entry

    def _check_order(self, total: int) -> None:
        """The arrays lie behind each other and fill the file."""
        place = 0
        for name, entry in sorted(self.entries.items(), key=lambda item: item[1].begin):
            if entry.begin != place and entry.nbytes:
                raise self.fault(f"{name[:80]!r} overlaps another array, or leaves a gap")
            place += entry.nbytes
        if place != total:
            raise self.fault(f"{total} bytes of numbers; its arrays have {place}")


@contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """Opens a file and checks its header.

    Raises:
        UserError: no such file, no regular one, or not as the header says.
    """
    try:
        file = open_regular(path)
    except OSError as error:
        raise UserError(
            f"got {path.parent} without readable {path.name} ({error.strerror}); copy it whole"
        ) from error
    with file:
        yield TensorFile(path, file, path_size(file))


def path_size(file: io.BufferedReader) -> int:
    """Bytes of an open file."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
