"""A world of human heads: MakeHuman's meshes and facial actions, every factor known.

It needs the packages of ``requirements-data.lock``; without them, drawing says so in one line.
"""

from alrl_jax.worlds.humans.covers import (
    COVER_KINDS,
    COVERS,
    Covers,
    covers_of_kind,
    no_covers,
    sample_covers,
)
from alrl_jax.worlds.humans.labels import FACE_LABELS, HEAD_LABELS, PARSING_LABELS
from alrl_jax.worlds.humans.landmarks import LANDMARK_PAIRS, LANDMARKS
from alrl_jax.worlds.humans.renderer import Rendering, render
from alrl_jax.worlds.humans.sampling import (
    ATTRIBUTE_FACTORS,
    ATTRIBUTE_GROUPS,
    ATTRIBUTE_MIRROR_SIGNS,
    BACKGROUNDS,
    HAIR_STYLES,
    IDENTITY_FACTORS,
    IDENTITY_MIRROR_SIGNS,
    Attributes,
    Identities,
    attribute_vector,
    identity_vector,
    sample_attributes,
    sample_identities,
)
from alrl_jax.worlds.primitives.labels import LEFT_RIGHT as _LABELS_LEFT_RIGHT
from alrl_jax.worlds.primitives.sampling import SPLITS, split_key

ONE_CORE_A_FACE = True
"""A face is drawn by one core; data sets are prepared by several processes."""

LEFT_RIGHT = {"parsing": _LABELS_LEFT_RIGHT["parsing"], "landmarks": LANDMARK_PAIRS}
"""Pairs of class ids and of landmark places that change places in a mirrored image."""

__all__ = [
    "ATTRIBUTE_FACTORS",
    "ATTRIBUTE_GROUPS",
    "ATTRIBUTE_MIRROR_SIGNS",
    "Attributes",
    "BACKGROUNDS",
    "COVERS",
    "COVER_KINDS",
    "Covers",
    "FACE_LABELS",
    "HAIR_STYLES",
    "HEAD_LABELS",
    "IDENTITY_FACTORS",
    "IDENTITY_MIRROR_SIGNS",
    "Identities",
    "LANDMARKS",
    "LEFT_RIGHT",
    "ONE_CORE_A_FACE",
    "PARSING_LABELS",
    "Rendering",
    "SPLITS",
    "attribute_vector",
    "covers_of_kind",
    "identity_vector",
    "no_covers",
    "render",
    "sample_attributes",
    "sample_covers",
    "sample_identities",
    "split_key",
]
