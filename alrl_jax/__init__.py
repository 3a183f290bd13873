"""Face swapping with StyleGAN2 and adaptive latent representation learning, in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

from alrl_jax.utils.platforms import check_platform
from alrl_jax.utils.version import VERSION as __version__

if TYPE_CHECKING:
    from alrl_jax import synthetic
    from alrl_jax.errors import UserError
    from alrl_jax.inference.settings import Settings as SwapSettings
    from alrl_jax.inference.stream import StreamResult, swap_stream
    from alrl_jax.loading import Model, load, load_generator, load_swapper

__all__ = [
    "Model",
    "StreamResult",
    "SwapSettings",
    "UserError",
    "__version__",
    "load",
    "load_generator",
    "load_swapper",
    "swap_stream",
    "synthetic",
]

_HOMES = {
    "Model": ("alrl_jax.loading", "Model"),
    "StreamResult": ("alrl_jax.inference.stream", "StreamResult"),
    "SwapSettings": ("alrl_jax.inference.settings", "Settings"),
    "UserError": ("alrl_jax.errors", "UserError"),
    "load": ("alrl_jax.loading", "load"),
    "load_generator": ("alrl_jax.loading", "load_generator"),
    "load_swapper": ("alrl_jax.loading", "load_swapper"),
    "swap_stream": ("alrl_jax.inference.stream", "swap_stream"),
}
"""Where public names come from: module, and name in it. They are imported when they are asked for,
so that ``alrl --help`` and a command's mistakes do not wait for JAX."""


check_platform()


def __getattr__(name: str) -> Any:
    if name == "synthetic":
        return importlib.import_module("alrl_jax.synthetic")
    if name in _HOMES:
        module, own = _HOMES[name]
        return getattr(importlib.import_module(module), own)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
