"""What has to be known of a foreign network to find it in a file and to convert it."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.families.stylegan2.architecture import Config
from alrl_jax.convert.networks import Network

UNKNOWN_TERMS = "unknown; check with the author of the weights"


def _always(_: Network) -> bool:
    return True


def _nothing(_: Network) -> dict[str, str]:
    return {}


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of network as one project saves it.

    Attributes:
        kind: what the network is for.
        project: whose layout it is.
        signature: tensors that only such a network has.
        sections: names under which checkpoints keep it, the preferred one first.
        beside: tensors that stand beside the network in the checkpoint and belong to it.
        read_config: the architecture, from shapes and settings.
        rows: where the tensors go, from the architecture.
        shapes: the shapes of our variables, from the architecture.
        conventions: what a reader of the weights has to know.
        licence: what is known of the terms of such files.
        summary: what a person wants to know of the architecture, in short.
        optional: pattern of the names of tensors that some files lack and nobody misses.
        apart: pattern of the names of tensors that stand among those of the network and belong to
            another one.
        prefixes: what stands before the names of its tensors, where a file holds more than one
            network under one name.
        applies: whether what else is known of a network that has the signature speaks for this
            row; where a file says too little, several rows apply and the user has to choose.
        prepare: brings what stands beside the network into the one form that ``rows`` knows, in
            place; what it returns is noted in the result.
        num_files: into how many files projects divide it.
    """

    kind: str
    project: str
    signature: tuple[str, ...]
    sections: tuple[str, ...]
    beside: tuple[str, ...]
    read_config: Callable[[Network], Config]
    rows: Callable[[Config], dict[str, rules.Row]]
    shapes: Callable[[Config], Any]
    conventions: Mapping[str, str]
    licence: str
    summary: Callable[[Config], dict[str, str]]
    optional: str | None = None
    apart: str | None = None
    prefixes: tuple[str, ...] = ("",)
    applies: Callable[[Network], bool] = _always
    prepare: Callable[[Network], dict[str, str]] = _nothing
    num_files: int = 1


def shapes_by(
    build: Callable[[Config], nn.Module], inputs: Callable[[Config], Sequence[tuple[int, ...]]]
) -> Callable[[Config], Any]:
    """What tells the shapes of a network's variables, from its architecture.

    Args:
        build: makes the network.
        inputs: shapes of what it is called with.
    """

    @functools.lru_cache(maxsize=8)
    def compute(text: str) -> Any:
        config = json.loads(text)
        arguments = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs(config))
        return jax.eval_shape(build(config).init, jax.random.key(0), *arguments)

    return lambda config: compute(json.dumps(config))
