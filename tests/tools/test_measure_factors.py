"""Tests of the share of a factor's variance that is read."""

import numpy as np

from tools.bench.measure_factors import brow_figures, explained


def test_a_factor_is_read_exactly_by_half_or_not_at_all() -> None:
    true = np.random.default_rng(0).normal(size=(4000, 3))
    mean = true.mean(axis=0)
    read = np.stack([true[:, 0], mean[1] + 0.5 * (true[:, 1] - mean[1]), 0 * true[:, 2]], axis=1)
    read[:, 2] = mean[2]
    # Half of the way leaves a quarter of the variance.
    np.testing.assert_allclose(explained(true, read), [1.0, 0.75, 0.0], atol=1e-3)


def test_the_place_of_brows_tells_what_two_uniform_factors_leave() -> None:
    names, rng = ("brow_height", "brow_raise"), np.random.default_rng(0)
    true = {name: rng.uniform(-(3**0.5), 3**0.5, 40_000) for name in names}
    read = {"brow_height": 2.0 * true["brow_height"], "brow_raise": 0.0 * true["brow_raise"]}
    moves = {"brow_height": 0.185 * 0.65, "brow_raise": 0.075 * 2.0}
    wrong = moves["brow_height"] ** 2 + moves["brow_raise"] ** 2
    found = brow_figures(true, read)
    np.testing.assert_allclose(found["place"], 1.0 - wrong / wrong, atol=0.02)
    # Of two uniform terms, the sum tells more than half of the wider.
    linear = moves["brow_raise"] ** 2 / wrong
    assert linear - 0.01 < found["raise_by_place"] < linear + 0.03
