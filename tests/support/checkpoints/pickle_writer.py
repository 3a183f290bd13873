"""Writes the pickles of libraries that are not there: names stand for the objects they name."""

import dataclasses
import io
import math
import pickle
from typing import Any

import numpy as np

STORAGE_TYPES = {
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "f8": "DoubleStorage",
    "i8": "LongStorage",
}
"""PyTorch's storages by NumPy's names of their numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Named:
    """A global name."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """An object that a pickle makes: a call, then items, then a state.

    Attributes:
        function: what is called.
        arguments: with what.
        state: what BUILD sets, None without.
        new: whether it is a class (NEWOBJ) rather than a function (REDUCE).
    """

    function: Named
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[str, Any] = dataclasses.field(default_factory=dict)
    new: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """A persistent id."""

    identifier: tuple[Any, ...]


class _Pickler(pickle._Pickler):  # pyright: ignore[reportAttributeAccessIssue]
    dispatch = dict(pickle._Pickler.dispatch)  # pyright: ignore[reportAttributeAccessIssue]

    def persistent_id(self, obj: Any) -> Any:
        return obj.identifier if isinstance(obj, Reference) else None

    def save_named(self, obj: Named) -> None:
        if self.proto >= 4:
            self.save(obj.module)
            self.save(obj.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_call(self, obj: Call) -> None:
        self.save(obj.function)
        self.save(obj.arguments)
        self.write(pickle.NEWOBJ if obj.new else pickle.REDUCE)
        self.memoize(obj)
        for key, value in obj.items.items():
            self.save(key)
            self.save(value)
            self.write(pickle.SETITEM)
        if obj.state is not None:
            self.save(obj.state)
            self.write(pickle.BUILD)

    dispatch[Named] = save_named
    dispatch[Call] = save_call


def dump(value: Any, protocol: int) -> bytes:
    """Pickles plain values and the objects above."""
    stream = io.BytesIO()
    _Pickler(stream, protocol).dump(value)
    return stream.getvalue()


class NumpyWriter:
    """NumPy's objects under the names of one version.

    Attributes:
        core: ``core`` or ``_core``.
    """

    def __init__(self, core: str) -> None:
        self.core = f"numpy.{core}.multiarray"

    def dtype(self, dtype: np.dtype) -> Call:
        """A type of plain numbers."""
        order = "|" if dtype.itemsize == 1 else "<"
        state = (3, order, None, None, None, -1, -1, 0)
        return Call(Named("numpy", "dtype"), (dtype.str[1:], False, True), state)

    def scalar(self, value: float) -> Call:
        """A float64."""
        data = np.float64(value)
        return Call(Named(self.core, "scalar"), (self.dtype(data.dtype), data.tobytes()))

    def array(self, value: np.ndarray) -> Call:
        """An array."""
        state = (1, value.shape, self.dtype(value.dtype), False, value.tobytes())
        arguments = (Named("numpy", "ndarray"), (0,), b"b")
        return Call(Named(self.core, "_reconstruct"), arguments, state)


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a contiguous tensor, in elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
