"""Decisions that are the same for all pairs: how they are made, and what they replace."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from alrl_jax.evaluation import frozen
from alrl_jax.evaluation.rows import Question
from alrl_jax.models.swapper.pair_codes import FrozenGates
from alrl_jax.models.swapper.target_features import NUM_DISTANCES
from tests.support.fakes import FakeSwapper


def test_discrete_gates_are_frozen_to_their_majority_and_soft_ones_to_their_mean() -> None:
    gates = np.zeros((5, 2, 2), np.float32)
    gates[:3, 0, 0] = gates[:2, 0, 1] = 1.0
    np.testing.assert_array_equal(frozen.frozen_codes(gates), [[1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(frozen.frozen_codes(gates * 0.5), [[0.3, 0.2], [0.0, 0.0]])


def test_gates_in_space_are_frozen_by_class_and_distance() -> None:
    cell = 3 * NUM_DISTANCES + 5
    cells = np.array([[[cell, cell], [cell + 1, 2]]])
    gates = np.array([[[[0.2], [0.4]], [[0.9], [0.5]]]], np.float32)
    table = frozen.mean_by_cell(cells, gates)
    assert table.shape == (19, NUM_DISTANCES, 1)
    np.testing.assert_allclose(table[3, 5], 0.3, rtol=1e-6)
    np.testing.assert_allclose(table[3, 6], 0.9, rtol=1e-6)
    # A class that was never seen at a distance: what others have there, or what all have.
    np.testing.assert_allclose(table[7, 5], 0.3, rtol=1e-6)
    np.testing.assert_allclose(table[7, 0], 0.5, rtol=1e-6)


class Recording(FakeSwapper):
    """Keeps the decisions that it is handed."""

    def swap(self, *args: Any, frozen: FrozenGates | None = None, **kwargs: Any) -> Any:
        self.calls.append({"frozen": frozen})
        return super().swap(*args, frozen=frozen, **kwargs)


def test_rows_hand_the_model_its_frozen_decisions() -> None:
    codes, space = np.ones((7, 2), np.float32), {8: np.ones((19, NUM_DISTANCES, 1), np.float32)}
    rows = frozen.frozen_rows(FrozenGates(codes, space))
    assert tuple(rows) == frozen.FROZEN_ROWS
    question = Question(jnp.zeros((1, 16, 16, 3)), jnp.ones((1, 16, 16, 3)))
    handed = {}
    for name, row in rows.items():
        model = Recording()
        row(model, question)
        handed[name] = model.calls[0]["frozen"]
    assert handed["frozen_codes"].space is None and handed["frozen_space"].codes is None
    assert handed["frozen_gates"].codes is codes and handed["frozen_gates"].space is space
    assert tuple(frozen.frozen_rows(FrozenGates(codes))) == ("frozen_codes", "frozen_gates")


def test_a_model_is_frozen_to_its_own_gates() -> None:
    found = frozen.freeze(FakeSwapper(), batch_size=2, count=3)
    expected = np.concatenate([np.zeros((1, 2)), np.ones((6, 2))])
    np.testing.assert_array_equal(found.codes, expected)
    assert found.space is None
