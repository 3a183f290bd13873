"""What has to be known to write one of our networks as another project keeps it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.rules import LAYOUTS, Layout, Row

Arrays = dict[str, np.ndarray]
"""Arrays of a network by path or name."""


@dataclasses.dataclass(frozen=True)
class Permissions:
    """Differences that the caller accepts where a layout cannot hold what a network does.

    Attributes:
        rescale_kernels: multiply the kernels of the generator by the constant that makes the
            layout's demodulation compute the same; equal up to the rounding of float32.
        drop_conv_clamp: leave the clamp out; images change where activations reach it.
    """

    rescale_kernels: bool = False
    drop_conv_clamp: bool = False


def _no_arguments(_: Any) -> dict[str, Any]:
    return {}


def _as_it_is(network: Any, arrays: Arrays) -> list[str]:
    return []


@dataclasses.dataclass(frozen=True)
class Target:
    """How a project keeps one kind of network: a ``Format`` for the way back.

    Attributes:
        build: makes the network from the ``config`` of a model directory.
        rows: where its tensors come from; the rows of the ``Format``.
        section: name of the network in the checkpoint.
        check: what is lost without harm, in sentences; of the network, its variables, the name of
            the layout, and what the caller accepts.  Raises a ``UserError`` if more would be lost.
        layouts: what the layouts in ``rows`` are.
        beside: tensors that stand beside the network rather than in it.
        adapt: changes the arrays in place so that the project's code computes the same, and says
            so in sentences.
        arguments: what stands in the checkpoint beside the tensors, e.g. what builds the module.
    """

    build: Callable[[Mapping[str, Any]], Any]
    rows: Callable[[Any], dict[str, Row]]
    section: str
    check: Callable[[Any, Mapping[str, Any], str, Permissions], list[str]]
    layouts: Mapping[str, Layout] = dataclasses.field(default_factory=lambda: LAYOUTS)
    beside: tuple[str, ...] = ()
    adapt: Callable[[Any, Arrays], list[str]] = _as_it_is
    arguments: Callable[[Any], dict[str, Any]] = _no_arguments
