"""Batches of faces that lie on the devices: the host draws numbers, the devices do the rest.

Faces are held as a data set stores them, images and classes in 8 bits. The draws are those of
``pipeline.make_iterator`` and so are the batches, bit for bit.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8

from alrl_jax.data.flip import POSE_SIGNS, FlipTables, flip_tables
from alrl_jax.data.pipeline import BatchIterator, Draw
from alrl_jax.data.records import Layout, Source
from alrl_jax.data.shard_files import progress_bar
from alrl_jax.types import FaceBatch, PairBatch

Columns = dict[str, Any]
"""Fields of all faces by name: arrays ``[n]`` or ``[n, k]``."""

READ_AT_ONCE = 256


class DeviceBatches:
    """Batches in two halves: draws, which the host iterates over, and faces to draw from.

    Draws are NumPy arrays by name. ``expand`` makes a batch of them, and can be traced.
    """

    def __init__(self, source: Source, draws: BatchIterator[Draw], progress: bool = True) -> None:
        """Takes over the draws.

        Args:
            source: the faces that they are drawn from.
            draws: of ``make_draws`` for that source.
            progress: whether to draw a progress bar while faces are read.
        """
        self._source, self._draws, self._progress = source, draws, progress
        self._expand = expander(source.layout)

    def __next__(self) -> Draw:
        """The next draw: numbers as int32, mirrors as bool."""
        drawn = next(self._draws)
        return {
            name: values if values.dtype == bool else values.astype(np.int32)
            for name, values in drawn.items()
        }

    def get_state(self) -> dict[str, Any]:
        """The number of the next global batch, as an iterator that reads its batches says it."""
        return self._draws.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where ``get_state`` once was; UserError if the data have other sizes."""
        self._draws.set_state(state)

    def close(self) -> None:
        """Ends the thread that draws ahead."""
        self._draws.close()

    def bytes_held(self) -> int:
        """What ``columns`` takes, in bytes."""
        return len(self._source) * self._source.layout.dtype.itemsize

    def columns(self) -> Columns:
        """Reads all faces.

        Rows are flat: a TPU pads the last axis of an array, and one of three colours most of all.
        """
        count, dtype = len(self._source), self._source.layout.dtype
        columns = {name: _empty_column(count, dtype[name]) for name in dtype.names or ()}
        with progress_bar(count, "reading all faces", self._progress) as bar:
            for start in range(0, count, READ_AT_ONCE):
                numbers = np.arange(start, min(start + READ_AT_ONCE, count))
                records = self._source.read(numbers)
                for name, column in columns.items():
                    column[numbers] = records[name].reshape(len(numbers), *column.shape[1:])
                bar.update(len(numbers))
        return columns

    def expand(self, columns: Columns, drawn: dict[str, Array]) -> FaceBatch | PairBatch:
        """The batch of a draw; see ``expander``."""
        return self._expand(columns, drawn)


def _empty_column(count: int, dtype: np.dtype) -> np.ndarray:
    base, shape = dtype.subdtype or (dtype, ())
    return np.empty((count, int(np.prod(shape))) if shape else (count,), base)


def expander(
    layout: Layout,
) -> Callable[[Columns, dict[str, Array]], FaceBatch | PairBatch]:
    """What makes batches of draws: it gathers, mirrors and converts, and can be traced.

    Args:
        layout: of the faces.

    Returns:
        A function of the columns and of a draw ``[b]``: ``PairBatch`` where the draw has a source.
    """
    tables = flip_tables(layout)

    def faces(columns: Columns, drawn: dict[str, Array], role: str = "") -> FaceBatch:
        index, flip = drawn[f"{role}index"], drawn[f"{role}flip"]
        return _faces(layout, tables, columns, index, flip)

    def expand(columns: Columns, drawn: dict[str, Array]) -> FaceBatch | PairBatch:
        target = faces(columns, drawn)
        if "source_index" not in drawn:
            return target
        source = faces(columns, drawn, "source_")
        witness = faces(columns, drawn, "witness_").image if "witness_index" in drawn else None
        same = source.identity == target.identity
        return PairBatch(source, target, same, witness=witness)

    return expand


def _faces(
    layout: Layout,
    tables: FlipTables,
    columns: Columns,
    index: Int[Array, " b"],
    flip: Bool[Array, " b"],
) -> FaceBatch:
    """What ``flip_records`` and ``to_batch`` do, in the same arithmetic."""
    n = len(index)
    fields: dict[str, Array] = {}
    for name in layout.dtype.names or ():
        shape = (layout.dtype[name].subdtype or (None, ()))[1]
        gathered = jnp.take(columns[name], index, axis=0, mode="clip")
        fields[name] = gathered.reshape(n, *shape)
    image, parsing, points = fields["image"], fields["parsing"], fields["landmarks"]
    known = flip & fields["labelled"]  # elsewhere zeros stand for "unknown" and stay zeros
    image = jnp.where(_as_wide(flip, image), image[:, :, ::-1], image)
    mirrored = _mirrored_classes(parsing[:, :, ::-1], tables)
    parsing = jnp.where(_as_wide(flip, parsing), mirrored, parsing)
    signs = jnp.where(flip[:, None], tables.attribute_signs, np.float32(1))
    person_signs = jnp.where(flip[:, None], tables.identity_signs, np.float32(1))
    points_there = points[:, tables.landmarks]
    points_there = points_there.at[..., 0].set(layout.resolution - points_there[..., 0])
    return FaceBatch(
        **fields
        | {
            "image": _to_float(image),
            "parsing": parsing.astype(jnp.int32),
            "attribute_factors": fields["attribute_factors"] * signs,
            "identity_factors": fields["identity_factors"] * person_signs,
            "pose_degrees": fields["pose_degrees"]
            * jnp.where(known[:, None], POSE_SIGNS, np.float32(1)),
            "landmarks": jnp.where(_as_wide(known, points), points_there, points),
        }
    )


def _as_wide(rows: Bool[Array, " b"], values: Array) -> Array:
    return rows.reshape(-1, *[1] * (values.ndim - 1))


def _mirrored_classes(parsing: UInt8[Array, "b h w"], tables: FlipTables) -> UInt8[Array, "b h w"]:
    """The table as comparisons: few classes change, and looking up single pixels is slow."""
    mirrored = parsing
    for number in np.flatnonzero(tables.parsing != np.arange(256)):
        mirrored = jnp.where(parsing == np.uint8(number), tables.parsing[number], mirrored)
    return mirrored


_SCALE = np.float32(1 / 127.5)
_SCALE_HIGH = (_SCALE.view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)
_SCALE_LOW = _SCALE - _SCALE_HIGH


def _to_float(image: UInt8[Array, "b h w 3"]) -> Array:
    """``records.to_float`` to the last bit, although compilers round a product and a sum once.

    Either half of the scale has so few bits that its product with 8 bits is exact. Then the product
    with the scale is rounded once, in their sum, and the difference once more, as NumPy does.
    """
    values = image.astype(jnp.float32)
    return (values * _SCALE_HIGH + values * _SCALE_LOW) - np.float32(1)
