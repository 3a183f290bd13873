"""Every world keeps the interface, and ``alrl_jax.synthetic`` is the first of them."""

import sys

import jax
import numpy as np
import pytest

import alrl_jax
import alrl_jax.synthetic
from alrl_jax import synthetic as by_from_import
from alrl_jax.worlds import WORLDS, World

RESOLUTION = 16


def public(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_synthetic_is_the_world_of_primitives() -> None:
    primitives = WORLDS["primitives"]
    assert by_from_import is primitives
    assert alrl_jax.synthetic is primitives
    assert sys.modules["alrl_jax.synthetic"] is primitives
    assert public(World) <= set(dir(alrl_jax.synthetic))


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_samples_and_renders(name: str) -> None:
    world = WORLDS[name]
    key = jax.random.key(5)
    people, looks = world.sample_identities(key, 3), world.sample_attributes(key, 3)
    faces = world.render(people, looks, RESOLUTION)
    assert faces.image.shape == (3, RESOLUTION, RESOLUTION, 3)
    assert -1 <= float(faces.image.min()) < float(faces.image.max()) <= 1
    assert faces.parsing.shape == (3, RESOLUTION, RESOLUTION)
    assert faces.pose_degrees.shape == (3, 3)
    assert faces.landmarks.shape[0] == 3 and faces.landmarks.shape[2] == 2
    fewer = world.render(
        world.sample_identities(key, 2), world.sample_attributes(key, 2), RESOLUTION
    )
    np.testing.assert_array_equal(fewer.image, faces.image[:2])


@pytest.mark.parametrize("name", WORLDS)
def test_attributes_do_not_move_with_the_identity(name: str) -> None:
    """The true swap has the pose of the target, whoever is rendered."""
    world = WORLDS[name]
    key = jax.random.key(6)
    people, looks = world.sample_identities(key, 2), world.sample_attributes(key, 2)
    swapped = world.render(jax.tree.map(lambda leaf: leaf[::-1], people), looks, RESOLUTION)
    faces = world.render(people, looks, RESOLUTION)
    np.testing.assert_array_equal(swapped.pose_degrees, faces.pose_degrees)
    assert np.abs(np.asarray(swapped.image) - np.asarray(faces.image)).max() > 0.1
