"""The packed form of the last block: the same images and gradients from the same parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models import build
from alrl_jax.models.stylegan2 import ops, packed
from alrl_jax.models.stylegan2.generator import Generator

RNG = np.random.default_rng(0)
GENERATOR = Generator(resolution=16, z_dim=6, w_dim=5, channel_base=64, channel_max=8)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def test_a_kernel_of_packed_pixels_is_the_usual_one() -> None:
    x, weight = normal(2, 8, 6, 3), normal(3, 3, 3, 5)
    usual = ops.conv2d(x, weight)
    found = ops.depth_to_space(ops.conv2d(ops.space_to_depth(x), packed.same_kernel(weight)))
    np.testing.assert_allclose(found, usual, atol=1e-5)


def test_an_up_convolution_can_end_packed() -> None:
    x, weight = normal(2, 5, 7, 3), normal(3, 3, 3, 4)
    usual = ops.upsample_conv2d(x, weight)
    found = ops.depth_to_space(ops.conv2d(x, packed.up_kernel(weight)))
    np.testing.assert_allclose(found, usual, atol=1e-5)


@pytest.mark.parametrize("noise_mode", ["const", "random"])
def test_a_packed_block_draws_the_same_images(noise_mode: str) -> None:
    variables = GENERATOR.init(jax.random.key(0), normal(1, 6))
    # Noise, biases and clamps have to be seen.
    params = jax.tree.map(lambda x: x + 0.3 * normal(*x.shape), variables["params"])
    variables = {**variables, "params": params}
    ws, weights = normal(2, 6, 5), normal(2, 16, 16, 3)
    key = jax.random.key(1) if noise_mode == "random" else None

    def draw(form: bool, variables: Any, ws: jax.Array) -> tuple[jax.Array, jax.Array]:
        generator = GENERATOR.clone(packed=form, conv_clamp=2.0)
        images = generator.apply(
            variables, ws, noise_mode=noise_mode, noise_key=key, method="synthesize"
        )
        return jnp.vdot(weights, images), images

    found = [
        jax.jit(jax.value_and_grad(lambda *a, form=form: draw(form, *a), (0, 1), has_aux=True))(
            variables, ws
        )
        for form in (False, True)
    ]
    leaves = [jax.tree.leaves(tree) for tree in found]
    assert len(leaves[0]) > 40
    for usual, other in zip(*leaves, strict=True):
        scale = float(jnp.abs(usual).max()) + 1e-6
        np.testing.assert_allclose(other, usual, atol=2e-5 * scale)


def test_tpus_alone_pack_and_narrow_blocks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"resolution": 16, "z_dim": 6, "w_dim": 5, "channel_base": 1024}
    for platform, channels, form in (("cpu", 64, False), ("gpu", 64, False), ("tpu", 64, True)):
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        assert build.build_generator({**values, "channel_max": channels}).packed is form
    assert not build.build_generator({**values, "channel_base": 2048, "channel_max": 128}).packed
    with packed.drawing_on("gpu"):
        assert not build.build_generator(values).packed
