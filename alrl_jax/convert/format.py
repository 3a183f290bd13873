"""What has to be known of a foreign network to find it in a file and to convert it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import LAYOUTS, Layout, Row
from alrl_jax.convert.shapes import Config

UNKNOWN_TERMS = "unknown; check with the author of the weights"

CONVENTIONS: Mapping[str, str] = {
    "image": "NHWC in [-1, 1]",
    "kernel": "HWIO, dense [in, out]",
}
"""What holds of all our networks; a family adds what holds of its own."""


def _always(_: Network) -> bool:
    return True


def _nothing(_: Network) -> dict[str, str]:
    return {}


def _fields(config: Config) -> dict[str, str]:
    return {name.replace("num_", ""): str(value) for name, value in config.items()}


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of network as one project saves it.

    Attributes:
        kind: what the network is for.
        project: whose layout it is.
        signature: tensors that only such a network has.
        read_config: the architecture, from shapes and settings.
        rows: where the tensors go, from the architecture.
        shapes: the shapes of our variables, from the architecture.
        layouts: what the layouts in ``rows`` are.
        conventions: what a reader of the weights has to know.
        licence: what is known of the terms of such files.
        named_licences: terms of published files, by the name of the file.
        summary: what a person wants to know of the architecture, in short.
        sections: names under which checkpoints keep it, the preferred one first.
        beside: tensors that stand beside the network in the checkpoint and belong to it.
        optional: pattern of the names of tensors that some files lack and ours does without.
        apart: pattern of the names of tensors that stand among those of the network and belong to
            another one.
        applies: whether what else is known of a network that has the signature speaks for this
            format; where a file says too little, several apply and the user has to choose.
        prepare: brings what stands beside the network into the one form that ``rows`` knows, in
            place; what it returns is noted in the result.
        files: what the files are called into which its project divides the network.
    """

    kind: str
    project: str
    signature: tuple[str, ...]
    read_config: Callable[[Network], Config]
    rows: Callable[[Config], dict[str, Row]]
    shapes: Callable[[Config], Any]
    layouts: Mapping[str, Layout] = dataclasses.field(default_factory=lambda: LAYOUTS)
    conventions: Mapping[str, str] = dataclasses.field(default_factory=lambda: CONVENTIONS)
    licence: str = UNKNOWN_TERMS
    named_licences: Mapping[str, str] = dataclasses.field(default_factory=dict)
    summary: Callable[[Config], dict[str, str]] = _fields
    sections: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    optional: str | None = None
    apart: str | None = None
    applies: Callable[[Network], bool] = _always
    prepare: Callable[[Network], dict[str, str]] = _nothing
    files: tuple[str, ...] = ("FILE",)


def divided(formats: Iterable[Format]) -> dict[str, str]:
    """Kinds of network of several files, and how a user names these, e.g. ``BACKBONE,LIN``."""
    return {entry.kind: ",".join(entry.files) for entry in formats if len(entry.files) > 1}
