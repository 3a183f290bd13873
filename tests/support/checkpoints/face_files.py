"""Checkpoints of face networks in the layouts of their projects, and what these compute.

Written from the published architectures with numpy alone: names, shapes and NCHW arithmetic stand
here a second time, so that a slip in our tables or modules shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.goldens import weights

Tensors = Mapping[str, np.ndarray]
Spec = dict[str, list[int]]


@dataclass(frozen=True)
class Body:
    """Widths and numbers of units of the four stages."""

    widths: tuple[int, ...] = (8, 12, 16, 64)
    units: tuple[int, ...] = (1, 2, 1, 2)
    squeeze: int | None = 4

    def strides(self) -> list[int]:
        """Of every unit."""
        return [1 if i else 2 for count in self.units for i in range(count)]

    def shapes(self) -> list[tuple[int, int]]:
        """Channels into and out of every unit."""
        widths = [w for w, n in zip(self.widths, self.units, strict=True) for _ in range(n)]
        return list(zip([self.widths[0], *widths], widths, strict=False))


SMALL = Body()


def _norm(name: str, width: int) -> Spec:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": [width] for leaf in leaves} | {f"{name}.num_batches_tracked": []}


def ir_body_spec(body: Body = SMALL, channels: int = 3) -> Spec:
    """``input_layer`` and ``body`` of IR and IR-SE networks."""
    stem = body.widths[0]
    spec: Spec = {"input_layer.0.weight": [stem, channels, 3, 3]}
    spec |= _norm("input_layer.1", stem) | {"input_layer.2.weight": [stem]}
    for i, (before, width) in enumerate(body.shapes()):
        name = f"body.{i}"
        if before != width:
            spec[f"{name}.shortcut_layer.0.weight"] = [width, before, 1, 1]
            spec |= _norm(f"{name}.shortcut_layer.1", width)
        spec |= _norm(f"{name}.res_layer.0", before)
        spec[f"{name}.res_layer.1.weight"] = [width, before, 3, 3]
        spec[f"{name}.res_layer.2.weight"] = [width]
        spec[f"{name}.res_layer.3.weight"] = [width, width, 3, 3]
        spec |= _norm(f"{name}.res_layer.4", width)
        if body.squeeze:
            narrow = width // body.squeeze
            spec[f"{name}.res_layer.5.fc1.weight"] = [narrow, width, 1, 1]
            spec[f"{name}.res_layer.5.fc2.weight"] = [width, narrow, 1, 1]
    return spec


def arcface_spec(body: Body = SMALL, side: int = 2, width: int = 10) -> Spec:
    """A whole ArcFace network with an IR-SE body; ``side`` of its last map."""
    last = body.widths[-1]
    spec = ir_body_spec(body) | _norm("output_layer.0", last)
    spec |= {"output_layer.3.weight": [width, last * side**2], "output_layer.3.bias": [width]}
    return spec | _norm("output_layer.4", width)


def iresnet_spec(body: Body = SMALL, side: int = 2, width: int = 10) -> Spec:
    """A whole network of insightface."""
    stem, last = body.widths[0], body.widths[-1]
    spec: Spec = {"conv1.weight": [stem, 3, 3, 3], **_norm("bn1", stem), "prelu.weight": [stem]}
    before = stem
    for stage, (after, count) in enumerate(zip(body.widths, body.units, strict=True)):
        for i in range(count):
            name = f"layer{stage + 1}.{i}"
            spec |= _norm(f"{name}.bn1", before) | _norm(f"{name}.bn2", after)
            spec[f"{name}.conv1.weight"] = [after, before, 3, 3]
            spec[f"{name}.prelu.weight"] = [after]
            spec[f"{name}.conv2.weight"] = [after, after, 3, 3]
            spec |= _norm(f"{name}.bn3", after)
            if i == 0:
                spec[f"{name}.downsample.0.weight"] = [after, before, 1, 1]
                spec |= _norm(f"{name}.downsample.1", after)
            before = after
    spec |= _norm("bn2", last)
    spec |= {"fc.weight": [width, last * side**2], "fc.bias": [width]}
    return spec | _norm("features", width)


def style_encoder_spec(
    body: Body = SMALL, styles: int = 8, depth: int = 1, channels: int = 3
) -> Spec:
    """An encoder of pSp or e4e; ``depth`` convolutions in a coarse head, images 16 * 2**depth."""
    width = body.widths[-1]
    spec = ir_body_spec(body, channels)
    for i in range(styles):
        for conv in range(depth + (i >= 3) + (i >= 7)):
            spec[f"styles.{i}.convs.{2 * conv}.weight"] = [width, width, 3, 3]
            spec[f"styles.{i}.convs.{2 * conv}.bias"] = [width]
        spec[f"styles.{i}.linear.weight"] = [width, width]
        spec[f"styles.{i}.linear.bias"] = [width]
    for name, before in (("latlayer1", body.widths[2]), ("latlayer2", body.widths[1])):
        spec |= {f"{name}.weight": [width, before, 1, 1], f"{name}.bias": [width]}
    return spec


def fill(spec: Spec, prefix: str = "") -> dict[str, np.ndarray]:
    """Weights for a spec, whose names get a prefix."""
    return weights.fill({prefix + name: shape for name, shape in spec.items()})


def conv(x: np.ndarray, weight: np.ndarray, stride: int = 1, bias: Any = 0.0) -> np.ndarray:
    """Correlation, padded so that stride 1 keeps the size."""
    side = weight.shape[2]
    margin = side // 2
    x = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("bihwyx,oiyx->bohw", windows, weight) + np.reshape(bias, (1, -1, 1, 1))


def norm(x: np.ndarray, tensors: Tensors, name: str) -> np.ndarray:
    """Batch normalisation in evaluation mode."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    weight, bias, mean, var = (
        tensors[f"{name}.{leaf}"].reshape(shape)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """One slope for every channel."""
    return np.where(x > 0, x, x * slope.reshape(1, -1, 1, 1))


