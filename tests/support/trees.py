"""PyTorch's tensors in our trees, by the tables that the converter uses."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from alrl_jax.convert.families.stylegan2 import rules


def make_tree(
    tensors: Mapping[str, np.ndarray],
    table: rules.Rules,
    depth: int = 0,
    resolution: int = 32,
    conditional: bool = False,
) -> dict[str, Any]:
    """Variables of a network; every tensor has a place."""
    rows = rules.expand(table, resolution, depth, conditional)
    assert set(rows) == set(tensors)
    placed = {
        path: np.asarray(rules.LAYOUTS[layout].convert(tensors[name]), order="C")
        for name, (path, layout) in rows.items()
        if path is not None
    }
    return traverse_util.unflatten_dict(placed, sep="/")


def random_tree(shapes: Any) -> Any:
    """Variables of these shapes, every number drawn, no bias or noise left at 0."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes)


def oihw(kernel: Any) -> np.ndarray:
    """One of our kernels as PyTorch keeps it."""
    return np.asarray(kernel).transpose(3, 2, 0, 1)
