"""Views of a photo: what they cover, and that their matrices lead back to it."""

import numpy as np
import pytest

from alrl_jax.photos.finder.views import (
    LEAST_TILE,
    SEEN,
    DetectorOptions,
    Pyramid,
    square_view,
    views,
)


@pytest.mark.parametrize("size", [(512, 512), (300, 1800), (3000, 4000), (16, 65535)])
@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0, 33.0])
def test_views_cover_the_photo(size: tuple[int, int], angle: float) -> None:
    height, width = size
    options = DetectorOptions(angles=(angle,))
    sides: dict[float, list[np.ndarray]] = {}
    for view in views(height, width, options):
        side = round(float(np.linalg.norm(view[:, 0])), 6)
        sides.setdefault(side, []).append(np.linalg.inv(np.vstack([view, [0, 0, 1]])))
        turn = view[:, :2] / side
        np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-9)
    assert len(sides) < 12
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(0, width, 64), rng.uniform(0, height, 64), np.ones(64)])
    for inverses in sides.values():
        local = np.stack([points @ inverse.T for inverse in inverses])[..., :2]
        inside = ((local >= -1e-6) & (local <= 1 + 1e-6)).all(axis=-1)
        assert inside.any(axis=0).all(), "every point is seen at every size"


def test_how_small_the_smallest_view_is() -> None:
    def least(longest: int, min_face: float) -> float:
        found = views(longest, longest, DetectorOptions(angles=(0.0,), min_face=min_face))
        return min(float(np.linalg.norm(view[:, 0])) for view in found)

    assert least(512, 0.02) == 512, "halves of it would be smaller than the least tile"
    assert least(4096, 0.02) == 1024 and least(4096, 0.1) == 4096
    assert SEEN * least(4096, 0.01) <= 0.01 * 4096 and least(2000, 0.0001) >= LEAST_TILE


def test_pixels_of_a_view_are_those_of_its_place() -> None:
    """A grey ramp, seen at one size, at a quarter, and turned."""
    y, x = np.mgrid[:400, :600]
    ramp = np.stack([x / 3, y / 3, (x + y) / 6], axis=-1)
    pyramid = Pyramid(np.rint(ramp).astype(np.uint8))
    for side, angle in ((100.0, 0.0), (240.0, 0.0), (100.0, np.pi / 2), (200.0, 0.4)):
        place = square_view(np.array([300.0, 200.0]), side, angle)
        seen = pyramid.cut(place, 50, 0).astype(np.float64)
        v, u = (np.mgrid[:50, :50] + 0.5) / 50
        places = np.einsum("ij,jhw->ihw", place, np.stack([u, v, np.ones_like(u)])) - 0.5
        expected = np.stack([places[0] / 3, places[1] / 3, places.sum(axis=0) / 6], axis=-1)
        np.testing.assert_allclose(seen, expected, atol=1.5)
    outside = pyramid.cut(square_view(np.array([-500.0, 200.0]), 90.0, 0.0), 8, 127)
    assert (outside == 127).all()
