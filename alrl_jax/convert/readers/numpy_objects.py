"""What pickles of NumPy are made of, read as data: types, scalars and arrays of plain numbers."""

import math
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError
from alrl_jax.convert.readers.inert_pickle import Global, Unbuilt
from alrl_jax.convert.readers.torch_objects import whole_numbers

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(name)
    for name in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
}
"""Types that an array may have.  No objects: these would be pickles again."""

_BYTE_ORDERS = ("<", "|", ">", "=")


class _UnbuiltDtype(Unbuilt):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def build(self, state: Any) -> np.dtype:
        """State: version, byte order, and what only structured types have."""
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        if order not in _BYTE_ORDERS or any(field is not None for field in state[2:5]):
            raise CheckpointError(f"damaged: the state of type {self.name!r}")
        return DTYPES[self.name].newbyteorder(order)


class _UnbuiltArray(Unbuilt):
    def build(self, state: Any) -> np.ndarray:
        """State: version, shape, type, whether column-major, and the bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise CheckpointError("damaged: the state of an array")
        _, shape, dtype, column_major, data = state
        return _view(data, dtype, shape, "F" if column_major else "C")


def _view(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    shape = whole_numbers(shape)
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray | memoryview):
        raise CheckpointError("an array holds something else than numbers")
    if math.prod(shape) * dtype.itemsize != len(data) or order not in ("C", "F"):
        raise CheckpointError(f"an array of shape {list(shape)} has {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _make_dtype(name: Any, *flags: Any) -> _UnbuiltDtype:
    if not isinstance(name, str) or name not in DTYPES or len(flags) > 2:
        raise CheckpointError("an array holds something else than numbers")
    return _UnbuiltDtype(name)


def _make_scalar(dtype: Any, data: Any) -> int | float | bool:
    return _view(data, dtype, (), "C").item()


def _make_array(kind: Any, shape: Any, code: Any) -> _UnbuiltArray:
    return _UnbuiltArray()


def _make_from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _view(data, dtype, shape, order)


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes as protocols below 3 keep them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise CheckpointError("damaged: bytes that are not latin1 text")
    return text.encode("latin1")


_MAKERS = {
    "multiarray scalar": _make_scalar,
    "multiarray _reconstruct": _make_array,
    "numeric _frombuffer": _make_from_buffer,
}

NUMPY_NAMES: dict[str, Global] = {
    "numpy dtype": Global("numpy dtype", _make_dtype),
    "numpy ndarray": Global("numpy ndarray"),
    "_codecs encode": Global("_codecs encode", _encode),
    **{
        f"numpy.{core}.{name}": Global(f"numpy.{core}.{name}", make)
        for core in ("core", "_core")
        for name, make in _MAKERS.items()
    },
}
"""Names of NumPy 1 and of NumPy 2."""
