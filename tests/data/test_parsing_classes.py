"""The two class orders: the table says what the names say."""

import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.data.flip import flip_tables
from alrl_jax.data.parsing_classes import (
    BISENET_LABELS,
    BISENET_TO_CELEBAMASK,
    CELEBAMASK_LABELS,
    CELEBAMASK_TO_BISENET,
    bisenet_to_celebamask_channels,
    remap_labels,
)
from alrl_jax.data.records import Layout
from alrl_jax.errors import UserError


def test_the_table_says_what_the_names_say() -> None:
    assert sorted(BISENET_LABELS) == sorted(CELEBAMASK_LABELS) and len(BISENET_LABELS) == 19
    for bisenet, name in enumerate(BISENET_LABELS):
        assert BISENET_TO_CELEBAMASK[bisenet] == CELEBAMASK_LABELS.index(name), name
        assert CELEBAMASK_TO_BISENET[CELEBAMASK_LABELS.index(name)] == bisenet, name


def test_maps_there_and_back() -> None:
    labels = np.array([[*range(19), 255]] * 2, np.uint8)
    there = remap_labels(labels, BISENET_TO_CELEBAMASK)
    assert there.dtype == np.uint8 and there[0, -1] == 255
    assert there[0, BISENET_LABELS.index("hair")] == CELEBAMASK_LABELS.index("hair") == 13
    np.testing.assert_array_equal(remap_labels(there, CELEBAMASK_TO_BISENET), labels)
    assert remap_labels(labels.astype(np.int32), BISENET_TO_CELEBAMASK).dtype == np.int32


def test_ids_of_no_class_are_refused() -> None:
    for bad in (19, 254, -1):
        with pytest.raises(UserError, match=f"class id {bad} "):
            remap_labels(np.array([1, bad], np.int64), BISENET_TO_CELEBAMASK)


def test_channels_move_as_the_labels_do() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 19)).astype(np.float32)
    expected = remap_labels(scores.argmax(-1), BISENET_TO_CELEBAMASK)
    for given in (scores, jnp.asarray(scores)):
        np.testing.assert_array_equal(bisenet_to_celebamask_channels(given).argmax(-1), expected)


def test_a_mirror_swaps_left_and_right_in_either_order() -> None:
    """Mirroring ids and renumbering them may be done in any order."""
    mirror = flip_tables(Layout(16)).parsing
    ids = np.arange(19, dtype=np.uint8)
    names = np.array(BISENET_LABELS)
    swapped = [{"l": "r", "r": "l"}.get(n[0], "") + n[1:] for n in names]
    pairs = {"l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear"}
    own = np.array(
        [BISENET_LABELS.index(s if n in pairs else n) for n, s in zip(names, swapped, strict=True)]
    ).astype(np.uint8)
    np.testing.assert_array_equal(
        mirror[remap_labels(ids, BISENET_TO_CELEBAMASK)], remap_labels(own, BISENET_TO_CELEBAMASK)
    )
    assert mirror[CELEBAMASK_LABELS.index("u_lip")] == CELEBAMASK_LABELS.index("u_lip")
