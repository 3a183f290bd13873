"""Two batches as one: what both faces of a pair go through is compiled and run once."""

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def interleave(first: PyTree, second: PyTree) -> PyTree:
    """Two batches as one, row by row, so that each device keeps its own rows of both."""
    return jax.tree.map(
        lambda a, b: jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:]), first, second
    )


def separate(tree: PyTree) -> tuple[PyTree, PyTree]:
    """Undoes ``interleave``."""
    rows = lambda x: x.reshape(-1, 2, *x.shape[1:])  # noqa: E731
    return jax.tree.map(lambda x: rows(x)[:, 0], tree), jax.tree.map(lambda x: rows(x)[:, 1], tree)
