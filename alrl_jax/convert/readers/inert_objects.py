"""Objects of hyper-parameters that a weight file may hold: read, and nothing but that.

Trainers save their options beside the weights: paths, devices, types of numbers, containers of
OmegaConf.  Of these, containers become plain dicts and lists, the others objects of no interest.
The list is closed: any other name is refused.
"""

from typing import Any

from alrl_jax.convert.readers.inert_pickle import Global, Opaque, Unbuilt, opaque

_DTYPES = (
    *("float16", "float32", "float64", "bfloat16", "half", "float", "double", "bool"),
    *("uint8", "int8", "int16", "int32", "int64", "complex64", "complex128"),
)

_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")

_CALLED = (
    *(f"{module} {name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    "torch device",
    "torch Size",
    "torch.torch_version TorchVersion",
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("slice", "range")),
    "omegaconf.base ContainerMetadata",
    "omegaconf.base Metadata",
)
"""Made by a call; only their names are kept."""

_NAMED = (
    *(f"torch {name}" for name in _DTYPES),
    *("torch strided", "torch contiguous_format", "torch channels_last", "torch preserve_format"),
    *(f"typing {name}" for name in ("Any", "Dict", "List", "Optional", "Union")),
    *(
        f"{module} {name}"
        for module in ("builtins", "__builtin__")
        for name in ("dict", "list", "tuple", "str", "int", "float", "bool", "object")
    ),
)
"""Named and not called."""

_NODES = ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Interpolation", "Path", "String")


class _Container(Unbuilt):
    """A container of OmegaConf: its content; or a leaf of one: its value."""

    def build(self, state: Any) -> Any:
        state = state if isinstance(state, dict) else {}
        content = state.get("_content", state.get("_val"))
        plain = isinstance(content, dict | list | str | int | float | None)
        return content if plain else Opaque("an object of omegaconf")


_CONTAINERS = (
    "omegaconf.dictconfig DictConfig",
    "omegaconf.listconfig ListConfig",
    *(f"omegaconf.nodes {name}Node" for name in _NODES),
)

_DICTS = ("collections defaultdict", "easydict EasyDict", "yacs.config CfgNode")

INERT_NAMES: dict[str, Global] = {
    **{name: opaque(name) for name in _CALLED},
    **{name: Global(name) for name in _NAMED},
    **{name: Global(name, lambda *_: _Container()) for name in _CONTAINERS},
    **{name: Global(name, lambda *_: {}) for name in _DICTS},
}
"""What options may name, by "module name"."""
