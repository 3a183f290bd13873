"""The two orders of the 19 face parsing classes, and the way from one to the other.

Both orders have the same names and give them different numbers, so a map that is read in the wrong
one looks plausible and is wrong nearly everywhere. All data of this project are in the order of
CelebAMask-HQ (``synthetic.PARSING_LABELS``); BiSeNet face parsers that were trained on it
(face-parsing.PyTorch and what descends from it) answer in the other one.
"""

import numpy as np

from alrl_jax.types import AnyArray
from alrl_jax.worlds.primitives.labels import PARSING_LABELS

CELEBAMASK_LABELS = PARSING_LABELS
"""Class names in the order in which CelebAMask-HQ paints its parts; the id is the place."""

BISENET_LABELS = (
    "background",
    "skin",
    "l_brow",
    "r_brow",
    "l_eye",
    "r_eye",
    "eye_g",
    "l_ear",
    "r_ear",
    "ear_r",
    "nose",
    "mouth",
    "u_lip",
    "l_lip",
    "neck",
    "neck_l",
    "cloth",
    "hair",
    "hat",
)
"""Class names in the order of BiSeNet face parsers; the id is the place."""

BISENET_TO_CELEBAMASK = {
    0: 0,  # background
    1: 1,  # skin
    2: 6,  # l_brow
    3: 7,  # r_brow
    4: 4,  # l_eye
    5: 5,  # r_eye
    6: 3,  # eye_g
    7: 8,  # l_ear
    8: 9,  # r_ear
    9: 15,  # ear_r
    10: 2,  # nose
    11: 10,  # mouth
    12: 11,  # u_lip
    13: 12,  # l_lip
    14: 17,  # neck
    15: 16,  # neck_l
    16: 18,  # cloth
    17: 13,  # hair
    18: 14,  # hat
}
"""CelebAMask-HQ id of every BiSeNet id."""

CELEBAMASK_TO_BISENET = {celeba: bisenet for bisenet, celeba in BISENET_TO_CELEBAMASK.items()}
"""BiSeNet id of every CelebAMask-HQ id."""


def bisenet_to_celebamask_channels(scores: AnyArray) -> AnyArray:
    """Puts class scores ``[..., 19]`` of a BiSeNet parser (JAX or NumPy) into CelebAMask-HQ order.

    ``argmax`` of the result over the last axis is what ``BISENET_TO_CELEBAMASK`` makes of the
    ``argmax`` of ``scores``, but for ties.
    """
    order = [CELEBAMASK_TO_BISENET[number] for number in range(len(CELEBAMASK_LABELS))]
    return scores[..., np.array(order)]
