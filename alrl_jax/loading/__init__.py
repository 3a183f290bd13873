"""What ``alrl_jax.load`` gives: every kind of model, ready to use."""

from alrl_jax.loading.loader import load, load_kind

__all__ = ["load", "load_kind"]
