"""Covered faces in training data: what is asked for, its labels, and whose cover a swap has."""

import dataclasses

import jax
import numpy as np
import pytest

from alrl_jax.config import Config
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import known_layout, open_source
from alrl_jax.data.true_swaps import true_swaps
from alrl_jax.data.world_faces import renderer_version, world_plan
from alrl_jax.errors import UserError
from alrl_jax.worlds import CoveringWorld, primitives

PEOPLE, EACH, SIDE = 3, 4, 32
KEY = primitives.split_key("development")
COUNT = PEOPLE * EACH
REQUEST = DataRequest(
    "synthetic", None, SIDE, PEOPLE, EACH, split="development", cover_share=0.7, progress=False
)


@pytest.fixture(scope="module")
def covers() -> primitives.Covers:
    return primitives.sample_covers(KEY, COUNT, 0.7)


def test_records_show_the_share_of_covers_that_is_asked_for(covers: primitives.Covers) -> None:
    people = primitives.sample_identities(KEY, PEOPLE)
    people = jax.tree.map(lambda x: x[np.arange(COUNT) // EACH], people)
    looks = primitives.sample_attributes(KEY, COUNT)
    expected = primitives.render(people, looks, SIDE, covers)
    bare = primitives.render(people, looks, SIDE)
    records = world_plan(REQUEST).make(0, COUNT)
    assert isinstance(records, np.ndarray)
    np.testing.assert_array_equal(records["parsing"], expected.parsing)
    pixels = (np.asarray(expected.image) + 1) * 127.5
    np.testing.assert_allclose(records["image"], pixels.clip(0, 255), atol=0.51)
    covered = np.asarray(covers.kind) > 0
    changed = np.any(np.asarray(expected.image != bare.image), axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, covered)
    assert 0.4 < covered.mean() < 1.0
    kinds = np.asarray(covers.kind).reshape(PEOPLE, EACH)
    assert all(len(set(row)) > 1 for row in kinds)  # a person's pictures have covers of their own


def test_a_part_of_the_plan_is_drawn_as_in_the_whole() -> None:
    plan = world_plan(REQUEST)
    whole, part = plan.make(0, COUNT), plan.make(5, 9)
    assert isinstance(whole, np.ndarray) and isinstance(part, np.ndarray)
    np.testing.assert_array_equal(part, whole[5:9])


def test_pictures_without_covers_keep_their_place_in_the_cache() -> None:
    bare = dataclasses.replace(REQUEST, cover_share=0.0)
    parameters = world_plan(bare).parameters
    assert "cover_share" not in parameters
    covered = {"cover_share": 0.7, "renderer_version": renderer_version()}
    assert world_plan(REQUEST).parameters == parameters | covered
    assert Config.from_dict({}).data.cover_share == 0.0


def test_a_share_of_nothing_draws_what_was_drawn_before() -> None:
    bare = world_plan(dataclasses.replace(REQUEST, cover_share=0.0)).make(0, COUNT)
    people = primitives.sample_identities(KEY, PEOPLE)
    people = jax.tree.map(lambda x: x[np.arange(COUNT) // EACH], people)
    drawn = primitives.render(people, primitives.sample_attributes(KEY, COUNT), SIDE)
    assert isinstance(bare, np.ndarray)
    np.testing.assert_array_equal(bare["parsing"], drawn.parsing)
    pixels = np.clip(np.rint((np.asarray(drawn.image) + 1) * 127.5), 0, 255)
    np.testing.assert_array_equal(bare["image"], pixels)


def test_a_true_swap_has_the_cover_of_its_target(covers: primitives.Covers) -> None:
    truths = true_swaps(REQUEST)
    targets = np.array([int(np.flatnonzero(covers.kind)[0]), int(np.argmin(covers.kind))])
    sources = (targets + EACH) % COUNT
    images = truths.draw(sources, targets, np.array([False, False]))
    who = jax.tree.map(lambda x: x[sources // EACH], primitives.sample_identities(KEY, PEOPLE))
    looks = primitives.sample_attributes(KEY, COUNT)
    how, worn = jax.tree.map(lambda x: x[targets], (looks, covers))
    expected = primitives.render(who, how, SIDE, worn).image
    np.testing.assert_allclose(images, np.clip(expected, -1, 1), atol=1.01 / 255)
    bare = np.asarray(primitives.render(who, how, SIDE).image)
    assert np.abs(images - bare).max(axis=(1, 2, 3))[0] > 0.1


def test_shares_that_cannot_be_had() -> None:
    with pytest.raises(UserError, match=r"got data.cover_share=1\.5; expected 0 to 1"):
        world_plan(dataclasses.replace(REQUEST, cover_share=1.5))
    with pytest.raises(UserError, match=r"data.cover_share is 0\.5 with data.source folder"):
        known_layout(DataRequest("folder", None, SIDE, cover_share=0.5))
    with pytest.raises(UserError, match="expected 0, or one of .*'synthetic'"):
        open_source(DataRequest("prepared", None, SIDE, cover_share=0.5))
    assert isinstance(primitives, CoveringWorld)
