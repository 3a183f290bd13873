"""What pickles of PyTorch are made of, without PyTorch: storages, and tensors that view them."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from alrl_jax.convert.faults import CheckpointError
from alrl_jax.convert.readers.inert_objects import INERT_NAMES
from alrl_jax.convert.readers.inert_pickle import Global, Opaque, Unbuilt, check_key

MAX_AXES = 8
MAX_EXTENT = 2**48


@dataclasses.dataclass(frozen=True)
class Storage:
    """The numbers that tensors are views of."""

    values: np.ndarray


STORAGE_TYPES: dict[str, np.dtype] = {
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


def storage_dtype(kind: str) -> np.dtype:
    """The type of the numbers in a storage.

    Raises:
        CheckpointError: if ``kind`` is no storage of plain numbers.
    """
    if kind not in STORAGE_TYPES:
        raise CheckpointError(f"a storage is of type {kind!r}")
    return STORAGE_TYPES[kind]


def whole_numbers(values: Any) -> tuple[int, ...]:
    """A shape or strides, checked.

    Raises:
        CheckpointError: if it is no short tuple of counts.
    """
    if not isinstance(values, tuple) or len(values) > MAX_AXES:
        raise CheckpointError("damaged: the shape of a tensor")
    if not all(type(v) is int and 0 <= v < MAX_EXTENT for v in values):
        raise CheckpointError("damaged: the shape of a tensor")
    return values


def _make_dict(*arguments: Any) -> dict[str | int, Any]:
    """An OrderedDict, empty or from a list of pairs."""
    pairs = arguments[0] if arguments else []
    if len(arguments) > 1 or not isinstance(pairs, list):
        raise CheckpointError("damaged: an OrderedDict of something else than pairs")
    return {check_key(key): value for key, value in pairs}


def _make_set(*arguments: Any) -> set[str | int]:
    items = arguments[0] if arguments else []
    if len(arguments) > 1 or not isinstance(items, list):
        raise CheckpointError("damaged: a set of something else than a list")
    return set(map(check_key, items))


def _make_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> np.ndarray:
    """A view of a storage; the rest (gradients, hooks, metadata) does not matter."""
    size, stride = whole_numbers(size), whole_numbers(stride)
    (offset,) = whole_numbers((offset,))
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(rest) > 3:
        raise CheckpointError("damaged: the description of a tensor")
    values, count = storage.values, math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= values.size or count > values.size):
        raise CheckpointError(
            f"a tensor of shape {list(size)} and strides {list(stride)} reaches beyond its "
            f"storage of {values.size} numbers"
        )
    if not count:
        return np.zeros(size, values.dtype)
    steps = tuple(step * values.itemsize for step in stride)
    # As bytes: bfloat16 is no type that a buffer may have.
    data = values.view(np.uint8).data
    return np.ndarray(size, values.dtype, data, offset * values.itemsize, steps)


class _Namespace(Unbuilt):
    """An ``argparse.Namespace``: the dict of its attributes."""

    def build(self, state: Any) -> Any:
        return state if isinstance(state, dict) else Opaque("argparse Namespace")


def _make_parameter(tensor: Any, *rest: Any) -> np.ndarray:
    if not isinstance(tensor, np.ndarray) or len(rest) > 2:
        raise CheckpointError("damaged: a parameter that is no tensor")
    return tensor


TORCH_NAMES: dict[str, Global] = {
    **INERT_NAMES,
    "collections OrderedDict": Global("collections OrderedDict", _make_dict),
    "builtins set": Global("builtins set", _make_set),
    "__builtin__ set": Global("__builtin__ set", _make_set),
    "torch._utils _rebuild_tensor": Global("torch._utils _rebuild_tensor", _make_tensor),
    "torch._utils _rebuild_tensor_v2": Global("torch._utils _rebuild_tensor_v2", _make_tensor),
    "torch._utils _rebuild_parameter": Global("torch._utils _rebuild_parameter", _make_parameter),
    "argparse Namespace": Global("argparse Namespace", lambda *_: _Namespace()),
    **{name: Global(name) for name in STORAGE_TYPES},
}
"""What a checkpoint of tensors, plain values and options may name."""
