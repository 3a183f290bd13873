"""Blending: the whole face is the generated one's, the edge around it soft, the rest untouched."""

import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.swapper.blend import ELLIPSE_HALF_AXES, blend, blend_mask, face_ellipse


def square(first: int, last: int, size: int = 24) -> jnp.ndarray:
    line = (jnp.arange(size) >= first) & (jnp.arange(size) < last)
    return (line[:, None] & line[None, :]).astype(jnp.float32)[None, :, :, None]


@pytest.mark.parametrize("feather", [0, 1, 2])
def test_the_edge_is_soft_around_the_union(feather: int) -> None:
    target, generated = square(4, 17), square(6, 20)
    mask = np.asarray(blend_mask(target, generated, feather))
    union = np.maximum(target, generated)
    assert (mask[union == 1] == 1).all()
    soft = (mask > 0) & (mask < 1)
    assert soft.any() == (feather > 0)
    wider = [square(a - feather, b + feather) for a, b in ((4, 17), (6, 20))]
    reached = np.maximum(*(np.asarray(x) for x in wider))
    assert (mask <= reached).all(), "no further than the edge is wide"
    # Only where the union has a corner that points inward does the edge reach one half.
    assert ((mask > 0.5) != (union > 0.5)).sum() <= 2 * feather**2


def test_background_is_untouched() -> None:
    rng = np.random.default_rng(0)
    generated, target = (jnp.asarray(rng.normal(size=(1, 24, 24, 3)), jnp.float32) for _ in "ab")
    mask = blend_mask(square(4, 12), square(4, 12), feather=1)
    image = np.asarray(blend(generated, target, mask))
    outside = np.asarray(mask)[..., 0] == 0
    np.testing.assert_array_equal(image[outside], np.asarray(target)[outside])


def test_the_ellipse_has_its_axes() -> None:
    side = 200
    inside = np.asarray(face_ellipse(side))[..., 0]
    assert set(np.unique(inside)) == {0.0, 1.0}
    across, down = (2 * side * axis for axis in ELLIPSE_HALF_AXES)
    assert inside.any(axis=0).sum() == pytest.approx(across, abs=1)
    assert inside.any(axis=1).sum() == pytest.approx(down, abs=1)
    np.testing.assert_array_equal(inside, inside[:, ::-1])
    assert inside.sum() == pytest.approx(np.pi * across * down / 4, rel=0.01)
