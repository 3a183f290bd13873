import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models import resize
from alrl_jax.models.resize import resize_bilinear, resize_nearest


def _ramp(size: int) -> np.ndarray:
    rows, columns = np.indices((size, size), dtype=np.float32)
    return np.stack([rows, columns], axis=-1)[None]


@pytest.mark.parametrize("new", [1, 3, 7, 12, 31])
def test_ramps_stay_ramps_where_the_corners_are_aligned(new: int) -> None:
    resized = resize_bilinear(jnp.asarray(_ramp(7)), new, new, align_corners=True)
    step = 6 / (new - 1) if new > 1 else 0
    np.testing.assert_allclose(resized, _ramp(new) * step, atol=1e-5)


@pytest.mark.parametrize("new", [3, 7, 12, 31])
def test_ramps_are_flat_beyond_the_outer_pixels_where_the_borders_are(new: int) -> None:
    resized = resize_bilinear(jnp.asarray(_ramp(7)), new, new, align_corners=False)
    expected = np.clip((_ramp(new) + 0.5) * (7 / new) - 0.5, 0, 6)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_shrinking_does_not_average() -> None:
    """Of 8 pixels in 2, only those around each sampling point count."""
    row = jnp.asarray([0, 1, 0, 0, 0, 0, 4, 0], jnp.float32)
    resized = resize_bilinear(row[None, None, :, None], 1, 2, align_corners=False)
    np.testing.assert_array_equal(np.asarray(resized).ravel(), [0.5, 2.0])


def test_sides_are_resized_each_for_itself() -> None:
    resized = resize_bilinear(jnp.asarray(_ramp(5)), 9, 5, align_corners=True)
    assert resized.shape == (1, 9, 5, 2)
    np.testing.assert_allclose(resized[0, :, 0, 0], np.arange(9) / 2, atol=1e-6)
    np.testing.assert_allclose(resized[0, 0, :, 1], np.arange(5), atol=1e-6)


def test_nearest_takes_the_pixel_below() -> None:
    row = jnp.arange(5, dtype=jnp.float32)[None, None, :, None]
    for new, expected in ((10, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), (7, [0, 0, 1, 2, 2, 3, 4])):
        np.testing.assert_array_equal(np.ravel(resize_nearest(row, 1, new)), expected)
    np.testing.assert_array_equal(np.ravel(resize_nearest(row, 1, 2)), [0, 2])


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("old", "new"), [(8, 13), (13, 8), (5, 20), (16, 4)])
def test_a_product_resizes_as_gathers_do(old: int, new: int, align_corners: bool) -> None:
    """Accelerators multiply, values and gradients alike."""
    points = resize._neighbours(old, new, align_corners)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, old, 4)), jnp.float32)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, new, 4)), jnp.float32)
    found = [
        jax.value_and_grad(lambda x, way=way: jnp.vdot(weights, way(x, points, 2)))(x)
        for way in (resize._gather, resize._multiply)
    ]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    half = x.astype(jnp.bfloat16)
    both = [way(half, points, 2) for way in (resize._gather, resize._multiply)]
    assert both[1].dtype == jnp.bfloat16
    np.testing.assert_allclose(*(np.asarray(y, np.float32) for y in both), atol=0.03)


@pytest.mark.parametrize(("platform", "gathers"), [("cpu", True), ("tpu", False), ("cuda", False)])
def test_accelerators_resize_without_gathers(platform: str, gathers: bool) -> None:
    def shrink(x: jax.Array) -> jax.Array:
        return resize_bilinear(x, 6, 5, align_corners=False).sum()

    x = jnp.zeros((1, 8, 8, 3))
    lowered = jax.jit(jax.grad(shrink)).trace(x).lower(lowering_platforms=(platform,)).as_text()
    assert ("gather" in lowered or "scatter" in lowered) is gathers
