"""Reads NVIDIA's PyTorch pickles: stylegan2-ada-pytorch, and StyleGAN2 in the stylegan3 code.

Every module is a call of one function with a dict: class name, source text and state.  The source
text, which the original executes, is dropped.  The state holds tensors, sub-modules, and the plain
values that the module was built with.  A tensor's numbers are a nested stream (``legacy_files``).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError, shown
from alrl_jax.convert.networks import MAX_DEPTH, Network, join_names, plain, text_keys
from alrl_jax.convert.readers.inert_pickle import Budget, Global
from alrl_jax.convert.readers.legacy_files import read_legacy
from alrl_jax.convert.readers.torch_objects import TORCH_NAMES, Storage

MODULE_VERSION = 6
MAX_MODULES = 1000
_TENSORS = ("_parameters", "_buffers")
_CHILDREN = "_modules"


@dataclasses.dataclass(frozen=True)
class Module:
    """A pickled module.

    Attributes:
        class_name: what it was, for messages.
        state: its attributes.
    """

    class_name: str
    state: Mapping[str, Any]


def nvidia_names(budget: Budget) -> dict[str, Global]:
    """What such a pickle may name.

    Args:
        budget: limit of the instructions of the whole file, nested streams included.
    """

    def load_storage(data: Any) -> Storage:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise CheckpointError("damaged: a storage that is no bytes")
        storage = read_legacy(memoryview(data), TORCH_NAMES, budget)
        if not isinstance(storage, Storage):
            raise CheckpointError("a nested stream holds something else than a storage")
        return storage

    module = "torch_utils.persistence _reconstruct_persistent_obj"
    nested = "torch.storage _load_from_bytes"
    return {module: Global(module, _make_module), nested: Global(nested, load_storage)}


def _make_module(meta: Any) -> Module:
    match text_keys(meta, "a module"):
        case {"type": "class", "version": int(version), "class_name": str(name), "state": state}:
            # "module_src" goes no further than this.
            if version != MODULE_VERSION:
                raise CheckpointError(f"a module is of version {version}, not {MODULE_VERSION}")
            return Module(name, text_keys(state, "the state of a module"))
    raise CheckpointError("damaged: a module")


def flatten_module(module: Module) -> Network:
    """All tensors of a module by PyTorch's names, e.g. ``synthesis.b4.const``, and its settings.

    Raises:
        CheckpointError: if it is nested too deeply or is no tree of modules.
    """
    network = Network({})
    _flatten(module, "", 0, network)
    return network


def _flatten(module: Module, path: str, depth: int, network: Network) -> None:
    if depth > MAX_DEPTH or len(network.settings) >= MAX_MODULES:
        raise CheckpointError(f"modules more than {MAX_DEPTH} deep, or more than {MAX_MODULES}")
    state = module.state
    network.settings[path] = plain(state)
    for group in _TENSORS:
        for name, value in text_keys(state.get(group), f"module '{shown(path)}'").items():
            if isinstance(value, np.ndarray):
                network.add(join_names(".", path, name), value)
            elif value is not None:
                raise CheckpointError(f"damaged: '{shown(path)}.{shown(name)}' is no tensor")
    for name, child in text_keys(state.get(_CHILDREN), f"module '{shown(path)}'").items():
        if isinstance(child, Module):
            _flatten(child, join_names(".", path, name), depth + 1, network)
        elif child is not None:
            raise CheckpointError(f"damaged: '{shown(path)}.{shown(name)}' is no module")
