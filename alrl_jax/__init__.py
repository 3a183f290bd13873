"""Face swapping with StyleGAN2 and adaptive latent representation learning, in JAX."""

from alrl_jax import synthetic
from alrl_jax.errors import UserError
from alrl_jax.loading import Model, load, load_generator, load_swapper

__all__ = ["Model", "UserError", "load", "load_generator", "load_swapper", "synthetic"]
__version__ = "0.1.0"
