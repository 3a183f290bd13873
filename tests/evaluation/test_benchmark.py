"""The counterfactual benchmark: who meets whom, and what counts as face and background."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.evaluation import benchmark
from alrl_jax.worlds import primitives


def test_pairs_do_not_depend_on_their_number() -> None:
    few, many = (benchmark.plan_pairs("test", 0, n) for n in (3, 7))
    for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True):
        np.testing.assert_array_equal(a, b[:3])


def test_every_person_is_met_once_and_in_one_split() -> None:
    plans = [benchmark.plan_pairs(split, 0, 20) for split in benchmark.EVALUATION_SPLITS]
    people = np.concatenate(
        [
            np.asarray(primitives.identity_vector(who))
            for plan in plans
            for who in (plan.source_identities, plan.target_identities)
        ]
    )
    assert len(np.unique(people.round(4), axis=0)) == 80


def test_training_people_are_no_benchmark() -> None:
    with pytest.raises(ValueError, match="'train'"):
        benchmark.plan_pairs("train", 0, 2)


def test_skin_tones_fall_into_four_even_bins() -> None:
    plan = benchmark.plan_pairs("development", 0, 400)
    bins = benchmark.skin_tone_bins(np.asarray(plan.target_attributes.skin_melanin))
    counts = np.bincount(bins, minlength=4)
    assert len(counts) == len(benchmark.SKIN_TONE_BINS) and counts.min() > 70


def test_background_keeps_its_distance() -> None:
    for resolution, radius in ((64, 3), (128, 6), (16, 1)):
        region = jnp.zeros((1, resolution, resolution, 1)).at[0, 8, 8].set(1)
        background = np.asarray(benchmark.background_of(region))
        hole = np.argwhere(background[0, ..., 0] == 0)
        assert hole.min(0).tolist() == [8 - radius] * 2 and hole.max(0).tolist() == [8 + radius] * 2


def test_rendered_pairs_are_what_they_say() -> None:
    plan = benchmark.plan_pairs("test", 0, 2)
    pairs = benchmark.render_pairs(plan, 32)
    again = primitives.render(plan.source_identities, plan.target_attributes, 32)
    np.testing.assert_array_equal(pairs.truth, again.image)
    np.testing.assert_array_equal(pairs.landmarks, again.landmarks)
    faces = np.isin(np.asarray(again.parsing), primitives.FACE_LABELS)
    assert (np.asarray(pairs.face_region)[..., 0][faces] == 1).all()
    assert 0.05 < float(pairs.face_region.mean()) < 0.6
    assert float((pairs.face_region * pairs.background).max()) == 0
    assert np.abs(np.asarray(pairs.truth) - np.asarray(pairs.target)).max() > 0.1
