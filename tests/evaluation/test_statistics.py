"""Intervals cover, pair up, and leave out what was not measured."""

import numpy as np

from alrl_jax.evaluation.statistics import bootstrap_interval, mean_or_none, paired_difference


def test_interval_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(values) or (0, 0)
    error = values.std() / 20
    np.testing.assert_allclose(
        [low, high], values.mean() + np.array([-1.96, 1.96]) * error, atol=0.03
    )


def test_constant_has_no_width_and_nothing_gives_none() -> None:
    assert bootstrap_interval(np.full(7, 2.0)) == [2.0, 2.0]
    assert bootstrap_interval(np.full(7, np.nan)) is None
    assert mean_or_none(np.full(7, np.nan)) is None


def test_unmeasured_pairs_are_left_out() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert mean_or_none(values) == 2.0
    low, high = bootstrap_interval(values) or (0, 0)
    assert 1.0 <= low <= high <= 3.0


def test_pairing_removes_what_rows_share() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(0, 10, 200)
    found = paired_difference(hard + 1 + rng.normal(0, 0.1, 200), hard)
    low, high = found["ci95"] or (0, 0)
    assert 0.95 < low < 1 < high < 1.05
