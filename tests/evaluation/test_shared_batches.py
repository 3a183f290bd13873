"""Batches that several processes measure are joined in order, whoever measured them."""

from pathlib import Path

import numpy as np
import pytest

from alrl_jax.evaluation.shared_batches import Arrays, ShareDone, Sharing, measured_batches
from alrl_jax.utils import parts
from alrl_jax.utils.parts import Share


class Measure:
    """Writes down which batches were measured."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, batch: int) -> Arrays:
        self.calls.append(batch)
        one = {("of rows", "psnr"): [np.full(2, batch, np.float32)], ("people", "tone"): []}
        return one | {("images", "x"): [np.zeros((0, 4, 4, 3)), np.full((1, 2), batch)]}


def joined(found: list[Arrays]) -> list[float]:
    return [float(arrays["of rows", "psnr"][0][0]) for arrays in found]


@pytest.mark.parametrize("lost", [False, True])
def test_shares_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    monkeypatch.setattr(parts, "SECONDS_TO_BEGIN", 0.1)
    todo, first = list(range(5)), Measure()
    assert joined(measured_batches(todo, Measure(), Sharing())) == todo
    other = Measure()
    if not lost:
        with pytest.raises(ShareDone):
            measured_batches(todo, other, Sharing(Share(1, 2, "0a"), tmp_path))
    found = measured_batches(todo, first, Sharing(Share(0, 2, "0a"), tmp_path))
    assert joined(found) == todo
    assert first.calls == ([0, 2, 4, 1, 3] if lost else [0, 2, 4])
    assert other.calls == ([] if lost else [1, 3])
    assert [len(x) for x in found[1]["images", "x"]] == [0, 1]
    assert not list(tmp_path.iterdir())
