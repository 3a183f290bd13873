"""ArcFace's IResNet as ONNX keeps it, by recipe: the graph that PyTorch's exporter makes of it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from tests.support.checkpoints.face_files import SMALL, Body, Tensors

EPSILON = 1e-5


@dataclasses.dataclass
class Graph:
    """A graph that grows node by node.

    Attributes:
        folds: whether a normalisation goes into the kernel before it, as exporters do.
    """

    folds: bool = True
    nodes: list[Any] = dataclasses.field(default_factory=list)
    constants: list[Any] = dataclasses.field(default_factory=list)

    def constant(self, value: np.ndarray) -> str:
        """Adds an array under a number."""
        name = str(685 + len(self.constants))
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Adds an operation; returns the value that it gives."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op, inputs, [output], **attributes))
        return output

    def norm(self, value: str, tensors: Tensors, name: str) -> str:
        """A normalisation."""
        leaves = ("weight", "bias", "running_mean", "running_var")
        inputs = [self.constant(tensors[f"{name}.{leaf}"]) for leaf in leaves]
        return self.add("BatchNormalization", [value, *inputs], epsilon=EPSILON)

    def conv(self, value: str, tensors: Tensors, name: str, norm: str, stride: int = 1) -> str:
        """A convolution with the normalisation after it."""
        weight = tensors[f"{name}.weight"]
        side = weight.shape[2]
        places = {"kernel_shape": [side] * 2, "strides": [stride] * 2, "pads": [side // 2] * 4}
        if not self.folds:
            value = self.add("Conv", [value, self.constant(weight)], **places)
            return self.norm(value, tensors, norm)
        scale, bias, mean, var = (
            tensors[f"{norm}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        gain = scale / np.sqrt(var + EPSILON)
        inputs = [value, self.constant(weight * gain[:, None, None, None])]
        return self.add("Conv", [*inputs, self.constant(bias - mean * gain)], **places)

    def prelu(self, value: str, tensors: Tensors, name: str) -> str:
        """An activation."""
        return self.add("PRelu", [value, self.constant(tensors[f"{name}.weight"][:, None, None])])

    def save(self, path: Path, output: str) -> Path:
        """Writes the model."""
        kind = onnx.TensorProto.FLOAT
        ends = [
            [onnx.helper.make_tensor_value_info(name, kind, None)] for name in ("input.1", output)
        ]
        graph = onnx.helper.make_graph(self.nodes, "torch-jit-export", *ends, self.constants)
        onnx.save(onnx.helper.make_model(graph, producer_name="pytorch"), path)
        return path


def save_iresnet(
    path: Path,
    tensors: Tensors,
    body: Body = SMALL,
    *,
    folds: bool = True,
    scales: bool = False,
    beyond: str | None = None,
) -> Path:
    """Writes a network of ``face_files.iresnet_spec``.

    Args:
        path: the file.
        tensors: of the network.
        body: its shape.
        folds: see ``Graph``.
        scales: whether the graph takes 0 to 255 and does (x - 127.5) / 128 itself.
        beyond: an operation at the end that is no layer.
    """
    graph = Graph(folds)
    x = "input.1"
    if scales:
        x = graph.add("Sub", [x, graph.constant(np.asarray(127.5))])
        x = graph.add("Mul", [x, graph.constant(np.asarray(1 / 128))])
    x = graph.prelu(graph.conv(x, tensors, "conv1", "bn1"), tensors, "prelu")
    for stage, count in enumerate(body.units):
        for i in range(count):
            name, stride = f"layer{stage + 1}.{i}", 1 if i else 2
            y = graph.norm(x, tensors, f"{name}.bn1")
            y = graph.conv(y, tensors, f"{name}.conv1", f"{name}.bn2")
            y = graph.prelu(y, tensors, f"{name}.prelu")
            y = graph.conv(y, tensors, f"{name}.conv2", f"{name}.bn3", stride)
            if i == 0:
                x = graph.conv(x, tensors, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            x = graph.add("Add", [y, x])
    x = graph.add("Flatten", [graph.norm(x, tensors, "bn2")], axis=1)
    dense = [graph.constant(tensors[f"fc.{leaf}"]) for leaf in ("weight", "bias")]
    x = graph.norm(graph.add("Gemm", [x, *dense], transB=1), tensors, "features")
    return graph.save(path, graph.add(beyond, [x]) if beyond else x)
