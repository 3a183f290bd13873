"""Writes snapshots as NVIDIA's PyTorch code of two generations does, without that code."""

import collections
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.checkpoints.legacy_writer import LegacyWriter, rebuild
from tests.support.checkpoints.pickle_writer import Call, Named, NumpyWriter, dump

Tensors = dict[str, np.ndarray]
TRAP = "raise RuntimeError('embedded source must never run')\n"
_BUFFERS = ("resample_filter", "noise_const", "w_avg")


@dataclasses.dataclass(frozen=True)
class Generation:
    """What differs between the two.

    Attributes:
        protocol: of the pickle.
        core: NumPy's module of that time.
        mapping: the type of a module's dicts.
        channels_last: whether kernels lie in memory as [out, height, width, in].
        frozen: whether the discriminator's first block holds buffers for parameters.
    """

    protocol: int
    core: str
    mapping: type
    channels_last: bool
    frozen: bool


GENERATIONS = {
    "ada": Generation(3, "core", collections.OrderedDict, False, False),
    "stylegan3": Generation(4, "_core", dict, True, True),
}


@dataclasses.dataclass(frozen=True)
class NvidiaWriter:
    """Makes modules of tensors.

    Attributes:
        generation: how.
        conv_clamp: of all layers.
        group_size: of the minibatch statistic.
        changes: attributes by module and name that replace the right ones.
    """

    generation: Generation
    conv_clamp: float | None = 256
    group_size: int | None = 4
    changes: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def network(self, tensors: Tensors, **attributes: Any) -> Call:
        """A generator or a discriminator."""
        paths = {name.rpartition(".")[0] for name in tensors}
        paths |= {"b4.mbstd"} if "b4.out.weight" in tensors else set()
        paths |= {".".join(p.split(".")[:i]) for p in paths for i in range(len(p.split(".")))}
        modules: dict[str, Call] = {}
        for path in sorted(paths, key=lambda p: (-p.count("."), p == "", p)):
            children = {
                p.rpartition(".")[2]: m
                for p, m in modules.items()
                if p.rpartition(".")[0] == path and p
            }
            own = {n.rpartition(".")[2]: t for n, t in tensors.items() if _parent(n) == path}
            values = self._attributes(path, own) | (attributes if path == "" else {})
            modules[path] = self._module(path, own, children, values | self.changes.get(path, {}))
        return modules[""]

    def _module(
        self, path: str, own: Tensors, children: dict[str, Call], values: dict[str, Any]
    ) -> Call:
        make = self.generation.mapping
        frozen = self.generation.frozen and path in ("b32.fromrgb", "b32.conv0")
        buffers = {n: self._tensor(t) for n, t in own.items() if n in _BUFFERS or frozen}
        parameters = {n: _parameter(self._tensor(t)) for n, t in own.items() if n not in buffers}
        state = {
            "training": False,
            "_parameters": make(parameters),
            "_buffers": make(buffers),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": collections.OrderedDict(),
            "_modules": make(children),
            **values,
            "_init_args": (),
            "_init_kwargs": Call(Named("dnnlib.util", "EasyDict"), new=True, items={"w_dim": 64}),
        }
        meta = {
            "type": "class",
            "version": 6,
            "module_src": TRAP,
            "class_name": "Generator",
            "state": state,
        }
        name = Named("torch_utils.persistence", "_reconstruct_persistent_obj")
        return Call(name, (meta,))

    def _tensor(self, value: np.ndarray) -> Call:
        steps = None
        if value.ndim == 4 and self.generation.channels_last:
            value = value.transpose(0, 2, 3, 1)
            _, height, width, depth = value.shape
            steps = (height * width * depth, 1, width * depth, depth)
        writer = LegacyWriter()
        stream = writer.stream(writer.storage(value))
        storage = Call(Named("torch.storage", "_load_from_bytes"), (stream,))
        shape = value.shape if steps is None else np.moveaxis(value, 3, 1).shape
        return rebuild(storage, shape, steps)

    def _attributes(self, path: str, own: Tensors) -> dict[str, Any]:
        numpy = NumpyWriter(self.generation.core)
        weight = own.get("weight", np.zeros(()))
        gain = 1 / math.sqrt(max(1, math.prod(weight.shape[1:])))
        clamp, root = {"conv_clamp": self.conv_clamp}, {"act_gain": numpy.scalar(math.sqrt(2))}
        up = {"up": 1, "down": 1}
        lrelu, linear = {"activation": "lrelu"}, {"activation": "linear"}
        plain = {"weight_gain": numpy.scalar(gain), "bias_gain": 1}
        slow = {"weight_gain": numpy.scalar(gain / 100), "bias_gain": 0.01}
        name = path.rpartition(".")[2]
        if path.startswith("mapping.fc"):
            return lrelu | slow
        if name in ("conv0", "conv1") and path.startswith("synthesis"):
            return lrelu | root | clamp | {"up": 2 - int(name[-1]), "use_noise": True}
        down = {"down": 2, "act_gain": 1, "conv_clamp": None}
        rows: dict[str, dict[str, Any]] = {
            **dict.fromkeys(("affine", "embed", "out"), linear | plain),
            "fc": lrelu | plain,
            "torgb": clamp | {"weight_gain": numpy.scalar(gain)},
            "skip": linear | plain | up | down,
            "conv1": lrelu | plain | up | clamp | root | {"down": 2},
            "mbstd": {"group_size": self.group_size, "num_channels": 1},
            **dict.fromkeys(("fromrgb", "conv0", "conv"), lrelu | plain | up | clamp | root),
        }
        if name[1:].isdigit():
            kind = "skip" if path.startswith("synthesis") else "resnet"
            return {"architecture": kind, "use_fp16": name != "b4"}
        return rows.get(name, {"img_channels": 3} if path == "" else {})

    def dump(self, content: Any) -> bytes:
        """The pickle."""
        return dump(content, self.generation.protocol)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _parameter(tensor: Call) -> Call:
    name = Named("torch._utils", "_rebuild_parameter")
    return Call(name, (tensor, False, collections.OrderedDict()))


def save_snapshot(path: Path, writer: NvidiaWriter, networks: dict[str, Tensors | None]) -> Path:
    """Writes a training snapshot of networks by section."""
    content: dict[str, Any] = {"training_set_kwargs": {"path": "faces.zip", "xflip": False}}
    for name, tensors in networks.items():
        content[name] = None if tensors is None else writer.network(tensors)
    path.write_bytes(writer.dump(content))
    return path
