"""Rules of networks whose modules bear the names of the published ones.

Of these a table of rules would repeat our variables name by name, so it is made of them instead.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flax import traverse_util

from alrl_jax.convert.rules import Row, Table
from alrl_jax.convert.shapes import Config

NAMES: Mapping[tuple[str, str, int], tuple[str, str]] = {
    ("params", "kernel", 4): ("weight", "conv"),
    ("params", "kernel", 2): ("weight", "dense"),
    ("params", "scale", 1): ("weight", "same"),
    ("params", "bias", 1): ("bias", "same"),
    ("batch_stats", "mean", 1): ("running_mean", "same"),
    ("batch_stats", "var", 1): ("running_var", "same"),
}
"""Collection, name and axes of a variable of ours: PyTorch's name for it, and its layout."""


def same_names(
    shapes: Callable[[Config], Any], unused: Table | None = None
) -> Callable[[Config], dict[str, Row]]:
    """A function that gives the rows of a network, from its architecture.

    Args:
        shapes: the shapes of our variables, from the architecture.
        unused: rows of tensors that the published network has and ours does without.
    """

    def rows(config: Config) -> dict[str, Row]:
        found: dict[str, Row] = {}
        variables: dict[str, Any] = traverse_util.flatten_dict(shapes(config), sep="/")
        for path, leaf in variables.items():
            collection, *modules, name = path.split("/")
            source, layout = NAMES[collection, name, len(leaf.shape)]
            module = ".".join(modules)
            found[f"{module}.{source}"] = (path, layout)
            if collection == "batch_stats":
                found[f"{module}.num_batches_tracked"] = (None, "scalar")
        return found | dict(unused or {})

    return rows
