"""The two class orders: the table says what the names say."""

import jax.numpy as jnp
import numpy as np

from alrl_jax.data.flip import flip_tables
from alrl_jax.data.parsing_classes import (
    BISENET_LABELS,
    BISENET_TO_CELEBAMASK,
    CELEBAMASK_LABELS,
    CELEBAMASK_TO_BISENET,
    bisenet_to_celebamask_channels,
)
from alrl_jax.data.records import Layout

IN_CELEBAMASK = np.array([BISENET_TO_CELEBAMASK[number] for number in range(19)])
"""CelebAMask-HQ id by BiSeNet id."""


def test_the_table_says_what_the_names_say() -> None:
    assert sorted(BISENET_LABELS) == sorted(CELEBAMASK_LABELS) and len(BISENET_LABELS) == 19
    for bisenet, name in enumerate(BISENET_LABELS):
        assert BISENET_TO_CELEBAMASK[bisenet] == CELEBAMASK_LABELS.index(name), name
        assert CELEBAMASK_TO_BISENET[CELEBAMASK_LABELS.index(name)] == bisenet, name


def test_channels_move_as_the_labels_do() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 19)).astype(np.float32)
    expected = IN_CELEBAMASK[scores.argmax(-1)]
    for given in (scores, jnp.asarray(scores)):
        np.testing.assert_array_equal(bisenet_to_celebamask_channels(given).argmax(-1), expected)


def test_a_mirror_swaps_left_and_right_in_either_order() -> None:
    """Mirroring ids and renumbering them may be done in any order."""
    mirror = flip_tables(Layout(16)).parsing
    names = np.array(BISENET_LABELS)
    swapped = [{"l": "r", "r": "l"}.get(n[0], "") + n[1:] for n in names]
    pairs = {"l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear"}
    own = [
        BISENET_LABELS.index(s if n in pairs else n) for n, s in zip(names, swapped, strict=True)
    ]
    np.testing.assert_array_equal(mirror[IN_CELEBAMASK], IN_CELEBAMASK[own])
    assert mirror[CELEBAMASK_LABELS.index("u_lip")] == CELEBAMASK_LABELS.index("u_lip")
