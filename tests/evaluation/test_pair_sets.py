"""The set of pairs that are hard to see: its reasons, its hash, and the covers of true swaps."""

from typing import Any

import jax
import numpy as np
import pytest

from alrl_jax.evaluation import benchmark, pair_sets
from alrl_jax.worlds import primitives

COUNT = pair_sets.HASHED_PAIRS
PROBES: dict[str, dict[str, float]] = {
    "development": {
        "source_people": 26.13687,
        "target_people": 27.18227,
        "source_looks": 32.60875,
        "target_looks": 27.96177,
        "gallery_looks": 31.40859,
        "target_covers": 4.06687,
    },
    "test": {
        "source_people": 26.99938,
        "target_people": 27.36905,
        "source_looks": 32.18804,
        "target_looks": 30.14598,
        "gallery_looks": 31.39736,
        "target_covers": 3.56731,
    },
}
"""Means of the sets that the hashes stand for; the last bits of a figure may differ by machine."""


@pytest.fixture(scope="module", params=benchmark.EVALUATION_SPLITS)
def split(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def plan(split: str) -> benchmark.PairPlan:
    return pair_sets.occlusion_pairs(split, 0, COUNT)


@pytest.fixture(scope="module")
def usual(split: str) -> benchmark.PairPlan:
    return benchmark.plan_pairs(split, 0, COUNT)


def _kinds(plan: benchmark.PairPlan) -> np.ndarray:
    assert plan.target_covers is not None
    return np.asarray(plan.target_covers.kind)


def test_the_set_is_the_one_that_figures_mean(split: str, plan: benchmark.PairPlan) -> None:
    assert pair_sets.occlusion_sha256(split, 0) == pair_sets.OCCLUSION_SHA256[split]
    structs: dict[str, Any] = {
        "source_people": plan.source_identities,
        "target_people": plan.target_identities,
        "source_looks": plan.source_attributes,
        "target_looks": plan.target_attributes,
        "gallery_looks": plan.gallery_attributes,
        "target_covers": plan.target_covers,
    }
    found = {
        name: float(sum(np.asarray(x).mean(dtype=np.float64) for x in jax.tree.leaves(struct)))
        for name, struct in structs.items()
    }
    assert found == pytest.approx(PROBES[split], abs=1e-4)


def test_hashes_tell_sets_apart() -> None:
    hashes = {pair_sets.OCCLUSION_SHA256[name] for name in benchmark.EVALUATION_SPLITS}
    hashes |= {pair_sets.occlusion_sha256("development", 1)}
    assert len(hashes) == 3


def test_reasons_have_equal_shares_and_one_each(plan: benchmark.PairPlan) -> None:
    assert list(plan.reasons) == list(pair_sets.REASONS)
    masks = np.stack([np.asarray(mask) for mask in plan.reasons.values()])
    assert np.all(masks.sum(axis=0) == 1)
    assert np.all(masks.sum(axis=1) == COUNT // len(pair_sets.REASONS))


def test_a_pair_is_hard_for_its_reason(plan: benchmark.PairPlan) -> None:
    reasons = {name: np.asarray(mask) for name, mask in plan.reasons.items()}
    kinds, names = _kinds(plan), np.asarray(primitives.COVER_KINDS)
    covered = reasons["cover"] | reasons["glasses"]
    np.testing.assert_array_equal(kinds > 0, covered)
    assert set(names[kinds[reasons["glasses"]]]) == {"glasses"}
    counts = {kind: np.sum(names[kinds[reasons["cover"]]] == kind) for kind in pair_sets.COVERING}
    assert sum(counts.values()) == reasons["cover"].sum() and min(counts.values()) >= 8
    target, source = plan.target_attributes, plan.source_attributes
    assert np.min(np.asarray(target.hair_fringe)[reasons["fringe"]]) >= 0.9
    yaw = np.asarray(source.yaw)[reasons["profile"]]
    azimuth = np.asarray(target.light_azimuth)[reasons["harsh_light"]]
    for angles, least, most in ((yaw, 38.0, 45.0), (azimuth, 62.0, 75.0)):
        assert np.abs(angles).min() >= least and np.abs(angles).max() <= most
        assert 0.3 < np.mean(angles > 0) < 0.7
    assert np.asarray(target.light_intensity)[reasons["harsh_light"]].min() >= 1.15


def test_nothing_else_differs_from_the_usual_pairs(
    plan: benchmark.PairPlan, usual: benchmark.PairPlan
) -> None:
    for name in ("source_identities", "target_identities", "gallery_attributes"):
        for a, b in zip(*(jax.tree.leaves(getattr(p, name)) for p in (plan, usual)), strict=True):
            np.testing.assert_array_equal(a, b)
    for face in ("source", "target"):
        changed = {
            name: reason.ranges for name, reason in pair_sets.REASONS.items() if reason.face == face
        }
        for factor in primitives.Attributes.__dataclass_fields__:
            a, b = (
                np.asarray(getattr(getattr(p, f"{face}_attributes"), factor)) for p in (plan, usual)
            )
            free = np.ones(COUNT, bool)
            for name, ranges in changed.items():
                if factor in ranges:
                    free &= ~np.asarray(plan.reasons[name])
            np.testing.assert_array_equal(a[free], b[free])


def test_a_pair_does_not_depend_on_their_number(split: str, plan: benchmark.PairPlan) -> None:
    few = pair_sets.occlusion_pairs(split, 0, 7)
    for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(plan), strict=True):
        np.testing.assert_allclose(a, b[:7], rtol=1e-6, atol=1e-6)
        assert a.dtype.kind == "f" or np.array_equal(a, b[:7])


def test_true_swaps_of_the_set_keep_the_covers_of_the_targets() -> None:
    plan = benchmark.take(pair_sets.occlusion_pairs("development", 0, 7), np.arange(2))
    pairs = benchmark.render_pairs(plan, 32)
    for people, image in (
        (plan.source_identities, pairs.truth),
        (plan.target_identities, pairs.target),
    ):
        drawn = primitives.render(people, plan.target_attributes, 32, plan.target_covers)
        np.testing.assert_array_equal(drawn.image, image)
    bare = primitives.render(plan.source_identities, plan.source_attributes, 32)
    np.testing.assert_array_equal(bare.image, pairs.source)
    assert {name for name in pairs.hard if name in pair_sets.REASONS} == set(pair_sets.REASONS)
    assert pairs.hard["cover"].tolist() == [True, False]
    assert pairs.hard["glasses"].tolist() == [False, True]


def test_an_evaluation_that_is_older_than_the_sets_measured_the_usual_one() -> None:
    assert pair_sets.named({"protocol": {"split": "test"}})["protocol"] == {
        "split": "test",
        "pair_set": "usual",
    }
    assert pair_sets.named({"protocol": {"pair_set": "occlusion"}})["protocol"] == {
        "pair_set": "occlusion"
    }
