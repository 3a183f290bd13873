"""Covers: their law, their images, and that they are the target's in the true swap."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.worlds import primitives
from alrl_jax.worlds.primitives import cover_shapes

RESOLUTION = 32
KEY = primitives.split_key("development", 1)
NAMES = tuple(primitives.COVERS)[1:]
COUNT = len(NAMES)
LABEL = {name: number for number, name in enumerate(primitives.PARSING_LABELS)}


def _take(tree: Any, places: list[int] | np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[jnp.asarray(places)], tree)


def _equal(a: primitives.Rendering, b: primitives.Rendering) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.fixture(scope="module")
def people() -> primitives.Identities:
    return primitives.sample_identities(KEY, 2 * COUNT)


@pytest.fixture(scope="module")
def looks() -> primitives.Attributes:
    """Of faces that look into the camera, without a fringe."""
    drawn = primitives.sample_attributes(KEY, COUNT)
    zero = jnp.zeros(COUNT)
    return drawn.replace(yaw=zero, pitch=zero, roll=zero, hair_fringe=zero)


@pytest.fixture(scope="module")
def covers() -> primitives.Covers:
    """One of every kind in its usual place; the glasses are clear."""
    drawn = primitives.covers_of_kind(KEY, jnp.arange(1, COUNT + 1))
    zero = jnp.zeros(COUNT)
    y = jnp.where(drawn.kind == primitives.COVER_KINDS.index("microphone"), -0.45, zero)
    clear = {"softness": zero, "opacity": zero + 0.1}
    return drawn.replace(x=zero, y=y, tilt=zero, size=zero + 1, **clear)


@pytest.fixture(scope="module")
def bare(people: primitives.Identities, looks: primitives.Attributes) -> primitives.Rendering:
    return primitives.render(_take(people, np.arange(COUNT)), looks, RESOLUTION)


@pytest.fixture(scope="module")
def covered(
    people: primitives.Identities, looks: primitives.Attributes, covers: primitives.Covers
) -> primitives.Rendering:
    return primitives.render(_take(people, np.arange(COUNT)), looks, RESOLUTION, covers)


@pytest.fixture(scope="module")
def swapped(
    people: primitives.Identities, looks: primitives.Attributes, covers: primitives.Covers
) -> primitives.Rendering:
    """Other people with the same looks and covers: the true swaps."""
    others = _take(people, COUNT + np.arange(COUNT))
    return primitives.render(others, looks, RESOLUTION, covers)


def test_every_kind_has_a_shape_and_a_known_class() -> None:
    assert set(cover_shapes.SHAPES) | {"none"} == set(primitives.COVERS)
    assert {of.label for of in primitives.COVERS.values()} <= set(LABEL)
    assert primitives.COVER_KINDS[0] == "none"


def test_a_cover_of_no_kind_changes_no_bit(
    people: primitives.Identities, looks: primitives.Attributes, bare: primitives.Rendering
) -> None:
    none = primitives.no_covers(COUNT)
    drawn = primitives.render(_take(people, np.arange(COUNT)), looks, RESOLUTION, none)
    assert _equal(bare, drawn)


@pytest.mark.parametrize("name", NAMES)
def test_a_cover_shows_in_front_of_the_face(
    name: str, bare: primitives.Rendering, covered: primitives.Rendering
) -> None:
    i = NAMES.index(name)
    hidden = np.asarray(bare.parsing[i] != covered.parsing[i])
    assert np.all(np.asarray(covered.parsing[i])[hidden] == LABEL[primitives.COVERS[name].label])
    face = np.isin(bare.parsing[i], primitives.FACE_LABELS)
    assert 0.02 < (hidden & face).sum() / face.sum() < 0.9
    same = np.all(np.asarray(bare.image[i] == covered.image[i]), axis=-1)
    assert not np.any(same & hidden) and same.mean() > 0.3  # beside cover and shadow, to the bit
    assert np.abs(covered.image[i]).max() <= 1.0 + 1e-5


def test_what_a_cover_hides_is_not_visible(
    bare: primitives.Rendering, covered: primitives.Rendering
) -> None:
    np.testing.assert_array_equal(bare.landmarks, covered.landmarks)
    assert not np.any(covered.visibility & ~bare.visibility)
    found = {
        name: {primitives.LANDMARKS[m] for m in np.flatnonzero(~covered.visibility[i])}
        for i, name in enumerate(NAMES)
    }
    mouth = {"l_mouth_corner", "r_mouth_corner", "u_lip_top", "l_lip_bottom"}
    assert mouth | {"chin"} <= found["mask"] and mouth | {"chin"} <= found["scarf"]
    assert not found["mask"] & {"l_eye_centre", "r_eye_centre", "l_brow_inner"}
    assert "l_lip_bottom" in found["microphone"] and "r_eye_centre" not in found["glasses"]
    assert found["lock"] & {"r_brow_inner", "r_brow_outer", "r_eye_centre"}
    assert "nose_tip" in found["hand"] and "nose_tip" in found["board"]


@pytest.mark.parametrize("name", NAMES)
def test_the_true_swap_keeps_the_cover_of_the_target(
    name: str,
    bare: primitives.Rendering,
    covered: primitives.Rendering,
    swapped: primitives.Rendering,
) -> None:
    i, label = NAMES.index(name), LABEL[primitives.COVERS[name].label]
    hidden = np.asarray((bare.parsing[i] != label) & (covered.parsing[i] == label))
    kept = hidden & np.asarray(swapped.parsing[i] == label)
    assert kept.sum() > 0.8 * hidden.sum()
    gap = np.abs(np.asarray(swapped.image[i] - covered.image[i]))[kept].max(axis=-1)
    assert np.median(gap) < 0.02  # edges and clear lenses alone show the other person
    beside = np.asarray(covered.parsing[i] == swapped.parsing[i]) & ~hidden
    face = beside & np.isin(covered.parsing[i], primitives.FACE_LABELS)
    assert np.abs(np.asarray(swapped.image[i] - covered.image[i]))[face].mean() > 0.01


def test_what_is_worn_turns_with_the_head_and_what_is_held_stays(
    people: primitives.Identities,
    looks: primitives.Attributes,
    covers: primitives.Covers,
    covered: primitives.Rendering,
) -> None:
    turned = looks.replace(yaw=jnp.full(COUNT, 30.0))
    drawn = primitives.render(_take(people, np.arange(COUNT)), turned, RESOLUTION, covers)
    for name, moves in (("glasses", True), ("mask", True), ("board", False)):
        i, label = NAMES.index(name), LABEL[primitives.COVERS[name].label]
        middle = [
            np.argwhere(np.asarray(x.parsing[i][:26] == label)[:, 6:26])[:, 1].mean()
            for x in (covered, drawn)
        ]
        if moves:
            assert middle[1] > middle[0] + 1.0, name  # pixels of 32
        else:
            front = [np.asarray(x.image[i])[13:18, 13:18] for x in (covered, drawn)]
            np.testing.assert_allclose(*front, atol=1e-6)


def test_dark_lenses_hide_the_eyes_and_clear_ones_do_not(
    people: primitives.Identities, looks: primitives.Attributes, covers: primitives.Covers
) -> None:
    places = [NAMES.index("glasses")] * 2
    worn = _take(covers, places).replace(opacity=jnp.asarray([0.1, 0.9]))
    drawn = primitives.render(_take(people, places), _take(looks, places), RESOLUTION, worn)
    eye = primitives.LANDMARKS.index("l_eye_centre")
    assert drawn.visibility[:, eye].tolist() == [True, False]
    glass = (np.asarray(drawn.parsing) == LABEL["eye_g"]).sum(axis=(1, 2))
    assert 0 < glass[0] < 0.7 * glass[1]


def test_a_face_and_its_cover_are_the_same_alone_and_in_a_crowd(
    people: primitives.Identities,
    looks: primitives.Attributes,
    covers: primitives.Covers,
    covered: primitives.Rendering,
) -> None:
    for i in (1, COUNT - 1):
        alone = primitives.render(
            _take(people, [i]), _take(looks, [i]), RESOLUTION, _take(covers, [i])
        )
        assert _equal(alone, _take(covered, [i]))


def test_a_cover_depends_on_key_and_place_alone() -> None:
    few, many = (primitives.sample_covers(KEY, n, 0.5) for n in (3, 400))
    leaves = zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True)
    assert all(np.array_equal(a, b[:3]) for a, b in leaves)
    other = primitives.sample_covers(primitives.split_key("test", 1), 400, 0.5)
    assert not np.any(np.asarray(other.opacity) == np.asarray(many.opacity))


def test_covers_follow_their_law() -> None:
    drawn = primitives.sample_covers(KEY, 400)
    kinds = np.bincount(drawn.kind, minlength=COUNT + 1)
    assert kinds[0] == 0 and kinds[1:].min() > 35
    for field in ("size", "x", "y", "tilt", "softness"):
        low, high = np.asarray([getattr(of, field) for of in primitives.COVERS.values()]).T
        values = np.asarray(getattr(drawn, field))
        assert np.all(values >= low[drawn.kind] - 1e-5), field
        assert np.all(values <= high[drawn.kind] + 1e-5), field
    assert np.all((drawn.opacity > 0.0) & (drawn.opacity < 1.0))


def test_the_share_of_covered_images_is_the_one_asked_for() -> None:
    shares = {s: np.mean(primitives.sample_covers(KEY, 400, s).kind > 0) for s in (0.0, 0.3, 1.0)}
    assert shares[0.0] == 0.0 and shares[1.0] == 1.0 and 0.2 < shares[0.3] < 0.4
    with pytest.raises(UserError, match=r"got a share of covers of 1\.5; expected 0 to 1"):
        primitives.sample_covers(KEY, 4, 1.5)


def test_every_image_needs_a_cover(
    people: primitives.Identities, looks: primitives.Attributes, covers: primitives.Covers
) -> None:
    with pytest.raises(UserError, match=r"covers of shape \(3,\); expected the same number"):
        primitives.render(
            _take(people, np.arange(COUNT)), looks, RESOLUTION, _take(covers, [0, 1, 2])
        )


def test_a_cover_is_no_factor_of_person_or_look() -> None:
    factors = {*primitives.IDENTITY_FACTORS, *primitives.ATTRIBUTE_FACTORS}
    assert not factors & {field.name for field in dataclasses.fields(primitives.Covers)}
