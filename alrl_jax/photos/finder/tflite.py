"""Reading the networks of ``.tflite`` files: their tensors, and the list of their operators.

Nothing of the file is run: the tensors become arrays, and the operators, of a closed list of kinds,
rows that ``models.published.operators`` knows. Constants that the file keeps in half precision, and
its DEQUANTIZE operators widen, are widened here.

Source: FlatBuffers' binary format, and TensorFlow Lite's published schema (version 3), from which
the numbers of fields, types and operators are taken.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from alrl_jax.models.published.operators import Network, Operator

MAGIC = b"TFL3"
LARGEST = 64 * 2**20
"""Bytes of the largest file that is read; the networks for faces have at most 3 MB."""
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}
"""Of tensors, by the schema's number."""
PADDINGS = ("SAME", "VALID")
ACTIVATIONS = {0: "", 1: "relu", 3: "relu6"}
DEQUANTIZE = 6

# Of an operator's options: name -> (field, format of ``struct``, value where it is left out).
_WINDOW = {"padding": (0, "b", 0), "stride_x": (1, "i", 0), "stride_y": (2, "i", 0)}
_Fields = Mapping[str, tuple[int, str, int]]
KINDS: dict[int, tuple[str, _Fields]] = {
    0: ("add", {"activation": (0, "b", 0)}),
    2: ("concatenate", {"axis": (0, "i", 0), "activation": (1, "b", 0)}),
    3: ("convolve", {**_WINDOW, "activation": (3, "b", 0)}),
    4: ("convolve_depthwise", {**_WINDOW, "activation": (4, "b", 0)}),
    17: (
        "max_pool",
        {**_WINDOW, "width": (3, "i", 0), "height": (4, "i", 0), "activation": (5, "b", 0)},
    ),
    19: ("relu", {}),
    22: ("reshape", {}),
    23: ("resize_bilinear", {"align_corners": (2, "b", 0), "half_pixels": (3, "b", 0)}),
    34: ("pad", {}),
    54: ("prelu", {}),
}
"""What operators are called here and what they read of their options, by the schema's number."""
_DILATIONS = {3: (4, 5), 4: (5, 6)}
"""Fields of the dilations of convolutions, of which only 1 is known."""


class NotReadableError(ValueError):
    """A file that is no network that can be read; the message says why, in a few words."""


class _Table:
    """A table of a FlatBuffers file."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place

    def _field(self, number: int) -> int:
        """Where a field lies; 0 where the table leaves it out."""
        fields = self._place - self._at("i", self._place)
        size = self._at("H", fields)
        offset = self._at("H", fields + 4 + 2 * number) if 4 + 2 * number < size else 0
        return self._place + offset if offset else 0

    def _at(self, form: str, place: int) -> int:
        if place < 0:
            raise NotReadableError("places outside of it")
        return struct.unpack_from(f"<{form}", self._data, place)[0]

    def number(self, field: int, form: str, default: int = 0) -> int:
        """A number, in a format of ``struct``."""
        place = self._field(field)
        return self._at(form, place) if place else default

    def table(self, field: int) -> "_Table | None":
        """A table inside of this one; None where it is left out."""
        place = self._field(field)
        return _Table(self._data, place + self._at("I", place)) if place else None

    def _vector(self, field: int) -> tuple[int, int]:
        """Number of values of a vector, and where they begin."""
        place = self._field(field)
        if not place:
            return 0, 0
        place += self._at("I", place)
        return self._at("I", place), place + 4

    def tables(self, field: int) -> list["_Table"]:
        """A vector of tables."""
        count, place = self._vector(field)
        if 4 * count > len(self._data):
            raise NotReadableError("more tables than bytes")
        places = range(place, place + 4 * count, 4)
        return [_Table(self._data, p + self._at("I", p)) for p in places]

    def array(self, field: int, dtype: Any) -> Shaped[np.ndarray, " n"]:
        """A vector of numbers."""
        count, place = self._vector(field)
        return np.frombuffer(self._data, np.dtype(dtype).newbyteorder("<"), count, place)


def read_network(path: Path) -> Network:
    """Reads the one network of a ``.tflite`` file.

    Returns:
        Its operators in the order in which they run, and its constants by name.

    Raises:
        NotReadableError: another kind of file, a damaged one, or a network with operators that are
            not known.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise NotReadableError(f"more than {LARGEST} bytes")
    data = path.read_bytes()
    if data[4:8] != MAGIC:
        raise NotReadableError("no TensorFlow Lite file")
    try:
        return _network(_Table(data, struct.unpack_from("<I", data)[0]))
    except NotReadableError:
        raise
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise NotReadableError(f"damaged: {type(error).__name__}: {error}") from error


