"""Face worlds whose every factor is known, true swaps included."""

from types import ModuleType

from alrl_jax.worlds import primitives

__all__ = ["OFFERS", "WORLDS", "World"]

World = ModuleType
"""A package that offers all names of ``OFFERS``."""

OFFERS: dict[str, str] = {
    "SPLITS": "parts of its key space; people of one part never occur in another",
    "IDENTITY_FACTORS": "names of the columns of identity_vector",
    "ATTRIBUTE_FACTORS": "names of the columns of attribute_vector",
    "LANDMARKS": "names of the landmarks that render gives",
    "split_key": "(split, seed=0) -> key of its people and attributes; UserError on no such split",
    "sample_identities": "(key, n) -> struct of n people",
    "sample_attributes": "(key, n) -> struct of n circumstances",
    "identity_vector": "(identities) -> factors [n, k] of mean 0 and deviation 1",
    "attribute_vector": "(attributes) -> factors [n, a] likewise",
    "render": "(identities, attributes, resolution) -> struct of image [n, r, r, 3] in [-1, 1], "
    "parsing [n, r, r], pose_degrees [n, 3] and landmarks [n, m, 2]",
}
"""What a world offers, by name."""

WORLDS: dict[str, World] = {"primitives": primitives}
"""Worlds by name."""
