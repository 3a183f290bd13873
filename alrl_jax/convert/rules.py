"""How a rule is read and applied: which tensor of a file becomes which array of ours, laid out how.

A row of a table is ``name in the file: (path of ours, layout)``; a path of None stands for a tensor
that is checked or left out.  Names may hold placeholders such as {i}, which ``fill`` replaces.  A
layout is named by a key of the table of layouts that the family's ``Format`` brings along.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from alrl_jax.errors import UserError

Row = tuple[str | None, str]
Table = Mapping[str, Row]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a tensor of a file becomes one of our arrays.

    Attributes:
        axes: number of axes of the tensor.
        convert: rearranges the tensor.
        invert: undoes ``convert``; None where nothing is exported in this layout.
        constant: what the tensor must be, where it is only checked.
        meaning: what the constant is, for messages.
    """

    axes: int
    convert: Callable[[np.ndarray], np.ndarray]
    invert: Callable[[np.ndarray], np.ndarray] | None = None
    constant: np.ndarray | None = None
    meaning: str = "a constant"


def same(x: np.ndarray) -> np.ndarray:
    """The tensor as it is."""
    return x


def conv(x: np.ndarray) -> np.ndarray:
    """PyTorch's kernel [out, in, height, width] as ours, [height, width, in, out]."""
    return x.transpose(2, 3, 1, 0)


def unconv(x: np.ndarray) -> np.ndarray:
    """Our kernel [height, width, in, out] as PyTorch's, [out, in, height, width]."""
    return x.transpose(3, 2, 0, 1)


def dense_on_maps(x: np.ndarray, side: int) -> np.ndarray:
    """A dense layer that reads flattened maps, from PyTorch's order of its inputs to ours.

    PyTorch flattens maps [channel, row, column], so these are the columns of its weight in that
    order; our maps are [row, column, channel].

    Args:
        x: [out, channels * side * side].
        side: of the maps in pixels.

    Returns:
        [side * side * channels, out].
    """
    # Columns that no map gives are passed on as they are: their shape is refused later, by name.
    fits = x.shape[1] % side**2 == 0
    maps = x.reshape(x.shape[0], -1, side, side) if fits else x[..., None, None]
    return conv(maps).reshape(-1, x.shape[0])


def on_maps(side: int) -> Layout:
    """The layout of a dense layer that reads maps of that side, see ``dense_on_maps``."""

    def invert(x: np.ndarray) -> np.ndarray:
        return unconv(x.reshape(side, side, -1, x.shape[1])).reshape(x.shape[1], -1)

    return Layout(2, lambda x: dense_on_maps(x, side), invert)


LAYOUTS: Mapping[str, Layout] = {
    "same": Layout(1, same, same),
    "scalar": Layout(0, same, same),
    "dense": Layout(2, np.transpose, np.transpose),
    "conv": Layout(4, conv, unconv),
}
"""Layouts of plain PyTorch; families that need others add them to a table of their own."""

COUNTERS = r"(.*\.)?num_batches_tracked"
"""Tensors of normalisations that older PyTorch does not write; no network computes with them."""


def fill(table: Table, numbers: Mapping[str, object]) -> dict[str, Row]:
    """The rows of a table with numbers for its placeholders."""
    return {
        source.format(**numbers): (
            None if path is None else path.format(**numbers),
            layout.format(**numbers),
        )
        for source, (path, layout) in table.items()
    }


def lay_out(name: str, tensor: np.ndarray, layout: Layout) -> np.ndarray:
    """A tensor as our array.

    Args:
        name: of the tensor, for messages.
        tensor: as the file holds it.
        layout: how it is rearranged.

    Returns:
        float32, contiguous.

    Raises:
        UserError: if it has another number of axes, does not hold finite real numbers, or is
            another constant than it must be.
    """
    number = tensor.dtype.kind in "fiu" or tensor.dtype == jnp.bfloat16
    if tensor.ndim != layout.axes or not number:
        raise UserError(
            f"got {name} of shape {list(tensor.shape)} and type {tensor.dtype}; expected "
            f"{layout.axes} axes of real numbers; is it damaged?"
        )
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, refused below
        value = np.array(layout.convert(tensor), np.float32, order="C")
    if not np.isfinite(value).all():
        raise UserError(f"got {name} with NaN or infinite values; expected numbers; is it damaged?")
    if layout.constant is not None and (
        value.shape != layout.constant.shape or not np.allclose(value, layout.constant, atol=1e-6)
    ):
        raise UserError(
            f"got other numbers in {name}; expected {layout.meaning}; it is unsupported"
        )
    return value
