"""Gradient accumulation: rows of a batch go through networks in parts, one after another.

What is kept of a part is what comes out of it; its gradient is found by computing the part again,
and gradients of what all parts share are summed. Losses then read the whole batch, so that an
update is that of the large batch: means over pairs of one kind, and statistics of gates too.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

PyTree = Any
Part = Int[Array, ""] | int


def in_parts(
    function: Callable[..., PyTree], count: int, *rows: PyTree, together: int = 1
) -> PyTree:
    """What a function of rows makes of a batch, a part of its rows at a time.

    Part ``i`` of ``n`` has the rows ``i``, ``i + n``, ``i + 2 n`` and so on, so that each device
    has a share of every part.

    Args:
        function: of the number of the part and its rows; no row may depend on another part's.
        count: number of parts, a divisor of the rows; 1 calls the function as it is.
        rows: trees of arrays with one row for each element of the batch; scalars are the same for
            all.
        together: neighbouring rows that stay side by side.

    Returns:
        What the function would return for all rows. Arrays whose size does not follow the number of
        rows are those of the first part.
    """
    if count == 1:
        return function(0, *rows)
    leaves, structure = jax.tree.flatten(rows)
    split = [leaf if jnp.ndim(leaf) == 0 else _split(leaf, count, together) for leaf in leaves]
    moving = [leaf for leaf in split if jnp.ndim(leaf) > 0]

    # Lists, as ``lower_step`` has them: structs with checked shapes would refuse what describes
    # arrays.
    made: list[Any] = []

    def listed(number: Part, given: list[Array]) -> list[Array]:
        found = function(number, *jax.tree.unflatten(structure, given))
        made.append(jax.tree.structure(found))
        return jax.tree.leaves(found)

    def part(number: Int[Array, ""], own: list[Array]) -> list[Array]:
        own_leaves = iter(own)
        return listed(number, [x if jnp.ndim(x) == 0 else next(own_leaves) for x in leaves])

    whole = jax.eval_shape(lambda given: listed(0, given), leaves)
    # Nothing is shared between a part's first run and its second one in a loop anyway.
    once = jax.checkpoint(part, prevent_cse=False)
    found = jax.lax.map(lambda both: once(*both), (jnp.arange(count), moving))
    joined = [_joined(x, w.shape, together) for x, w in zip(found, whole, strict=True)]
    return jax.tree.unflatten(made[-1], joined)


def _split(rows: Array, count: int, together: int) -> Array:
    """Parts along a new first axis."""
    shape = (rows.shape[0] // (count * together), count, together, *rows.shape[1:])
    parts = jnp.swapaxes(jnp.reshape(rows, shape), 0, 1)
    return parts.reshape(count, -1, *rows.shape[1:])


def _joined(parts: Array, shape: tuple[int, ...], together: int) -> Array:
    """Undoes ``_split`` for what has as many rows as the batch; the first part's of all else."""
    if parts.shape[1:] == shape:
        return parts[0]
    count = parts.shape[0]
    rows = parts.reshape(count, -1, together, *shape[1:])
    return jnp.swapaxes(rows, 0, 1).reshape(shape)
