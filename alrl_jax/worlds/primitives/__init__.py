"""A procedural world of faces whose every factor is known, true swaps included."""

from alrl_jax.worlds.primitives.covering import render
from alrl_jax.worlds.primitives.covers import (
    COVER_KINDS,
    COVERS,
    Covers,
    covers_of_kind,
    no_covers,
    sample_covers,
)
from alrl_jax.worlds.primitives.labels import (
    FACE_LABELS,
    HEAD_LABELS,
    LANDMARKS,
    LEFT_RIGHT,
    PARSING_LABELS,
)
from alrl_jax.worlds.primitives.renderer import Rendering, project_landmarks
from alrl_jax.worlds.primitives.sampling import (
    ATTRIBUTE_FACTORS,
    ATTRIBUTE_GROUPS,
    ATTRIBUTE_MIRROR_SIGNS,
    IDENTITY_FACTORS,
    SPLITS,
    Attributes,
    Identities,
    attribute_vector,
    identity_vector,
    sample_attributes,
    sample_identities,
    split_key,
)

__all__ = [
    "ATTRIBUTE_FACTORS",
    "ATTRIBUTE_GROUPS",
    "ATTRIBUTE_MIRROR_SIGNS",
    "Attributes",
    "COVERS",
    "COVER_KINDS",
    "Covers",
    "FACE_LABELS",
    "HEAD_LABELS",
    "IDENTITY_FACTORS",
    "Identities",
    "LANDMARKS",
    "LEFT_RIGHT",
    "PARSING_LABELS",
    "Rendering",
    "SPLITS",
    "attribute_vector",
    "covers_of_kind",
    "identity_vector",
    "no_covers",
    "project_landmarks",
    "render",
    "sample_attributes",
    "sample_covers",
    "sample_identities",
    "split_key",
]
