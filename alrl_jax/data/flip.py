"""Mirroring faces together with everything that is known about them."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from alrl_jax.data.records import Layout
from alrl_jax.errors import UserError
from alrl_jax.worlds import humans, primitives

POSE_SIGNS = np.array([-1, 1, -1], np.float32)
"""Of yaw, pitch and roll in a mirror."""


@dataclasses.dataclass(frozen=True)
class FlipTables:
    """What a mirror does to the fields of a layout; a person in the mirror is the same person.

    Attributes:
        parsing: class id in the mirror of every class id; unknown ids stay.
        landmarks: place in the mirror of every landmark.
        attribute_signs: factors of the attribute columns.
        identity_signs: factors of the identity columns: of those that say how lopsided a face is.
    """

    parsing: UInt8[np.ndarray, "256"]
    landmarks: Int[np.ndarray, " m"]
    attribute_signs: Float[np.ndarray, " a"]
    identity_signs: Float[np.ndarray, " i"]


_SIGNS = {
    name: sign
    for names, signs in (
        (primitives.ATTRIBUTE_FACTORS, primitives.ATTRIBUTE_MIRROR_SIGNS),
        (humans.ATTRIBUTE_FACTORS, humans.ATTRIBUTE_MIRROR_SIGNS),
    )
    for name, sign in zip(names, signs, strict=True)
}
"""Factors of attributes by name; names that both worlds have mean the same in either."""

_IDENTITY_SIGNS = dict(zip(humans.IDENTITY_FACTORS, humans.IDENTITY_MIRROR_SIGNS, strict=True))


def _twins() -> dict[str, str]:
    """Landmarks by the one that is in their place in a mirror."""
    twins: dict[str, str] = {}
    for names, pairs in (
        (primitives.LANDMARKS, primitives.LEFT_RIGHT["landmarks"]),
        (humans.LANDMARKS, humans.LEFT_RIGHT["landmarks"]),
    ):
        twins |= {name: name for name in names}
        for left, right in pairs:
            twins |= {names[left]: names[right], names[right]: names[left]}
    return twins


def flip_tables(layout: Layout) -> FlipTables:
    """Returns the tables of a layout whose names are the project's (or who has no names at all).

    Raises:
        UserError: it is not known how a landmark or attribute behaves in a mirror.
    """
    mirror = _twins()
    unknown = [name for name in layout.attribute_factors if name not in _SIGNS]
    unknown += [name for name in layout.landmarks if name not in mirror]
    if unknown:
        raise UserError(
            f"got {unknown[0]!r} in the data; expected names of a world in alrl_jax.worlds, "
            "whose mirror image is known; set data.flip to False"
        )
    parsing = np.arange(256, dtype=np.uint8)
    for left, right in primitives.LEFT_RIGHT["parsing"]:
        parsing[[left, right]] = right, left
    return FlipTables(
        parsing=parsing,
        landmarks=np.array(
            [layout.landmarks.index(mirror[name]) for name in layout.landmarks], np.int64
        ),
        attribute_signs=np.array([_SIGNS[name] for name in layout.attribute_factors], np.float32),
        identity_signs=np.array(
            [_IDENTITY_SIGNS.get(name, 1.0) for name in layout.identity_factors], np.float32
        ),
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
    records["identity_factors"][flipped] *= tables.identity_signs
    # Elsewhere zeros stand for "unknown" and stay zeros.
    labelled = flipped[records["labelled"][flipped]]
    records["pose_degrees"][labelled] *= POSE_SIGNS
    landmarks = records["landmarks"][labelled][:, tables.landmarks]
    landmarks[..., 0] = records["image"].shape[2] - landmarks[..., 0]  # pixel 0 covers 0 to 1
    records["landmarks"][labelled] = landmarks
    return records
