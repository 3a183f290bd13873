"""Tests of the figures that a run of the task swap measures on the way."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from alrl_jax.models.swapper.swapper import Swapper
from alrl_jax.training.tasks import swap_samples
from alrl_jax.types import FaceBatch, LatentCodes, PairBatch, SwapGates, SwapOutput
from tests.support import tiny


class FakeSwapper(Swapper):
    """Gives the source for a swap, and the target half as bright when it draws it again."""

    def __init__(self) -> None:
        """Nothing of what a swapper consists of is needed."""

    def swap(self, networks: Any, source: Array, target: Array, *_: Any) -> SwapOutput:
        codes = LatentCodes(jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 1, 1)))
        gates = SwapGates(*(jnp.zeros(n) for n in ((2, 1), (2, 1, 1), (2, 1, 1), (1, 1, 1))))
        return SwapOutput(source, source, source[..., :1], gates, codes)

    def overrides(self, groups: Any) -> Array:
        return jnp.zeros(1, jnp.int32)

    def embed(self, networks: Any, images: Array) -> Array:
        return jnp.stack([images[:, 0, 0, 0], images[:, 0, 0, 1]], axis=-1)

    def reconstruct(self, networks: Any, images: Array, with_features: bool = False) -> Array:
        return images / 2


def faces(*embeddings: tuple[float, float]) -> FaceBatch:
    image = jnp.stack([jnp.full((32, 32, 3), jnp.asarray([*e, 0.0])) for e in embeddings])
    return dataclasses.replace(tiny.random_faces(len(embeddings)), image=image)


def test_figures_of_held_out_pairs() -> None:
    batch = PairBatch(
        source=faces((1.0, 0.0), (0.6, 0.8)),
        target=faces((0.0, 1.0), (1.0, 0.0)),
        same_identity=jnp.zeros(2, bool),
    )
    found = swap_samples.measure(FakeSwapper(), {}, batch)
    np.testing.assert_allclose(found["held_out/identity_similarity"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(found["held_out/target_similarity"], 0.3, rtol=1e-6)
    # Half of a unit vector is missing: a squared error of 0.25 over three channels.
    decibels = 10 * np.log10(4 * 3 / 0.25)
    np.testing.assert_allclose(found["held_out/reconstruction_psnr"], decibels, rtol=1e-6)
