"""LPIPS gives the distances and gradients of the LPIPS project, through its converted weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.errors import UserError
from alrl_jax.loading.measuring import LPIPSModel
from alrl_jax.models.published.lpips import BACKBONES, LPIPS
from tests.goldens.golden import Golden, assert_close, nhwc, read_golden
from tests.support.checkpoints.golden_files import convert_golden

Converted = tuple[Golden, LPIPSModel]


@pytest.fixture(scope="module", params=["alex", pytest.param("vgg", marks=pytest.mark.slow)])
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Converted:
    golden = read_golden(f"lpips_{request.param}_own_lin")
    model = alrl_jax.load(convert_golden(golden, "lpips", tmp_path_factory.mktemp("lpips")))
    assert model.kind == "lpips" and model.config == {"backbone": request.param}
    return golden, model


def test_distances(converted: Converted) -> None:
    golden, model = converted
    a, b = golden.images("img0"), golden.images("img1")
    distances = model(a, b)
    assert distances.shape == (3,)
    np.testing.assert_allclose(distances, golden.arrays["distance"], rtol=5e-6)
    np.testing.assert_allclose(model(b, a), golden.arrays["distance_swapped"], rtol=5e-6)
    np.testing.assert_allclose(model(a, a), golden.arrays["distance_self"], atol=1e-12)


def test_each_tap(converted: Converted) -> None:
    golden, model = converted
    network = LPIPS(model.config["backbone"])
    images = jnp.asarray(golden.images("img0")), jnp.asarray(golden.images("img1"))
    parts = jax.jit(lambda v, a, b: network.apply(v, a, b, method="per_tap"))(
        model.variables, *images
    )
    assert_close(parts, golden.arrays["per_layer"])


def test_gradient(converted: Converted) -> None:
    golden, model = converted
    a, b = jnp.asarray(golden.images("img0")), jnp.asarray(golden.images("img1"))
    gradient = jax.jit(jax.grad(lambda b: model(a, b).sum()))(b)
    assert_close(gradient, nhwc(golden.arrays["grad_img1"]), worst=5e-5, relative_l2=1e-5)


def test_pixels_without_features_have_a_gradient_of_zero() -> None:
    """A ReLU may leave a pixel nothing; the length of nothing has no derivative."""
    network = LPIPS("alex")
    images = jnp.linspace(-1, 1, 32 * 32 * 3).reshape(1, 32, 32, 3)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images, images)
    dead = jax.tree.map(lambda x: np.full(x.shape, -9 if x.ndim == 1 else 0.01, x.dtype), shapes)
    gradient = jax.jit(jax.grad(lambda x: network.apply(dead, x, images).sum()))(images + 0.1)
    np.testing.assert_array_equal(gradient, np.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_images_too_small_or_unequal_are_refused(backbone: str) -> None:
    model = LPIPSModel("lpips", {"backbone": backbone}, {})
    side = BACKBONES[backbone].min_side
    with pytest.raises(UserError, match=f"at least {side} x {side}"):
        model(
            np.zeros((1, side - 1, 64, 3), np.float32), np.zeros((1, side - 1, 64, 3), np.float32)
        )
    with pytest.raises(UserError, match="expected equal"):
        model(np.zeros((1, 64, 64, 3), np.float32), np.zeros((2, 64, 64, 3), np.float32))
    # The smallest size leaves every tap a pixel.
    shape = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    variables = jax.eval_shape(LPIPS(backbone).init, jax.random.key(0), shape, shape)
    taps = jax.eval_shape(
        lambda v, a, b: LPIPS(backbone).apply(v, a, b, method="per_tap"), variables, shape, shape
    )
    assert taps.shape == (1, 5)
