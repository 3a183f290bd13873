"""Mirroring faces together with everything that is known about them."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from alrl_jax.data.records import Layout
from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives

POSE_SIGNS = np.array([-1, 1, -1], np.float32)
"""Of yaw, pitch and roll in a mirror."""


@dataclasses.dataclass(frozen=True)
class FlipTables:
    """What a mirror does to the fields of a layout; faces are symmetric, so identities stay.

    Attributes:
        parsing: class id in the mirror of every class id; unknown ids stay.
        landmarks: place in the mirror of every landmark.
        attribute_signs: factors of the attribute columns.
    """

    parsing: UInt8[np.ndarray, "256"]
    landmarks: Int[np.ndarray, " m"]
    attribute_signs: Float[np.ndarray, " a"]


def flip_tables(layout: Layout) -> FlipTables:
    """Returns the tables of a layout whose names are the project's (or who has no names at all).

    Raises:
        UserError: it is not known how a landmark or attribute behaves in a mirror.
    """
    signs = dict(zip(primitives.ATTRIBUTE_FACTORS, primitives.ATTRIBUTE_MIRROR_SIGNS, strict=True))
    unknown = [name for name in layout.attribute_factors if name not in signs]
    unknown += [name for name in layout.landmarks if name not in primitives.LANDMARKS]
    if unknown:
        raise UserError(
            f"got {unknown[0]!r} in the data; expected names of alrl_jax.worlds.primitives, "
            "whose mirror image is known; set data.flip to False"
        )
    mirror = {name: name for name in primitives.LANDMARKS}
    for left, right in primitives.LEFT_RIGHT["landmarks"]:
        left, right = primitives.LANDMARKS[left], primitives.LANDMARKS[right]
        mirror |= {left: right, right: left}
    parsing = np.arange(256, dtype=np.uint8)
    for left, right in primitives.LEFT_RIGHT["parsing"]:
        parsing[[left, right]] = right, left
    return FlipTables(
        parsing=parsing,
        landmarks=np.array(
            [layout.landmarks.index(mirror[name]) for name in layout.landmarks], np.int64
        ),
        attribute_signs=np.array([signs[name] for name in layout.attribute_factors], np.float32),
    )


def flip_records(
    records: np.ndarray, flip: Bool[np.ndarray, " b"], tables: FlipTables
) -> np.ndarray:
    """Mirrors the structured records ``[b]`` where ``flip``, in place, and returns them.

    Twice is the same as not at all, bit for bit where landmark coordinates are dyadic.
    """
    flipped = np.flatnonzero(flip)
    records["image"][flipped] = records["image"][flipped, :, ::-1]
    records["parsing"][flipped] = tables.parsing[records["parsing"][flipped, :, ::-1]]
    records["attribute_factors"][flipped] *= tables.attribute_signs
    # Elsewhere zeros stand for "unknown" and stay zeros.
    labelled = flipped[records["labelled"][flipped]]
    records["pose_degrees"][labelled] *= POSE_SIGNS
    landmarks = records["landmarks"][labelled][:, tables.landmarks]
    landmarks[..., 0] = records["image"].shape[2] - landmarks[..., 0]  # pixel 0 covers 0 to 1
    records["landmarks"][labelled] = landmarks
    return records