def _network(model: _Table) -> Network:
    # Numbers above 127 stand in a field of their own, which older files lack.
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    (graph,) = model.tables(2)
    tensors, buffers = graph.tables(0), model.tables(4)
    constants = {
        str(i): array
        for i, tensor in enumerate(tensors)
        if (array := _constant(tensor, buffers)) is not None
    }
    rows = []
    for operator in graph.tables(3):
        code = codes[operator.number(0, "I")]
        inputs, outputs = (operator.array(k, "i4").tolist() for k in (1, 2))
        if code == DEQUANTIZE:
            constants[str(outputs[0])] = constants.pop(str(inputs[0])).astype(np.float32)
        else:
            rows.append(_operator(code, operator, inputs, outputs, tensors))
    used = {name for row in rows for name in row.inputs}
    shape = tensors[graph.array(1, "i4")[0]].array(0, "i4").tolist()
    return Network(
        input=str(graph.array(1, "i4")[0]),
        side=int(shape[1]),
        outputs=tuple(str(i) for i in graph.array(2, "i4")),
        operators=tuple(rows),
        constants={name: array for name, array in constants.items() if name in used},
    )


def _constant(tensor: _Table, buffers: list[_Table]) -> Shaped[np.ndarray, "..."] | None:
    """The values of a tensor; None of one that is computed."""
    data = buffers[tensor.number(2, "I")].array(0, "u1")
    if not len(data):
        return None
    if tensor.table(6) is not None:
        raise NotReadableError("it has sparse tensors, which are not known")
    dtype = DTYPES.get(tensor.number(1, "b"))
    if dtype is None:
        raise NotReadableError("it has tensors of a type that is not known (quantized ones?)")
    return data.view(np.dtype(dtype).newbyteorder("<")).reshape(tensor.array(0, "i4")).astype(dtype)


def _operator(
    code: int, table: _Table, inputs: list[int], outputs: list[int], tensors: list[_Table]
) -> Operator:
    if code not in KINDS:
        raise NotReadableError(f"it has an operator of number {code}, which is not known")
    name, fields = KINDS[code]
    given = table.table(4)
    options: dict[str, Any] = {
        key: given.number(field, form, default) if given else default
        for key, (field, form, default) in fields.items()
    }
    if "padding" in options:
        options["padding"] = PADDINGS[options["padding"]]
    if "activation" in options:
        options["activation"] = ACTIVATIONS[options["activation"]]
    if given and any(given.number(field, "i", 1) != 1 for field in _DILATIONS.get(code, ())):
        raise NotReadableError("it has dilated convolutions, which are not known")
    shape = tensors[outputs[0]].array(0, "i4").tolist()
    if name in ("reshape", "resize_bilinear"):
        options["shape"] = tuple(shape[1:])
        inputs = inputs[:1]
    return Operator(
        name, tuple(str(i) for i in inputs), str(outputs[0]), tuple(sorted(options.items()))
    )


def as_weights(network: Network) -> dict[str, Float[np.ndarray, "..."]]:
    """The constants that a device gets; what only shapes the program (paddings) is left out."""
    return {k: v for k, v in network.constants.items() if v.dtype == np.float32}
