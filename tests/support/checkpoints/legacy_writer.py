"""Writes the stream that PyTorch wrote before 1.6, without PyTorch."""

import collections
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.convert.readers.legacy_files import MAGIC, VERSION
from tests.support.checkpoints.pickle_writer import (
    STORAGE_TYPES,
    Call,
    Named,
    Reference,
    dump,
    strides,
)

MACHINE = {
    "protocol_version": VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


class LegacyWriter:
    """Collects storages, then writes an object and them.

    Attributes:
        storages: the numbers by key.
        counts: what the stream says their numbers are.
        view_metadata: last item of a storage's reference.
    """

    def __init__(self, view_metadata: Any = None) -> None:
        self.storages: dict[str, np.ndarray] = {}
        self.counts: dict[str, int] = {}
        self.view_metadata = view_metadata

    def storage(self, value: np.ndarray, **changes: Any) -> Reference:
        """The numbers of an array; ``changes`` replace its ``count`` or ``type``."""
        data = np.asarray(value, order="C").reshape(-1)
        key = str(94_000_000 + len(self.storages))
        self.storages[key], self.counts[key] = data, data.size
        kind = Named("torch", changes.get("type", STORAGE_TYPES.get(data.dtype.str[1:])))
        count = changes.get("count", data.size)
        return Reference(("storage", kind, key, "cpu", count, self.view_metadata))

    def tensor(self, value: np.ndarray) -> Call:
        """A contiguous tensor."""
        return rebuild(self.storage(value), value.shape)

    def wrap(self, value: Any) -> Any:
        """Nested dicts with tensors for arrays."""
        if isinstance(value, np.ndarray):
            return self.tensor(value)
        if isinstance(value, dict):
            return collections.OrderedDict((k, self.wrap(v)) for k, v in value.items())
        return value

    def stream(self, value: Any, protocol: int = 2) -> bytes:
        """The whole stream."""
        keys = sorted(self.storages)
        parts = [dump(part, protocol) for part in (MAGIC, VERSION, MACHINE, value, keys)]
        for key in keys:
            parts += [self.counts[key].to_bytes(8, "little"), self.storages[key].tobytes()]
        return b"".join(parts)


def rebuild(
    storage: Any,
    shape: tuple[int, ...],
    steps: tuple[int, ...] | None = None,
    offset: int = 0,
) -> Call:
    """A tensor over a storage."""
    steps = strides(shape) if steps is None else steps
    arguments = (storage, offset, tuple(shape), steps, False, collections.OrderedDict())
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)


def save_legacy(path: Path, value: Any) -> Path:
    """Writes nested dicts of arrays and plain values."""
    writer = LegacyWriter()
    path.write_bytes(writer.stream(writer.wrap(value)))
    return path