def squeeze_excite(x: np.ndarray, tensors: Tensors, name: str) -> np.ndarray:
    """Channels scaled by a function of their means."""
    means = x.mean((2, 3))
    hidden = np.maximum(means @ tensors[f"{name}.fc1.weight"][:, :, 0, 0].T, 0)
    logits = hidden @ tensors[f"{name}.fc2.weight"][:, :, 0, 0].T
    return x / (1 + np.exp(-logits))[:, :, None, None]


def double(x: np.ndarray) -> np.ndarray:
    """Bilinear upsampling by two; corner pixels lie upon each other."""
    side = x.shape[-1]
    at = np.arange(2 * side) * (side - 1) / (2 * side - 1)
    table = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)))
    return np.einsum("bchw,yh,xw->bcyx", x, table, table)


def ir_body(x: np.ndarray, tensors: Tensors, body: Body = SMALL) -> list[np.ndarray]:
    """Maps after every unit of an IR or IR-SE network."""
    x = norm(conv(x, tensors["input_layer.0.weight"]), tensors, "input_layer.1")
    x = prelu(x, tensors["input_layer.2.weight"])
    maps = []
    for i, stride in enumerate(body.strides()):
        name, res = f"body.{i}", f"body.{i}.res_layer"
        shortcut = x[:, :, ::stride, ::stride]
        if f"{name}.shortcut_layer.0.weight" in tensors:
            shortcut = conv(x, tensors[f"{name}.shortcut_layer.0.weight"], stride)
            shortcut = norm(shortcut, tensors, f"{name}.shortcut_layer.1")
        y = conv(norm(x, tensors, f"{res}.0"), tensors[f"{res}.1.weight"])
        y = conv(prelu(y, tensors[f"{res}.2.weight"]), tensors[f"{res}.3.weight"], stride)
        y = norm(y, tensors, f"{res}.4")
        x = shortcut + (squeeze_excite(y, tensors, f"{res}.5") if body.squeeze else y)
        maps.append(x)
    return maps


def _flat(x: np.ndarray, tensors: Tensors, names: tuple[str, str, str]) -> np.ndarray:
    before, dense, after = names
    x = norm(x, tensors, before).reshape(len(x), -1)
    x = x @ tensors[f"{dense}.weight"].T + tensors[f"{dense}.bias"]
    return norm(x, tensors, after)


def arcface(x: np.ndarray, tensors: Tensors, body: Body = SMALL) -> np.ndarray:
    """Unit embeddings of NCHW images."""
    names = ("output_layer.0", "output_layer.3", "output_layer.4")
    x = _flat(ir_body(x, tensors, body)[-1], tensors, names)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def iresnet(x: np.ndarray, tensors: Tensors, body: Body = SMALL) -> np.ndarray:
    """Unit embeddings of NCHW images."""
    x = prelu(norm(conv(x, tensors["conv1.weight"]), tensors, "bn1"), tensors["prelu.weight"])
    for stage, count in enumerate(body.units):
        for i in range(count):
            name, stride = f"layer{stage + 1}.{i}", 1 if i else 2
            y = conv(norm(x, tensors, f"{name}.bn1"), tensors[f"{name}.conv1.weight"])
            y = prelu(norm(y, tensors, f"{name}.bn2"), tensors[f"{name}.prelu.weight"])
            y = norm(conv(y, tensors[f"{name}.conv2.weight"], stride), tensors, f"{name}.bn3")
            if i == 0:
                x = conv(x, tensors[f"{name}.downsample.0.weight"], stride)
                x = norm(x, tensors, f"{name}.downsample.1")
            x = x + y
    x = _flat(x, tensors, ("bn2", "fc", "features"))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def style_encoder(x: np.ndarray, tensors: Tensors, offsets: bool, body: Body = SMALL) -> np.ndarray:
    """Codes of NCHW images, before ``latent_avg``."""
    ends = np.cumsum(body.units) - 1
    maps = ir_body(x, tensors, body)
    c1, c2, c3 = (maps[end] for end in ends[1:])
    lateral = {n: (tensors[f"latlayer{n}.weight"], 1, tensors[f"latlayer{n}.bias"]) for n in (1, 2)}
    p2 = double(c3) + conv(c2, *lateral[1])
    p1 = double(p2) + conv(c1, *lateral[2])
    codes: list[np.ndarray] = []
    while f"styles.{len(codes)}.linear.weight" in tensors:
        name = f"styles.{len(codes)}"
        y = c3 if len(codes) < 3 else p2 if len(codes) < 7 else p1
        at = 0
        while f"{name}.convs.{at}.weight" in tensors:
            y = conv(y, tensors[f"{name}.convs.{at}.weight"], 2, tensors[f"{name}.convs.{at}.bias"])
            y = np.where(y > 0, y, 0.01 * y)
            at += 2
        weight = tensors[f"{name}.linear.weight"]
        codes.append(y[:, :, 0, 0] @ weight.T / np.sqrt(weight.shape[1]))
        codes[-1] = codes[-1] + tensors[f"{name}.linear.bias"]
    stacked = np.stack(codes, axis=1)
    if offsets:
        stacked[:, 1:] += stacked[:, :1]
    return stacked
