"""insightface's IResNets as ONNX keeps them: which operation of the graph is which layer.

Exporters number most tensors and fold a normalisation into the convolution before it.  So the
layers are found by the graph: what reads what.  What was folded stands here as a normalisation
that only adds the bias.  The images of these networks are RGB in [-1, 1], ``(x - 127.5) / 127.5``
of 8 bits; a graph that scales its input itself takes 0 to 255, and its factor goes into the first
kernel.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from alrl_jax.convert.networks import Network, Tensors
from alrl_jax.convert.readers.onnx_files import GRAPH, NODES, Node
from alrl_jax.errors import UserError

EPSILON = 1e-5
"""Of our normalisations."""

_HALF_RANGE = 127.5
_SCALES = ("Sub", "Add", "Mul", "Div")
_FLATTENS = ("Flatten", "Reshape", "Dropout", "Identity")
_EXPECTED = "expected ArcFace's IResNet of insightface (w600k_r50.onnx); of ONNX no other is read"


@dataclasses.dataclass
class _Walk:
    """A graph on the way through it.

    Attributes:
        nodes: the operations that no layer has been made of.
        tensors: what they read.
        layers: tensors by the names of the PyTorch network.
    """

    nodes: list[Node]
    tensors: Tensors
    layers: Tensors

    def follows(self, value: str, *ops: str) -> Node | None:
        """The operation, one of ``ops``, that reads a value, if there is one."""
        return next((n for n in self.nodes if value in n.reads and n.op in ops), None)

    def take(self, value: str, *ops: str) -> Node:
        """The same, which is then a layer's."""
        node = self.follows(value, *ops)
        if node is None:
            raise UserError(
                f"got an ONNX graph without {' or '.join(ops)} in its place; {_EXPECTED}"
            )
        self.nodes.remove(node)
        return node

    def tensor(self, node: Node, slot: str) -> np.ndarray:
        """A constant that an operation reads, float32."""
        name = f"{node.name}.{slot}"
        if name not in self.tensors:
            raise UserError(f"got an ONNX graph without {name}; {_EXPECTED}")
        return np.asarray(self.tensors[name], np.float32)

    def norm(self, node: Node, name: str, shift: np.ndarray | float = 0.0) -> str:
        """A normalisation, of what a bias was added to before; returns the value that it gives."""
        epsilon = float(node.attributes.get("epsilon", EPSILON))
        self.layers |= {
            f"{name}.weight": self.tensor(node, "scale"),
            f"{name}.bias": self.tensor(node, "bias"),
            f"{name}.running_mean": self.tensor(node, "mean") - shift,
            f"{name}.running_var": self.tensor(node, "var") + np.float32(epsilon - EPSILON),
        }
        return node.writes

    def linear(self, value: str, op: str, name: str, norm: str) -> str:
        """A kernel and the normalisation after it, folded into it or not."""
        node = self.take(value, op)
        if node.attributes.get("group", 1) != 1:
            raise UserError(f"got an ONNX graph with {node.name} in groups; {_EXPECTED}")
        self.layers[f"{name}.weight"] = self.tensor(node, "weight")
        has_bias = f"{node.name}.bias" in self.tensors
        bias = self.tensor(node, "bias") if has_bias else np.zeros((), np.float32)
        after = self.follows(node.writes, "BatchNormalization")
        if after is not None:
            return self.norm(self.take(node.writes, "BatchNormalization"), norm, bias)
        width = len(self.layers[f"{name}.weight"])
        self.layers |= identity_norm(norm, width, np.broadcast_to(bias, (width,)))
        return node.writes

    def prelu(self, value: str, name: str) -> str:
        """An activation."""
        node = self.take(value, "PRelu")
        self.layers[f"{name}.weight"] = self.tensor(node, "slope").reshape(-1)
        return node.writes


def identity_norm(name: str, width: int, bias: np.ndarray) -> Tensors:
    """A normalisation that adds a bias and does nothing else."""
    ones = np.ones(width, np.float32)
    return {
        f"{name}.weight": ones,
        f"{name}.bias": np.asarray(bias, np.float32),
        f"{name}.running_mean": np.zeros(width, np.float32),
        f"{name}.running_var": ones - np.float32(EPSILON),
    }


