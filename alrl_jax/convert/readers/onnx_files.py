"""Reads ONNX graphs as data: which operation follows which, and the constants that each reads.

The graph is never run.  Tensors get names of the operations that read them, numbered in the order
of the graph: ``Conv.0.weight``, ``PRelu.3.slope``.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError, shown
from alrl_jax.convert.networks import MAX_TENSORS, Network
from alrl_jax.utils.extras import importing

GRAPH = "onnx"
"""Where the settings of a network keep its graph."""

NODES = "nodes"

SLOTS: Mapping[str, tuple[str, ...]] = {
    "Conv": ("input", "weight", "bias"),
    "Gemm": ("input", "weight", "bias"),
    "BatchNormalization": ("input", "scale", "bias", "mean", "var"),
    "PRelu": ("input", "slope"),
}
"""What the inputs of an operation are called; others have numbers."""

_PASSED_ON = ("Identity", "Unsqueeze", "Reshape", "Cast")
"""Operations on a constant that leave its numbers as they are."""

_SECOND_TAGS = b"\x12\x1a\x22\x28\x32\x3a\x42"
_LAST_VERSION = 32


@dataclasses.dataclass(frozen=True)
class Node:
    """An operation of a graph.

    Attributes:
        op: what it does.
        name: the operation with its number, e.g. ``Conv.0``; begins the names of its tensors.
        reads: names of the values that it reads and that are no constants.
        writes: name of the value that it gives.
        attributes: its plain values.
    """

    op: str
    name: str
    reads: tuple[str, ...]
    writes: str
    attributes: Mapping[str, Any]


def is_onnx(head: bytes) -> bool:
    """Whether a file begins as ONNX models do: the version of the format, and a second field."""
    return head[:1] == b"\x08" and head[1:2] < bytes([_LAST_VERSION]) and head[2:3] in _SECOND_TAGS


def read_onnx(path: Path) -> Network:
    """The constants of a graph, by the operations that read them, and its operations.

    Returns:
        A network whose settings hold its ``Node``s, under ``GRAPH`` and ``NODES``.

    Raises:
        UserError: if the package that reads ONNX is not installed.
        CheckpointError: if the file is damaged or keeps its numbers elsewhere.
    """
    with importing(
        "onnx",
        f"got {path}, an ONNX graph, without the package onnx, which reads it; expected it to be "
        'installed; run pip install "alrl-jax[onnx]"',
    ):
        import google.protobuf.message
        import onnx
        import onnx.numpy_helper
    try:
        graph = onnx.load(path, load_external_data=False).graph
        return _network(graph, onnx.numpy_helper.to_array)
    except (google.protobuf.message.DecodeError, ValueError, TypeError) as error:
        raise CheckpointError(f"damaged ONNX: {shown(str(error))}") from error


def _network(graph: Any, to_array: Any) -> Network:
    constants: dict[str, np.ndarray] = {}
    for tensor in graph.initializer:
        if tensor.data_location:
            raise CheckpointError("its numbers lie in another file (external data)")
        constants[tensor.name] = to_array(tensor)
    network, nodes, count = Network({}), [], dict[str, int]()
    if len(graph.node) > MAX_TENSORS:
        raise CheckpointError(f"a graph of more than {MAX_TENSORS} operations")
    for node in graph.node:
        op, inputs = str(node.op_type), [name for name in node.input if name]
        if op == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = to_array(node.attribute[0].t)
        elif op in _PASSED_ON and inputs and inputs[0] in constants:
            constants[node.output[0]] = constants[inputs[0]]
        else:
            number = count[op] = count.get(op, -1) + 1
            nodes.append(_node(node, op, f"{op}.{number}", constants, network))
    network.settings.update({"": {}, GRAPH: {NODES: tuple(nodes)}})
    return network


def _node(
    node: Any, op: str, name: str, constants: Mapping[str, np.ndarray], network: Network
) -> Node:
    slots = SLOTS.get(op, ())
    for place, value in enumerate(node.input):
        if value in constants:
            slot = slots[place] if place < len(slots) else str(place)
            network.add(f"{name}.{slot}", constants[value])
    reads = tuple(value for value in node.input if value and value not in constants)
    attributes = {a.name: a.f if a.type == 1 else a.i for a in node.attribute if a.type in (1, 2)}
    return Node(op, name, reads, str(node.output[0]), attributes)
