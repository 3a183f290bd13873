"""The counterfactual benchmark: swaps whose true result is known.

Pair i shows person 2i of the split (source) and person 2i + 1 (target), each with attributes of
its own. The truth is person 2i rendered with the target's attributes. Pair i is the same whatever
the number of pairs.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.evaluation.image_metrics import dilate
from alrl_jax.types import AnyArray
from alrl_jax.worlds import primitives

EVALUATION_SPLITS = ("development", "test")
"""What is tuned is measured on the first; on the second, once and when it is asked for by name."""
SKIN_TONE_EDGES = (0.25, 0.5, 0.75)
SKIN_TONE_BINS = ("very_light", "light", "dark", "very_dark")
"""Bins of the target's melanin, equally likely under the sampling law."""
DILATION_AT_64 = 3

CONTROL_PAIRS = 100
"""Pairs on which control is measured."""

WIDE_POSE_GAP_DEGREES = 45.0
EXTREME_AZIMUTH_DEGREES = 60.0
FULL_FRINGE = 0.7
"""What makes a pair hard: see ``hard_pairs``."""


@flax.struct.dataclass
class PairPlan:
    """Parameters of every pair; ``gallery`` is the source person in other circumstances.

    ``target_covers`` is what covers the targets, None for nothing. ``reasons`` says which pairs a
    set makes hard, by what makes them so.
    """

    source_identities: Any
    target_identities: Any
    source_attributes: Any
    target_attributes: Any
    gallery_attributes: Any
    target_covers: primitives.Covers | None = None
    reasons: dict[str, Bool[AnyArray, " n"]] = dataclasses.field(default_factory=dict)


@flax.struct.dataclass
class Counterfactuals:
    """Rendered pairs and all that is known about them.

    Attributes:
        source: person A with attributes a.
        target: person B with attributes b.
        truth: person A with attributes b, the true swap.
        gallery: person A with other attributes, for retrieval.
        face_region: union of the true faces of target and truth.
        background: outside the face region dilated by 3 px at 64 px.
        pose_degrees: true pose of the target.
        attribute_factors: standardised attributes of the target.
        landmarks: true landmarks of the true swap, in pixels.
        visible: whether a landmark can be seen in the true swap.
        skin_tone: melanin of the target, from 0 (very light) to 1 (very dark).
        hard: whether a pair is hard, by what makes it so; see ``hard_pairs`` and
            ``PairPlan.reasons``.
    """

    source: Float[Array, "b h w 3"]
    target: Float[Array, "b h w 3"]
    truth: Float[Array, "b h w 3"]
    gallery: Float[Array, "b h w 3"]
    face_region: Float[Array, "b h w 1"]
    background: Float[Array, "b h w 1"]
    pose_degrees: Float[Array, "b 3"]
    attribute_factors: Float[Array, "b a"]
    landmarks: Float[Array, "b m 2"]
    visible: Bool[Array, "b m"]
    skin_tone: Float[Array, " b"]
    hard: dict[str, Bool[Array, " b"]]


def plan_pairs(split: str, seed: int, count: int) -> PairPlan:
    """Draws the parameters of ``count`` pairs of a held-out split.

    Raises:
        ValueError: the split is not one for evaluation.
    """
    if split not in EVALUATION_SPLITS:
        raise ValueError(f"got split {split!r}; expected one of {EVALUATION_SPLITS}")
    key = primitives.split_key(split, seed)
    people = primitives.sample_identities(key, 2 * count)
    looks = primitives.sample_attributes(key, 3 * count)
    return PairPlan(
        source_identities=every(people, 0, 2),
        target_identities=every(people, 1, 2),
        source_attributes=every(looks, 0, 3),
        target_attributes=every(looks, 1, 3),
        gallery_attributes=every(looks, 2, 3),
    )


def every(tree: Any, start: int, step: int) -> Any:
    """Every ``step``-th row of all arrays of a struct."""
    return jax.tree.map(lambda leaf: leaf[start::step], tree)


def take(tree: Any, rows: Int[np.ndarray, " b"]) -> Any:
    """The given rows of all arrays of a struct."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def face_pixels(parsing: Int[Array, "b h w"]) -> Float[Array, "b h w 1"]:
    """1 where the parsing shows a part of the swapped face region."""
    face = jnp.isin(parsing, jnp.asarray(primitives.FACE_LABELS, parsing.dtype))
    return face[..., None].astype(jnp.float32)


def background_of(face_region: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """1 outside the face region grown by 3 px at 64 px."""
    return 1 - dilate(face_region, round(DILATION_AT_64 * face_region.shape[1] / 64))


def render_pairs(plan: PairPlan, resolution: int) -> Counterfactuals:
    """Renders the pairs of a plan at ``resolution`` px."""
    source = primitives.render(plan.source_identities, plan.source_attributes, resolution)
    look, covers = plan.target_attributes, plan.target_covers
    target = primitives.render(plan.target_identities, look, resolution, covers)
    truth = primitives.render(plan.source_identities, look, resolution, covers)
    gallery = primitives.render(plan.source_identities, plan.gallery_attributes, resolution)
    face_region = jnp.maximum(face_pixels(target.parsing), face_pixels(truth.parsing))
    return Counterfactuals(
        source=source.image,
        target=target.image,
        truth=truth.image,
        gallery=gallery.image,
        face_region=face_region,
        background=background_of(face_region),
        pose_degrees=target.pose_degrees,
        attribute_factors=primitives.attribute_vector(plan.target_attributes),
        landmarks=truth.landmarks,
        visible=truth.visibility,
        skin_tone=plan.target_attributes.skin_melanin,
        hard=hard_pairs(plan, source.pose_degrees, target.pose_degrees) | plan.reasons,
    )


def hard_pairs(
    plan: PairPlan, source_pose: Float[Array, "b 3"], target_pose: Float[Array, "b 3"]
) -> dict[str, Bool[Array, " b"]]:
    """Pairs that are hard, by what makes them so; a pair may be hard for several reasons.

    ``wide_pose_gap``: yaw, pitch and roll of source and target lie more than 45 degrees apart (L2).
    ``extreme_light``: one of the faces is lit from more than 60 degrees aside. ``covering_hair``:
    the fringe of one of them comes down over the forehead.

    Args:
        plan: the pairs.
        source_pose: yaw, pitch and roll in degrees.
        target_pose: likewise.
    """
    looks = (plan.source_attributes, plan.target_attributes)
    gap = jnp.linalg.norm(source_pose - target_pose, axis=-1)
    azimuth = jnp.stack([jnp.abs(look.light_azimuth) for look in looks])
    fringe = jnp.stack([look.hair_fringe for look in looks])
    return {
        "wide_pose_gap": gap > WIDE_POSE_GAP_DEGREES,
        "extreme_light": jnp.any(azimuth > EXTREME_AZIMUTH_DEGREES, axis=0),
        "covering_hair": jnp.any(fringe > FULL_FRINGE, axis=0),
    }


def skin_tone_bins(tones: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Index into ``SKIN_TONE_BINS`` of every melanin value."""
    return np.digitize(tones, SKIN_TONE_EDGES)