def is_graph(network: Network) -> bool:
    """Whether the tensors are those of an ONNX graph."""
    return GRAPH in network.settings


def name_tensors(network: Network) -> dict[str, str]:
    """Names the tensors of a graph as insightface's PyTorch code does, in place.

    Args:
        network: of ``read_onnx``.

    Returns:
        What is to be noted.

    Raises:
        UserError: if the graph is that of another network.
    """
    nodes: Sequence[Node] = network.settings[GRAPH][NODES]
    walk = _Walk(list(nodes), dict(network.tensors), {})
    value, scale = _scaling(walk, nodes[0].reads[0] if nodes and nodes[0].reads else "")
    value = walk.prelu(walk.linear(value, "Conv", "conv1", "bn1"), "prelu")
    walk.layers["conv1.weight"] = walk.layers["conv1.weight"] * np.float32(scale)
    value = _blocks(walk, value)
    _head(walk, value)
    if walk.nodes:
        raise UserError(
            f"got an ONNX graph with {walk.nodes[0].name} beyond its layers; {_EXPECTED}"
        )
    network.tensors.clear()
    network.tensors.update(walk.layers)
    return {"normalisation": f"images in [-1, 1]; the graph's own factor for these is {scale:g}"}


def _scaling(walk: _Walk, value: str) -> tuple[str, float]:
    """The value after what a graph does to its input first, and the factor for [-1, 1]."""
    factor, offset, own = 1.0, 0.0, False
    while (node := walk.follows(value, *_SCALES)) is not None:
        number = float(walk.tensor(node, "1").reshape(-1)[0])
        own = True
        if node.op in ("Sub", "Add"):
            offset += number if node.op == "Add" else -number
        else:
            number = number if node.op == "Mul" else 1 / number
            factor, offset = factor * number, offset * number
        walk.nodes.remove(node)
        value = node.writes
    if not own:
        return value, 1.0
    if abs(factor * _HALF_RANGE + offset) > 1e-3:
        raise UserError(f"got an ONNX graph whose images have another centre; {_EXPECTED}")
    return value, factor * _HALF_RANGE


def _blocks(walk: _Walk, value: str) -> str:
    """The residual units; a stage begins with one that projects what it adds."""
    stage, i = 0, 0
    while True:
        norm = walk.follows(value, "BatchNormalization")
        if norm is None or walk.follows(norm.writes, "Conv") is None:
            return value
        projects = walk.follows(value, "Conv") is not None
        stage, i = (stage + 1, 0) if projects else (stage, i + 1)
        name = f"layer{stage}.{i}"
        inner = walk.norm(walk.take(value, "BatchNormalization"), f"{name}.bn1")
        inner = walk.prelu(
            walk.linear(inner, "Conv", f"{name}.conv1", f"{name}.bn2"), f"{name}.prelu"
        )
        inner = walk.linear(inner, "Conv", f"{name}.conv2", f"{name}.bn3")
        kept = value
        if projects:
            kept = walk.linear(value, "Conv", f"{name}.downsample.0", f"{name}.downsample.1")
        add = walk.take(inner, "Add")
        if set(add.reads) != {inner, kept}:
            raise UserError(f"got an ONNX graph with {add.name} of other values; {_EXPECTED}")
        value = add.writes


def _head(walk: _Walk, value: str) -> None:
    """The normalisation of the last map, the layer that reads it, and that of the embedding."""
    value = walk.norm(walk.take(value, "BatchNormalization"), "bn2")
    while walk.follows(value, *_FLATTENS) is not None:
        value = walk.take(value, *_FLATTENS).writes
    dense = walk.take(value, "Gemm")
    if not dense.attributes.get("transB", 0):
        raise UserError(f"got an ONNX graph with {dense.name} turned; {_EXPECTED}")
    weight = walk.tensor(dense, "weight")
    walk.layers |= {"fc.weight": weight, "fc.bias": walk.tensor(dense, "bias")}
    after = walk.follows(dense.writes, "BatchNormalization")
    if after is not None:
        walk.norm(walk.take(dense.writes, "BatchNormalization"), "features")
    else:
        walk.layers |= identity_norm("features", len(weight), np.zeros(len(weight)))
