"""Networks as checkpoints hold them: tensors by name, and what the file says beside them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError, shown

MAX_DEPTH = 8
MAX_TENSORS = 10_000
MAX_NAME = 200
MAX_ITEMS = 1000
"""Entries of a dict inside a network; a module may be met many times over."""

OPTIONS = "opts"
"""Where a checkpoint keeps the options that its networks were trained with."""

INIT_KWARGS = "init_kwargs"
"""Where a checkpoint keeps the arguments that built its networks, if these are bare tensors."""

STATE_VERSION = "version"
"""Where the settings of a network that was pickled whole keep the version of its project's code."""

Tensors = dict[str, np.ndarray]
Settings = dict[str, dict[str, Any]]
"""Plain values by module, "" for the network itself, and name."""


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of a checkpoint.

    Attributes:
        tensors: by the checkpoint's own names.
        settings: plain values of its modules, which say what no shape says.
    """

    tensors: Tensors
    settings: Settings = dataclasses.field(default_factory=dict)

    def add(self, name: str, tensor: np.ndarray) -> None:
        """Adds a tensor.

        Raises:
            CheckpointError: if there are too many, or two of a name.
        """
        if name in self.tensors:
            raise CheckpointError(f"it holds two tensors '{shown(name)}'")
        if len(self.tensors) >= MAX_TENSORS or len(name) > MAX_NAME:
            raise CheckpointError(f"a network of more than {MAX_TENSORS} tensors")
        self.tensors[name] = tensor


def join_names(separator: str, *parts: str) -> str:
    """A name inside a module; the parts that are empty do not count."""
    return separator.join(part for part in parts if part)


def text_keys(value: Any, what: str) -> Mapping[str, Any]:
    """A dict whose keys are text.

    Raises:
        CheckpointError: if it is something else.
    """
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise CheckpointError(f"damaged: {what}")
    if not all(isinstance(key, str) for key in value):
        raise CheckpointError(f"damaged: {what}")
    return value


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are numbers, text, flags or nothing."""
    kinds = (int, float, str, bool, type(None))
    return {name: value for name, value in values.items() if isinstance(value, kinds)}
