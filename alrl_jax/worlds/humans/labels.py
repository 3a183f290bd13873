"""Parsing classes: which place of the skin has which name."""

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans.sampling import Attributes
from alrl_jax.worlds.primitives.labels import (
    FACE_LABELS,
    HEAD_LABELS,
    LABEL,
    PARSING_LABELS,
)

__all__ = ["FACE_LABELS", "HEAD_LABELS", "LABEL", "PARSING_LABELS", "skin_labels"]

MOUTH_LINE = 6.690
"""Height at which the lips of the average person meet."""


def skin_labels(
    rest: Float[np.ndarray, "n 3"], parts: dict[str, Float[np.ndarray, " n"]], look: Attributes
) -> Int[np.ndarray, " n"]:
    """Classes of places of the skin.

    Args:
        rest: places on the average person.
        parts: shares of what lies in the skin; see ``skin.albedo``.
        look: of the picture.
    """
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    label = np.full(len(rest), LABEL["skin"])
    jaw = 6.28 + 0.57 * (np.clip((1.33 - z) / 0.83, 0.0, 2.0)) ** 2
    label[(y < jaw) | ((z < 0.42) & (y < 6.95))] = LABEL["neck"]
    half = np.interp(y, (6.86, 6.9, 6.97, 7.2, 7.36), (0.10, 0.165, 0.185, 0.115, 0.07))
    label[(x < half) & (y > 6.875) & (y < 7.38) & (z > 1.30)] = LABEL["nose"]
    left = rest[:, 0] < 0
    for name, share, limit in (("ear", parts["ears"], 0.5), ("brow", parts["brow"], 0.35)):
        for side, prefix in ((left, "l_"), (~left, "r_")):
            label[(share > limit) & side] = LABEL[prefix + name]
    lips = (parts["lips"] > 0.5) & (parts["inside"] < 0.5)
    label[lips & (y >= MOUTH_LINE)] = LABEL["u_lip"]
    label[lips & (y < MOUTH_LINE)] = LABEL["l_lip"]
    label[parts["scalp"] > 0.45] = LABEL["hair"]
    label[parts["inside"] > 0.5] = LABEL["mouth"]
    return label
