"""Face swapping with StyleGAN2 and adaptive latent representation learning, in JAX."""

from alrl_jax import synthetic
from alrl_jax.errors import UserError
from alrl_jax.inference.settings import Settings as SwapSettings
from alrl_jax.inference.stream import StreamResult, swap_stream
from alrl_jax.loading import load

__all__ = ["StreamResult", "SwapSettings", "UserError", "load", "swap_stream", "synthetic"]
__version__ = "0.1.0"
