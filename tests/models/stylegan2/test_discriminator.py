from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2.discriminator import Discriminator, DiscriminatorBlock
from tests.goldens.golden import assert_close, read_golden
from tests.support.trees import make_tree, oihw

GOLDEN = read_golden("nvidia_d_32")
REGULARISERS = read_golden("nvidia_reg_32")
VARIABLES = make_tree(GOLDEN.tensors, rules.NVIDIA_DISCRIMINATOR)
DISCRIMINATOR = Discriminator(resolution=32, channel_base=1024, channel_max=64, conv_clamp=256)
TINY = Discriminator(resolution=8, channel_base=32, channel_max=4)
LOGIT_ERROR = 2e-6
"""Logits of an untrained network lie close together: compared absolutely."""


def _logits(discriminator: Discriminator, images: np.ndarray) -> jax.Array:
    return jax.jit(discriminator.apply)(VARIABLES, jnp.asarray(images))


@pytest.mark.parametrize("name, count", [("logits", 8), ("logits_first4", 4), ("logits_first2", 2)])
def test_logits(name: str, count: int) -> None:
    logits = _logits(DISCRIMINATOR, GOLDEN.images("img")[:count])
    np.testing.assert_allclose(logits, GOLDEN.arrays[name], atol=LOGIT_ERROR)


def test_clamp_acts_on_convolutions() -> None:
    logits = _logits(DISCRIMINATOR.clone(conv_clamp=1), GOLDEN.images("img"))
    np.testing.assert_allclose(logits, GOLDEN.arrays["logits_conv_clamp1"], atol=LOGIT_ERROR)


def test_block_outputs() -> None:
    _, state = jax.jit(
        lambda v, x: DISCRIMINATOR.apply(
            v,
            x,
            capture_intermediates=lambda module, _: isinstance(module, DiscriminatorBlock),
            mutable=["intermediates"],
        )
    )(VARIABLES, jnp.asarray(GOLDEN.images("img")))
    for side in (16, 8):
        (features,) = state["intermediates"][f"b{side}"]["__call__"]
        assert_close(features, GOLDEN.images(f"feat_x_b{side}"))


def _r1(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    slopes = jax.grad(lambda x: DISCRIMINATOR.apply({"params": params}, x).sum())(images)
    return jnp.sum(jnp.square(slopes), axis=(1, 2, 3)), slopes


def test_r1_penalty_and_its_gradients() -> None:
    arrays, norms = REGULARISERS.arrays, REGULARISERS.info["r1_param_grad_norms"]
    images = jnp.asarray(REGULARISERS.images("r1_img"))

    @jax.jit
    def run(params: Any) -> tuple[Any, Any, Any, Any]:
        def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            penalty, slopes = _r1(params, images)
            return jnp.mean(penalty * 5.0), (penalty, slopes)

        (value, (penalty, slopes)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        return value, penalty, slopes, gradients

    value, penalty, slopes, gradients = run(VARIABLES["params"])
    # One leaky ReLU that changes its sign between implementations moves these by about 1e-3.
    assert_close(slopes, REGULARISERS.images("r1_grads"), worst=2e-2, relative_l2=2e-3)
    np.testing.assert_allclose(penalty, arrays["r1_penalty"], rtol=2e-3)
    np.testing.assert_allclose(value, arrays["r1_loss_gamma10"][0], rtol=2e-3)
    assert_close(
        oihw(gradients["b8"]["skip"]["weight"]),
        arrays["r1_dloss/b8.skip.weight"],
        worst=5e-2,
        relative_l2=1e-2,
    )
    for name, norm in norms.items():
        block, layer, leaf = name.split(".")
        got = jnp.linalg.norm(gradients[block][layer][leaf])
        np.testing.assert_allclose(got, norm, rtol=1e-2, atol=1e-9)


def test_rosinality_discriminator_is_the_same_network() -> None:
    golden = read_golden("rosinality_d_32")
    variables = make_tree(golden.tensors, rules.ROSINALITY_DISCRIMINATOR)
    channels = tuple((int(side), width) for side, width in golden.info["channel_table"].items())
    discriminator = Discriminator(resolution=32, channels=channels)
    images = jnp.asarray(golden.images("img"))
    logits = jax.jit(discriminator.apply)(variables, images)
    np.testing.assert_allclose(logits, golden.arrays["logits"], atol=LOGIT_ERROR)


def test_blocks_of_the_batch_do_not_see_each_other() -> None:
    images = jax.random.normal(jax.random.key(0), (8, 8, 8, 3))
    variables = jax.jit(TINY.init)(jax.random.key(1), images)
    alone = jax.jit(TINY.apply)
    logits = jax.jit(TINY.clone(mbstd_blocks=2).apply)(variables, images)
    for part in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(logits[part], alone(variables, images[part]), atol=1e-6)
    assert not np.allclose(logits, alone(variables, images), atol=1e-6)


def test_labels_weigh_the_output_of_a_conditional_discriminator() -> None:
    network = TINY.clone(label_dim=2, num_mapping_layers=1)
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    variables = jax.jit(network.init)(jax.random.key(1), images, jnp.eye(2))
    logits, state = jax.jit(
        lambda v, x, y: network.apply(
            v, x, y, capture_intermediates=True, mutable=["intermediates"]
        )
    )(variables, images, jnp.eye(2))
    (features,) = state["intermediates"]["b4"]["__call__"]
    (mapped,) = state["intermediates"]["mapping"]["__call__"]
    expected = np.sum(np.asarray(features) * np.asarray(mapped), 1, keepdims=True) / 2
    assert features.shape == (2, 4)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    assert "constants" not in variables
    for label in (None, jnp.eye(3)[:2]):
        with pytest.raises(UserError, match="label"):
            network.apply(variables, images, label)
    with pytest.raises(UserError, match="label"):
        TINY.init(jax.random.key(1), images, jnp.eye(2))


def test_bfloat16_convolutions_stay_close() -> None:
    images = GOLDEN.images("img")
    logits = _logits(DISCRIMINATOR.clone(dtype=jnp.bfloat16), images)
    assert logits.dtype == jnp.float32
    assert 0 < np.abs(logits - GOLDEN.arrays["logits"]).max() < 0.05


def test_images_of_another_size() -> None:
    with pytest.raises(UserError, match="resize"):
        TINY.init(jax.random.key(0), jnp.zeros((2, 16, 16, 3)))
