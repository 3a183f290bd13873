"""Face worlds whose every factor is known, true swaps included."""

from alrl_jax.worlds import primitives

__all__ = ["WORLDS"]

WORLDS = {"primitives": primitives}
"""Worlds by name; each has ``sample_identities``, ``sample_attributes`` and ``render``."""
