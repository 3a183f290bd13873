"""Face swapping with StyleGAN2 and adaptive latent representation learning, in JAX."""

from alrl_jax import synthetic
from alrl_jax.errors import UserError
from alrl_jax.loading import load

__all__ = ["UserError", "load", "synthetic"]
__version__ = "0.1.0"
