"""The configuration of a run: its schema, its rules, and how it is built from plain values."""

from alrl_jax.config.schema import Config, default_config

__all__ = ["Config", "default_config"]
