"""Reads NVIDIA's TensorFlow pickles: StyleGAN2 (state version 4), StyleGAN2-ADA (version 5).

Such a file is a tuple of the generator, the discriminator and the averaged generator.  The state
of each holds its variables, its components, and those of its arguments that are not the default.
The source text, which the original executes, is dropped.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from alrl_jax.convert.faults import CheckpointError, shown
from alrl_jax.convert.networks import (
    MAX_DEPTH,
    STATE_VERSION,
    Network,
    join_names,
    plain,
    text_keys,
)
from alrl_jax.convert.readers.inert_pickle import Global, Unbuilt

VERSIONS = (4, 5)
SECTIONS = ("G", "D", "Gs")


@dataclasses.dataclass(frozen=True)
class TFNetwork:
    """A pickled network.

    Attributes:
        version: of the state.
        arguments: those that differ from the default.
        variables: name and value.
        components: networks inside.
    """

    version: int
    arguments: Mapping[str, Any]
    variables: list[Any]
    components: Mapping[str, Any]


class _UnbuiltNetwork(Unbuilt):
    def build(self, state: Any) -> TFNetwork:
        match text_keys(state, "the state of a network"):
            case {"version": int(version)} if version not in VERSIONS:
                raise CheckpointError(f"a network's state is of version {version}, not 4 or 5")
            case {
                "version": int(version),
                "static_kwargs": dict(arguments),
                "variables": list(variables),
                **rest,
            }:
                components = rest.get("components", {})
                return TFNetwork(
                    version,
                    text_keys(arguments, "the arguments of a network"),
                    variables,
                    text_keys(components, "the components of a network"),
                )
        raise CheckpointError("damaged: the state of a network")


def _make_network(*arguments: Any) -> _UnbuiltNetwork:
    if arguments:
        raise CheckpointError("damaged: a network")
    return _UnbuiltNetwork()


def _reconstruct(kind: Any, base: Any, state: Any) -> Any:
    """Objects as protocols below 2 make them."""
    match (kind, base, state):
        case (Global(name=_EASY_DICT), Global(name="builtins dict" | "__builtin__ dict"), dict()):
            return state
        case (Global(name=_NETWORK), Global(name="builtins object" | "__builtin__ object"), None):
            return _UnbuiltNetwork()
    raise CheckpointError("it makes an object that a weight file does not need")


def _make_easy_dict(*arguments: Any) -> dict[str, Any]:
    if len(arguments) > 1:
        raise CheckpointError("damaged: a dict")
    return dict(text_keys(arguments[0], "a dict")) if arguments else {}


_EASY_DICT = "dnnlib.util EasyDict"
_NETWORK = "dnnlib.tflib.network Network"
_BASES = ("builtins dict", "__builtin__ dict", "builtins object", "__builtin__ object")

TF_NAMES: dict[str, Global] = {
    _NETWORK: Global(_NETWORK, _make_network),
    _EASY_DICT: Global(_EASY_DICT, _make_easy_dict),
    "copyreg _reconstructor": Global("copyreg _reconstructor", _reconstruct),
    "copy_reg _reconstructor": Global("copy_reg _reconstructor", _reconstruct),
    **{name: Global(name) for name in _BASES},
}
"""What such a pickle may name beyond NumPy's objects."""


def flatten_network(network: TFNetwork) -> Network:
    """All variables by name, e.g. ``synthesis/4x4/Const/const``, and the network's arguments.

    Raises:
        CheckpointError: if it is nested too deeply or its variables are none.
    """
    arguments = {name: _argument(value) for name, value in network.arguments.items()}
    flat = Network({}, {"": {**arguments, STATE_VERSION: network.version}})
    _flatten(network, "", 0, flat)
    return flat


def _argument(value: Any) -> Any:
    """A plain value or a short list of numbers; of anything else only what it is."""
    if isinstance(value, list) and len(value) <= 16:
        if all(isinstance(item, int | float) for item in value):
            return value
    return plain({"": value}).get("", f"a {type(value).__name__}")


def _flatten(network: TFNetwork, path: str, depth: int, flat: Network) -> None:
    if depth > MAX_DEPTH:
        raise CheckpointError(f"networks more than {MAX_DEPTH} deep")
    for variable in network.variables:
        match variable:
            case (str(name), np.ndarray() as value):
                flat.add(join_names("/", path, name), value)
            case _:
                raise CheckpointError(f"damaged: a variable of '{shown(path)}'")
    for name, component in network.components.items():
        if not isinstance(component, TFNetwork):
            raise CheckpointError(f"damaged: component '{shown(name)}' is no network")
        _flatten(component, join_names("/", path, name), depth + 1, flat)
