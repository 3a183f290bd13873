"""Tests of the search for better gates."""

import numpy as np

from tools.bench.measure_gate_headroom import improve


def test_every_row_finds_its_own_best_gates() -> None:
    wanted = np.random.default_rng(0).integers(0, 2, (5, 7)).astype(np.float32)

    def score(gates: np.ndarray) -> np.ndarray:
        return -np.sum(np.abs(gates - wanted), axis=1)

    start = np.zeros_like(wanted)
    np.testing.assert_array_equal(improve(start, score, ""), wanted)
    np.testing.assert_array_equal(start, 0.0)  # the caller's array is left alone


def test_a_flip_that_changes_nothing_is_not_taken() -> None:
    start = np.ones((2, 3), np.float32)
    found = improve(start, lambda gates: np.zeros(len(gates)), "")
    np.testing.assert_array_equal(found, start)


def test_a_second_sweep_follows_what_the_first_one_changed() -> None:
    # The first gate helps only once the second one is set.
    def score(gates: np.ndarray) -> np.ndarray:
        return gates[:, 1] + 2.0 * gates[:, 0] * gates[:, 1] - gates[:, 0] * (1.0 - gates[:, 1])

    np.testing.assert_array_equal(improve(np.zeros((1, 2)), score, ""), [[1.0, 1.0]])
