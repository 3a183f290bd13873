"""Codes that are refined pair by pair, and a generator that is tuned around them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.inference.engine import Engine
from alrl_jax.inference.optimising import PairOptimiser, Refined
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.stream import swap_stream
from alrl_jax.loading import SwapperModel, load_swapper
from alrl_jax.loading.assembling import Parts, assemble
from alrl_jax.types import SwapOutput
from tests.support.fakes import FakeSwapper
from tests.support.tiny import RESOLUTION, save_tiny_identity, save_tiny_swapper

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
SOURCE, TARGET = (
    jnp.asarray(RNG.uniform(-1, 1, (2, RESOLUTION, RESOLUTION, 3)), jnp.float32) for _ in range(2)
)
STEPS = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SwapperModel:
    """A fixed rule over untrained networks of our own kinds, of which one reads factors."""
    root = tmp_path_factory.mktemp("models")
    identity = save_tiny_identity(root / "identity")
    trained = str(save_tiny_swapper(root / "trained", identity))
    parts = {"generator": trained, "encoder": trained, "identity": str(identity)}
    assemble(Parts(parts, "psp_middle", "ellipse"), root / "swapper")
    return load_swapper(root / "swapper")


@pytest.fixture(scope="module")
def swapped(model: SwapperModel) -> SwapOutput:
    """Where the search begins."""
    return model.swap(SOURCE, TARGET)


@pytest.fixture(scope="module")
def optimiser(model: SwapperModel) -> PairOptimiser:
    return PairOptimiser(model, Settings(optimise=STEPS, tune_generator=STEPS))


@pytest.fixture(scope="module")
def refined(optimiser: PairOptimiser, swapped: SwapOutput) -> Refined:
    return optimiser(SOURCE, TARGET, swapped)


def test_every_pair_gets_nearer_to_what_is_wanted(
    refined: Refined, swapped: SwapOutput, optimiser: PairOptimiser
) -> None:
    for facts in refined.facts:
        before, after = facts["before"], facts["after"]
        assert before.keys() == {"identity", "pose", "attributes", "outside"} == after.keys()
        assert after["identity"] < before["identity"] and not facts["diverged"]
        assert facts["steps"] == facts["tuning_steps"] == STEPS
    moved = np.abs(np.asarray(refined.output.codes.attributes - swapped.codes.attributes))
    assert moved.max() > 0.01 and moved.shape == swapped.codes.attributes.shape
    shown = refined.output
    blended = shown.mask * shown.generated + (1 - shown.mask) * TARGET
    np.testing.assert_allclose(shown.image, blended, atol=1e-5)


def test_tuning_brings_the_background_nearer(refined: Refined) -> None:
    for facts in refined.facts:
        assert facts["after"]["outside"] < 0.9 * facts["before"]["outside"]


def test_the_search_is_deterministic(
    optimiser: PairOptimiser, swapped: SwapOutput, refined: Refined
) -> None:
    again = optimiser(SOURCE, TARGET, swapped)
    assert again.facts == refined.facts
    np.testing.assert_array_equal(again.output.image, refined.output.image)


def test_a_search_that_runs_away_keeps_the_best(
    optimiser: PairOptimiser, swapped: SwapOutput
) -> None:
    search = optimiser._search
    prior, wanted, networks = _of(optimiser, swapped)
    state = search.init(prior, 2)
    state = optimiser._advance(networks, prior, state, wanted, jnp.asarray(3))
    lost = jax.tree.map(lambda x: x * jnp.nan, state.offsets)
    away = state.replace(offsets=lost)
    codes, images, losses = optimiser._result(networks, prior, away, wanted)
    assert np.isfinite(codes.ws).all() and np.isfinite(images).all() and np.isfinite(losses).all()
    facts = optimiser._facts({}, {}, np.asarray([True, False]))
    assert [pair["diverged"] for pair in facts] == [True, False]


def _of(optimiser: PairOptimiser, swapped: SwapOutput) -> tuple[Any, Any, Any]:
    wanted, given = optimiser._start(optimiser.networks, SOURCE, TARGET, swapped)
    return optimiser._prior(swapped), wanted, {**optimiser.networks, **given}


def test_an_engine_refines_what_it_swaps(
    model: SwapperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"steps": 1, "before": {}, "after": {}, "diverged": False}

    def given(self: PairOptimiser, source: Any, target: Any, output: SwapOutput) -> Refined:
        return Refined(output, [facts] * len(target))

    monkeypatch.setattr(PairOptimiser, "__call__", given)
    pixels = RNG.integers(0, 256, (2, RESOLUTION, RESOLUTION, 3)).astype(np.uint8)
    pairs = [(pixels[0], pixels[1])]
    plain = Settings(aligned=True, mark=False)
    for settings, expected in ((dataclasses.replace(plain, optimise=1), [facts]), (plain, None)):
        (result,) = swap_stream(pairs, model, settings, batch_size=8)
        assert result.facts["optimised"] == expected


def test_what_cannot_be_refined(model: SwapperModel) -> None:
    with pytest.raises(UserError, match="--optimise with --groups=expression=source"):
        PairOptimiser(model, Settings(optimise=1, groups={"expression": "source"}))
    with pytest.raises(UserError, match="got optimise=1 with a FakeSwapper"):
        Engine(FakeSwapper(), Settings(optimise=1), 1)
