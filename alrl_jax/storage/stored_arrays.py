"""Arrays of a model as its weights file stores them: whole, in half precision, or in 8 bits.

Weights stored in 8 bits have their scales beside them, under their name and ``:scale``.
"""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from alrl_jax.errors import UserError
from alrl_jax.storage.tensor_file import Entry, TensorFile

PyTree = Any

_SCALE = ":scale"
_LEAST_IN_8_BITS = 2048
"""Values of an array below which 8 bits would save next to nothing."""


def packed(flat: Mapping[str, Any], half: bool, int8: Collection[str]) -> dict[str, np.ndarray]:
    """Arrays as they are stored; see ``save_model``."""
    arrays = {name: np.asarray(value, order="C") for name, value in flat.items()}
    if not (half or int8):
        return arrays
    limit = float(np.finfo(np.float16).max)
    for name, value in list(arrays.items()):
        if value.dtype != np.float32:
            continue
        small = value.ndim < 2 or value.size < _LEAST_IN_8_BITS
        if name.partition("/")[0] in int8 and not small:
            largest = np.abs(value).max(axis=tuple(range(value.ndim - 1)))
            scale = np.maximum(largest, np.finfo(np.float32).tiny) / 127
            arrays[name] = np.rint(value / scale).astype(np.int8)
            arrays[name + _SCALE] = scale.astype(np.float32)
            continue
        if np.abs(value).max(initial=0) > limit:
            raise UserError(f"got {name} beyond +-{limit:g}; expected float16; store with half=0")
        arrays[name] = value.astype(np.float16)
    return arrays


def unpacked(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as networks compute with them: half precision as single, 8 bits by their scales."""
    single = {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in flat.items()}
    return {
        k: v * single[k + _SCALE] if k + _SCALE in single else v
        for k, v in single.items()
        if not k.endswith(_SCALE)
    }


def nested(file: TensorFile, flat: Mapping[str, Any]) -> PyTree:
    """Arrays by network, from names with "/"."""
    names = set(flat)
    for name in names:
        parts = name.split("/")
        if not all(parts) or any("/".join(parts[:i]) in names for i in range(1, len(parts))):
            raise file.fault(f"{name[:80]!r} is no name of an array of a network")
    return traverse_util.unflatten_dict(dict(flat), sep="/")


def computed_shapes(file: TensorFile) -> dict[str, Any]:
    """The arrays of a file as networks compute with them, without their numbers."""
    for name, entry in file.entries.items():
        if not name.endswith(_SCALE):
            continue
        of = file.entries.get(name.removesuffix(_SCALE))
        if of is None or of.dtype != np.int8 or not of.shape or entry.shape != of.shape[-1:]:
            raise file.fault(f"{name[:80]!r} is no scale of an array in 8 bits")
    return {
        name: jax.ShapeDtypeStruct(entry.shape, _computed(entry, name + _SCALE in file.entries))
        for name, entry in file.entries.items()
        if not name.endswith(_SCALE)
    }


def _computed(entry: Entry, scaled: bool) -> Any:
    """The type in which networks compute with an array."""
    return jnp.float32 if scaled or entry.dtype == np.float16 else entry.dtype
