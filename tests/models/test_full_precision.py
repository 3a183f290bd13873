"""Products of float32 that accelerators may not round to fewer bits, as they are lowered for TPUs.

Tests run with all products at full precision (``tests/conftest.py``); here the default is what
accelerators do by themselves, so that only what asks for more has more.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from alrl_jax.models.functional import apply
from alrl_jax.models.published.lpips import LPIPS
from alrl_jax.models.stylegan2 import discriminator, generator, layers
from alrl_jax.models.swapper.probe import FactorProbe
from alrl_jax.training.losses.identity import arcface_logits
from alrl_jax.types import LatentCodes


def products(function: Callable[..., jax.Array], *arguments: Any) -> list[str]:
    """Lines of the program for TPUs that multiply matrices or convolve, gradients included."""

    def run(*arguments: Any) -> Any:
        return jax.value_and_grad(lambda x: jnp.sum(jnp.square(function(*x))))(arguments)

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    with jax.default_matmul_precision("default"):
        text = jax.jit(run).trace(*shapes).lower(lowering_platforms=("tpu",)).as_text()
    return [x for x in text.splitlines() if re.search(r"stablehlo\.(dot_general|convolution)", x)]


def rounded(lines: list[str]) -> list[str]:
    """Those that an accelerator may round."""
    return [line for line in lines if line.count("HIGHEST") < 2]  # one for each factor


def _network(module: Any, *shapes: tuple[int, ...]) -> tuple[Callable[..., jax.Array], Any]:
    """A network as a function of variables and inputs, and both."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return lambda v, *x: apply(module, v, *x), (variables, *inputs)


def _colours() -> tuple[Callable[..., jax.Array], Any]:
    return _network(generator.ToRGB(), (2, 8, 8, 4), (2, 5))


def _dense() -> tuple[Callable[..., jax.Array], Any]:
    return _network(layers.EqualizedDense(3), (2, 5))


def _logits(channels: int) -> Callable[[], tuple[Callable[..., jax.Array], Any]]:
    return lambda: _network(discriminator.DiscriminatorEpilogue(1), (4, 4, 4, channels))


def _demodulation() -> tuple[Callable[..., jax.Array], Any]:
    return lambda w, s: layers.demodulation(w, s, 1.0), (jnp.ones((3, 3, 4, 6)), jnp.ones((2, 4)))


def _probe() -> tuple[Callable[..., jax.Array], Any]:
    probe = FactorProbe(("identity", "pose"), ("identity", "pose"), 2)
    pose, codes, owners = jnp.ones((2, 4, 4, 3)), jnp.ones((2, 6, 8)), jnp.ones((6, 2, 2))
    variables = jax.eval_shape(probe.init, jax.random.key(0), LatentCodes(pose, codes), owners)
    read = lambda v, p, c, o: apply(probe, v, LatentCodes(p, c), o)  # noqa: E731
    return read, (variables, pose, codes, owners)


def _distances() -> tuple[Callable[..., jax.Array], Any]:
    """LPIPS behind its backbone, whose convolutions are as quick as they can be."""
    network = LPIPS("vgg")
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), images, images)
    maps = jax.eval_shape(lambda v, x: apply(network, v, x, method="taps"), variables, images)
    return lambda v, a, b: apply(network, v, a, b, method="compare"), (variables, maps, maps)


def _arcface() -> tuple[Callable[..., jax.Array], Any]:
    identity = jnp.zeros((2,), jnp.int32)
    return lambda e, c: arcface_logits(e, c, identity), (jnp.ones((2, 5)), jnp.ones((3, 5)))


ISLANDS = {
    "demodulation": (_demodulation, 3),
    "colours and their styles": (_colours, 6),
    "mapping, styles, codes": (_dense, 3),
    "logits": (_logits(4), 9),
    "logits of a wide network": (_logits(256), 9),
    "factor probe": (_probe, 6),
    "perceptual distances": (_distances, 5),
    "arcface": (_arcface, 3),
}
"""What is float32 whatever the convolutions compute in, and how many products it has at least."""


@pytest.mark.parametrize("name", ISLANDS)
def test_islands_of_float32_multiply_in_full(name: str) -> None:
    build, least = ISLANDS[name]
    function, arguments = build()
    found = products(function, *arguments)
    assert len(found) >= least
    assert not rounded(found)


def test_convolutions_are_as_quick_as_the_accelerator_makes_them() -> None:
    """And what is rounded shows."""
    block = discriminator.DiscriminatorBlock(4, 4)
    function, arguments = _network(block, (2, 8, 8, 4))
    assert len(rounded(products(function, *arguments))) >= 9
