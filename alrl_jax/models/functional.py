"""Linen modules as pure functions."""

from typing import Any

import flax.linen as nn


def apply(module: nn.Module, variables: Any, *arguments: Any, method: str | None = None) -> Any:
    """What a module makes of its arguments; no variable changes.

    Args:
        module: the network, without weights.
        variables: its weights.
        arguments: of the method.
        method: name of a method other than ``__call__``.
    """
    return module.apply(variables, *arguments, method=method)
