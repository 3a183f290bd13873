"""Face swapping with StyleGAN2 and adaptive latent representation learning, in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

from alrl_jax.utils.version import VERSION as __version__

if TYPE_CHECKING:
    from alrl_jax import synthetic
    from alrl_jax.errors import UserError
    from alrl_jax.loading import load

__all__ = ["UserError", "__version__", "load", "synthetic"]

_HOMES = {"UserError": "alrl_jax.errors", "load": "alrl_jax.loading"}
"""Where public names come from. They are imported when they are asked for, so that ``alrl --help``
and a command's mistakes do not wait for JAX."""


def __getattr__(name: str) -> Any:
    if name == "synthetic":
        return importlib.import_module("alrl_jax.synthetic")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
