"""What ``alrl_jax`` exports for swaps in a program."""

import numpy as np

import alrl_jax
from alrl_jax.inference.protocols import FaceSampler, Swapper
from tests.support.fakes import FakeJudge, FakeSwapper
from tests.support.photo_files import noise


def test_swaps_need_the_package_alone() -> None:
    settings = alrl_jax.SwapSettings(aligned=True)
    pairs = [(noise(0), noise(1)), (noise(2), np.zeros(3))]
    first, second = alrl_jax.swap_stream(iter(pairs), FakeSwapper(), settings)
    assert isinstance(first, alrl_jax.StreamResult)
    assert first.photo is not None and first.photo.pixels.shape == (16, 16, 3)
    assert second.photo is None and second.reason is not None


def test_protocols_tell_models_apart() -> None:
    assert isinstance(FakeSwapper(), Swapper)
    assert isinstance(FakeSwapper(), FaceSampler) and not isinstance(FakeJudge(1, 2), FaceSampler)
    assert not isinstance(FakeJudge(1, 2), Swapper)
