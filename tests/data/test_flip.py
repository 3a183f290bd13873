"""A mirror turns all that is known about a face, and twice is not at all."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

from alrl_jax.data.flip import flip_records, flip_tables
from alrl_jax.data.records import Layout, to_float, to_uint8
from alrl_jax.data.world_faces import world_layout
from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives

MakeRecords = Callable[[np.ndarray], np.ndarray]
TABLES = flip_tables(world_layout(16))


def test_twice_is_not_at_all(make_records: MakeRecords) -> None:
    records = make_records(np.arange(6))
    flip = np.array([True, False, True, True, False, False])
    once = flip_records(records.copy(), flip, TABLES)
    assert (once[flip] != records[flip]).all() and (once[~flip] == records[~flip]).all()
    assert (flip_records(once, flip, TABLES) == records).all()


def test_left_and_right_change_places(make_records: MakeRecords) -> None:
    record = make_records(np.arange(1))
    left, right = (primitives.PARSING_LABELS.index(name) for name in ("l_eye", "r_eye"))
    skin = primitives.PARSING_LABELS.index("skin")
    record["parsing"] = skin
    record["parsing"][0, 3, 2] = left
    record["landmarks"][0, primitives.LANDMARKS.index("l_eye_centre")] = (2.5, 3.5)
    flip_records(record, np.array([True]), TABLES)
    assert record["parsing"][0, 3, 13] == right and record["parsing"][0, 3, 2] == skin
    place = primitives.LANDMARKS.index("r_eye_centre")
    np.testing.assert_array_equal(record["landmarks"][0, place], (13.5, 3.5))


def test_unlabelled_faces_only_have_their_pixels_turned() -> None:
    records = Layout(16).empty(2)
    records["image"][:, :, 0] = 200
    flip_records(records, np.array([True, False]), flip_tables(Layout(16)))
    assert (records["image"][0, :, -1] == 200).all() and (records["image"][0, :, 0] == 0).all()
    assert (records["parsing"] == 255).all() and (records["pose_degrees"] == 0).all()


def test_unknown_columns_are_refused() -> None:
    with pytest.raises(UserError, match="'left_wink'"):
        flip_tables(Layout(16, attribute_factors=("yaw", "left_wink")))


def test_mirrored_factors_render_the_mirrored_image() -> None:
    """The tables say the truth about the world: pixels, labels, landmarks and factors agree."""
    n, side = 3, 16
    people = primitives.sample_identities(jax.random.key(1), n)
    attributes = primitives.sample_attributes(jax.random.key(2), n)
    signs = dict(zip(primitives.ATTRIBUTE_FACTORS, primitives.ATTRIBUTE_MIRROR_SIGNS, strict=True))
    mirrored = attributes.replace(
        **{name: -getattr(attributes, name) for name, sign in signs.items() if sign < 0}
    )
    vector = np.asarray(primitives.attribute_vector(attributes))
    np.testing.assert_allclose(
        primitives.attribute_vector(mirrored), vector * TABLES.attribute_signs, atol=1e-5
    )
    here = primitives.render(people, attributes, side)
    there = primitives.render(people, mirrored, side)
    records = world_layout(side).empty(n)
    for name in ("parsing", "pose_degrees", "landmarks"):
        records[name] = getattr(here, name)
    records["image"] = to_uint8(np.asarray(here.image))
    records["labelled"] = True
    flip_records(records, np.full(n, True), TABLES)
    np.testing.assert_allclose(records["pose_degrees"], there.pose_degrees, atol=1e-4)
    np.testing.assert_allclose(records["landmarks"], there.landmarks, atol=1e-2)
    same = records["parsing"] == np.asarray(there.parsing)
    assert np.mean(same) > 0.95
    difference = np.abs(to_float(records["image"]) - there.image)
    assert np.mean(difference) < 0.01 < np.mean(np.abs(here.image - there.image))
