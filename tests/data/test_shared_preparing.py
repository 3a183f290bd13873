"""Several processes write the shards of one data set."""

from pathlib import Path

import numpy as np
import pytest

from alrl_jax.data.shards import help_prepare, prepare
from alrl_jax.utils import parts
from alrl_jax.utils.parts import Share
from tests.data.test_shards import Maker, N, plan


def contents(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.name != ".lock"}


def test_shares_write_what_one_process_writes(tmp_path: Path) -> None:
    makers = [Maker(), Maker()]
    assert help_prepare(tmp_path / "two", plan(makers[1]), Share(1, 2, "0a")) == 1
    source = prepare(tmp_path / "two", plan(makers[0]), Share(0, 2, "0a"))
    assert sorted(makers[0].calls + makers[1].calls) == [(i, i + 2) for i in range(0, N, 2)]
    assert sorted(makers[1].calls) == [(i, i + 2) for i in range(8, 16, 2)]
    prepare(tmp_path / "one", plan(Maker()))
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    np.testing.assert_array_equal(source.read(np.arange(N)), Maker()(0, N))
    assert help_prepare(tmp_path / "two", plan(Maker()), Share(1, 2, "0b")) == 0


def test_the_first_does_what_a_process_left_that_never_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SECONDS_TO_BEGIN", 0.1)
    source = prepare(tmp_path, plan(Maker()), Share(0, 2, "0a"))
    np.testing.assert_array_equal(source.read(np.arange(N)), Maker()(0, N))
