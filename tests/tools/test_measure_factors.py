"""Tests of the share of a factor's variance that is read."""

import numpy as np

from tools.bench.measure_factors import explained


def test_a_factor_is_read_exactly_by_half_or_not_at_all() -> None:
    true = np.random.default_rng(0).normal(size=(4000, 3))
    mean = true.mean(axis=0)
    read = np.stack([true[:, 0], mean[1] + 0.5 * (true[:, 1] - mean[1]), 0 * true[:, 2]], axis=1)
    read[:, 2] = mean[2]
    # Half of the way leaves a quarter of the variance.
    np.testing.assert_allclose(explained(true, read), [1.0, 0.75, 0.0], atol=1e-3)
