"""Images: determinism, disentanglement, labels, pose, landmarks, mirror, boldness."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import sampling, scene

RESOLUTION = 64
Frontal = tuple[primitives.Identities, primitives.Attributes]


def _take(rows: Any, places: np.ndarray | list[int]) -> Any:
    return jax.tree.map(lambda x: x[jnp.asarray(places)], rows)


def _average(table: dict[str, sampling.Factor], count: int) -> dict[str, Any]:
    wide = ("background", "clothes")
    return {
        name: jnp.full((count, 3) if name in wide else (count,), (row.low + row.high) / 2)
        for name, row in table.items()
    }


@pytest.fixture(scope="module")
def people() -> primitives.Identities:
    return primitives.sample_identities(primitives.split_key("test"), 33)


@pytest.fixture(scope="module")
def moments() -> primitives.Attributes:
    return primitives.sample_attributes(primitives.split_key("test"), 33)


@pytest.fixture(scope="module")
def drawn(people: primitives.Identities, moments: primitives.Attributes) -> primitives.Rendering:
    return primitives.render(people, moments, RESOLUTION)


@pytest.fixture(scope="module")
def swapped(people: primitives.Identities, moments: primitives.Attributes) -> primitives.Rendering:
    return primitives.render(_take(people, np.roll(np.arange(33), 1)), moments, RESOLUTION)


@pytest.fixture(scope="module")
def frontal() -> Frontal:
    """An average face, frontal, with eyes open."""
    how = _average(sampling.ATTRIBUTE_TABLE, 1)
    how = {**how, "blink": jnp.zeros(1), "mouth_open": jnp.zeros(1), "hair_fringe": jnp.zeros(1)}
    how["smile"] = jnp.zeros(1)
    return primitives.Identities(**_average(sampling.IDENTITY_TABLE, 1)), primitives.Attributes(
        **how
    )


def test_shapes_and_ranges(drawn: primitives.Rendering) -> None:
    n, m = 33, len(primitives.LANDMARKS)
    assert drawn.image.shape == (n, RESOLUTION, RESOLUTION, 3)
    assert drawn.image.dtype == jnp.float32
    assert float(drawn.image.min()) >= -1.0 and float(drawn.image.max()) <= 1.0
    assert drawn.parsing.shape == (n, RESOLUTION, RESOLUTION) and drawn.parsing.dtype == jnp.int32
    assert drawn.landmarks.shape == (n, m, 2) and drawn.visibility.shape == (n, m)
    assert bool(jnp.all(jnp.isfinite(drawn.image)))


def test_a_face_is_the_same_bit_for_bit_alone_and_in_a_crowd(
    people: primitives.Identities, moments: primitives.Attributes, drawn: primitives.Rendering
) -> None:
    places = [20, 3]
    again = primitives.render(_take(people, places), _take(moments, places), RESOLUTION)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(drawn), strict=True):
        np.testing.assert_array_equal(one, other[np.asarray(places)])


def test_changing_one_struct_leaves_the_other_scene_alone(
    people: primitives.Identities, moments: primitives.Attributes
) -> None:
    other_people, other_moments = (
        _take(rows, np.roll(np.arange(33), 1)) for rows in (people, moments)
    )
    before = scene.face_scene(people, moments)
    new_moment = scene.face_scene(people, other_moments)
    new_person = scene.face_scene(other_people, moments)
    for one, other in (
        (before.identity, new_moment.identity),
        (before.attributes, new_person.attributes),
    ):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)
    for field in dataclasses.fields(before.identity):
        one, other = getattr(before.identity, field.name), getattr(new_person.identity, field.name)
        assert not np.array_equal(one, other), field.name
    for field in dataclasses.fields(before.attributes):
        one, other = (
            getattr(before.attributes, field.name),
            getattr(new_moment.attributes, field.name),
        )
        assert not np.array_equal(one, other), field.name


def test_labels_are_known_and_faces_have_all_parts(drawn: primitives.Rendering) -> None:
    labels = np.asarray(drawn.parsing)
    assert labels.min() >= 0 and labels.max() < len(primitives.PARSING_LABELS)
    share = {name: (labels == i).mean() for i, name in enumerate(primitives.PARSING_LABELS)}
    absent = {name for name, part in share.items() if part == 0.0}
    assert absent == {"eye_g", "hat", "ear_r", "neck_l"}
    assert np.isin(labels, primitives.FACE_LABELS).mean() > 0.22


def test_pose_is_the_one_asked_for(
    moments: primitives.Attributes, drawn: primitives.Rendering
) -> None:
    asked = jnp.stack([moments.yaw, moments.pitch, moments.roll], axis=-1)
    np.testing.assert_array_equal(drawn.pose_degrees, asked)


def test_rotation_follows_its_angles() -> None:
    degrees = jnp.deg2rad(jnp.asarray([30.0]))
    zero = jnp.zeros(1)
    yaw, pitch, roll = (
        scene.rotation_matrix(*(degrees if i == axis else zero for i in range(3)))[0]
        for axis in range(3)
    )
    np.testing.assert_allclose(yaw[:, 2], [0.5, 0.0, np.sqrt(0.75)], atol=1e-6)
    np.testing.assert_allclose(pitch[:, 2], [0.0, 0.5, np.sqrt(0.75)], atol=1e-6)
    np.testing.assert_allclose(roll[:, 1], [0.5, np.sqrt(0.75), 0.0], atol=1e-6)


def test_average_face_sits_where_ffhq_has_it(frontal: Frontal) -> None:
    done = primitives.render(*frontal, RESOLUTION)
    place = dict(zip(primitives.LANDMARKS, np.asarray(done.landmarks[0]) / RESOLUTION, strict=True))
    np.testing.assert_allclose(place["l_eye_centre"], (0.38, 0.47), atol=0.015)
    np.testing.assert_allclose(place["r_eye_centre"], (0.62, 0.47), atol=0.015)
    np.testing.assert_allclose(place["u_lip_top"][1], 0.70, atol=0.02)
    assert 0.88 < place["chin"][1] < 0.95
    assert bool(jnp.all(done.visibility))
    parsing = np.asarray(done.parsing[0])
    for name, label in (("l_eye_centre", "l_eye"), ("r_eye_centre", "r_eye"), ("nose_tip", "nose")):
        x, y = (int(c * RESOLUTION) for c in place[name])
        assert primitives.PARSING_LABELS[parsing[y, x]] == label


def test_mirrored_attributes_mirror_the_image(
    people: primitives.Identities, moments: primitives.Attributes, drawn: primitives.Rendering
) -> None:
    signs = dict(zip(primitives.ATTRIBUTE_FACTORS, primitives.ATTRIBUTE_MIRROR_SIGNS, strict=True))
    eight = np.arange(8)
    flipped = _take(moments, eight)
    flipped = flipped.replace(
        **{name: -getattr(flipped, name) for name, sign in signs.items() if sign < 0}
    )
    mirrored = primitives.render(_take(people, eight), flipped, RESOLUTION)
    image = np.asarray(mirrored.image)[:, :, ::-1]
    np.testing.assert_allclose(image.mean(), np.asarray(drawn.image[:8]).mean(), atol=1e-3)
    assert np.abs(image - np.asarray(drawn.image[:8])).mean() < 4e-3
    parsing = np.arange(len(primitives.PARSING_LABELS))
    for a, b in primitives.LEFT_RIGHT["parsing"]:
        parsing[[a, b]] = parsing[[b, a]]
    agreed = parsing[np.asarray(mirrored.parsing)][:, :, ::-1] == np.asarray(drawn.parsing[:8])
    assert agreed.mean() > 0.995
    order = np.arange(len(primitives.LANDMARKS))
    for a, b in primitives.LEFT_RIGHT["landmarks"]:
        order[[a, b]] = order[[b, a]]
    points = np.asarray(mirrored.landmarks)[:, order] * (-1, 1) + (RESOLUTION, 0)
    np.testing.assert_allclose(points, drawn.landmarks[:8], atol=1e-2)


def test_left_right_is_an_involution_of_names() -> None:
    for names, pairs in (
        (primitives.PARSING_LABELS, primitives.LEFT_RIGHT["parsing"]),
        (primitives.LANDMARKS, primitives.LEFT_RIGHT["landmarks"]),
    ):
        flat = [place for pair in pairs for place in pair]
        assert len(set(flat)) == len(flat)
        assert all(names[a] == "l_" + names[b][2:] for a, b in pairs)
        sided = {n for n in names if n[:2] in ("l_", "r_")} - {"l_lip", "l_lip_bottom"}
        assert {names[place] for place in flat} == sided


def test_people_differ_plainly(drawn: primitives.Rendering, swapped: primitives.Rendering) -> None:
    masks = [np.isin(np.asarray(x.parsing), primitives.FACE_LABELS) for x in (drawn, swapped)]
    region = masks[0] | masks[1]
    square = np.square(np.asarray(drawn.image) - np.asarray(swapped.image)).mean(axis=-1)
    error = (square * region).sum(axis=(1, 2)) / region.sum(axis=(1, 2))
    assert np.median(10 * np.log10(4 / error)) <= 18.0


@pytest.mark.parametrize("table", ["identity", "attribute"])
def test_every_factor_changes_the_image(frontal: Frontal, table: str) -> None:
    rows = sampling.IDENTITY_TABLE if table == "identity" else sampling.ATTRIBUTE_TABLE
    who, how = frontal
    for name, factor in rows.items():
        ends = []
        for value in (factor.low, factor.high):
            base = how.replace(hair_fringe=how.hair_fringe + float(name == "hair_parting"))
            new = jnp.full_like(getattr(who if table == "identity" else how, name), value)
            pair = (
                (who.replace(**{name: new}), base)
                if table == "identity"
                else (who, base.replace(**{name: new}))
            )
            ends.append(np.asarray(primitives.render(*pair, RESOLUTION).image))
        changed = (np.abs(ends[0] - ends[1]).max(axis=-1) > 0.1).sum()
        assert changed >= 8, f"{name} changes {changed} pixels"


@pytest.mark.parametrize("resolution", [0, 8, 65, 100, 1040])
def test_wrong_resolution_is_the_users_error(
    people: primitives.Identities, moments: primitives.Attributes, resolution: int
) -> None:
    with pytest.raises(UserError, match=f"got resolution {resolution}; expected a multiple of 16"):
        primitives.render(people, moments, resolution)


def test_rows_must_match(people: primitives.Identities, moments: primitives.Attributes) -> None:
    with pytest.raises(UserError, match="same number of both"):
        primitives.render(_take(people, [0]), moments, RESOLUTION)
