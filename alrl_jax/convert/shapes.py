"""Architectures from the shapes of tensors, and the shapes of our variables from architectures."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from alrl_jax.convert.faults import shown
from alrl_jax.convert.networks import Tensors
from alrl_jax.errors import UserError

Config = dict[str, Any]
"""An architecture: plain values that ``model.json`` keeps."""


def shape_of(tensors: Tensors, name: str, axes: int) -> tuple[int, ...]:
    """The shape of a tensor that the architecture is read from.

    Raises:
        UserError: if it is not there, or has another number of axes.
    """
    if name not in tensors:
        raise UserError(f"got a network without {name}; expected it beside the others; see --kind")
    shape = tensors[name].shape
    if len(shape) != axes or 0 in shape:
        raise UserError(
            f"got {name} of shape {list(shape)}; expected {axes} axes, none empty; is it damaged?"
        )
    return shape


def count_numbers(tensors: Iterable[str], pattern: str) -> int:
    """How many different numbers stand at the group of ``pattern``."""
    matches = (re.fullmatch(pattern, name) for name in tensors)
    return len({match.group(1) for match in matches if match})


def check_agrees(said: Mapping[str, Any], derived: Mapping[str, Any]) -> None:
    """Compares what a network says of itself with what its shapes say.

    Raises:
        UserError: if a name stands in both with different values.
    """
    for name, value in derived.items():
        if name in said and not equal(said[name], value):
            raise UserError(
                f"got {name}={shown(said[name])} but tensors that say {value}; expected one "
                "network; is the file damaged?"
            )


def equal(value: Any, other: Any) -> bool:
    """Whether two values of a file are the same; arrays, of which no setting is one, never are."""
    try:
        return bool(value == other)
    except ValueError:  # arrays compare number by number
        return False


def check_dense(tensors: Tensors, name: str, shape: tuple[int, int]) -> None:
    """Checks a dense layer that is not used, but shows whether this is the expected network.

    Args:
        tensors: of the network.
        name: of the layer.
        shape: of its weight, [out, in].

    Raises:
        UserError: if its weight or bias is there and has another shape.
    """
    for leaf, expected in (("weight", shape), ("bias", shape[:1])):
        tensor = tensors.get(f"{name}.{leaf}")
        if tensor is not None and tensor.shape != expected:
            raise UserError(
                f"got {name}.{leaf} of shape {list(tensor.shape)}; expected {list(expected)}; "
                "is it another network?"
            )


def shapes_by(
    build: Callable[[Config], nn.Module], inputs: Callable[[Config], Sequence[tuple[int, ...]]]
) -> Callable[[Config], Any]:
    """A function that gives the shapes of a network's variables, from its architecture.

    Args:
        build: makes the network.
        inputs: shapes of what it is called with.
    """

    @functools.lru_cache(maxsize=8)
    def compute(text: str) -> Any:
        config = json.loads(text)
        arguments = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs(config))
        return jax.eval_shape(build(config).init, jax.random.key(0), *arguments)

    # The cache wants keys that can be hashed, which a config is only as text.
    return lambda config: compute(json.dumps(config))
