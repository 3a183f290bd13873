"""Crops and paste-back: what the matrix must keep, and a real photograph's face."""

import numpy as np
import pytest

from alrl_jax.data.alignment import (
    Alignment,
    centre_square,
    crop_face,
    find_face,
    paste_face,
    square,
)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    channels = [127 + 100 * np.sin(x / 9 + k) * np.cos(y / 11 - k) for k in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


def test_right_sized_square_is_its_own_crop() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    alignment = centre_square(photo, 32)
    np.testing.assert_array_equal(alignment.matrix, np.eye(3))
    crop = crop_face(photo, alignment)
    np.testing.assert_allclose((crop + 1) * 127.5, photo, atol=1e-4)
    ones = np.ones((32, 32, 1), np.float32)
    np.testing.assert_array_equal(paste_face(photo, alignment, crop, ones), photo)


def test_crop_of_a_constant_is_constant() -> None:
    for side, resolution in ((200, 32), (33, 32), (20, 64)):
        photo = np.full((side, side + 30, 3), 77, np.uint8)
        crop = crop_face(photo, centre_square(photo, resolution))
        assert crop.shape == (resolution, resolution, 3)
        np.testing.assert_allclose(crop, 77 / 127.5 - 1, atol=1e-5)


def test_points_come_back_through_the_matrix() -> None:
    alignment = square(13.5, 7.25, 90.0, 64)
    corners = np.array([[13.5, 7.25, 1], [103.5, 97.25, 1]]).T
    np.testing.assert_allclose((alignment.matrix @ corners)[:2].T, [[0, 0], [64, 64]], atol=1e-9)


@pytest.mark.parametrize("side", [24, 64, 150])
def test_untouched_crop_pastes_back_as_the_photo(side: int) -> None:
    photo = smooth(160, 200)
    alignment = square(30.0, 5.0, float(side), 64)
    crop = crop_face(photo, alignment)
    mask = np.zeros((64, 64, 1), np.float32)
    mask[12:50, 16:48] = 1
    pasted = paste_face(photo, alignment, crop, mask)
    assert np.abs(pasted.astype(int) - photo.astype(int)).max() <= 4


def test_outside_the_mask_nothing_changes() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    alignment = square(20.0, 30.0, 48.0, 32)
    mask = np.zeros((32, 32, 1), np.float32)
    mask[8:24, 8:24] = 1
    pasted = paste_face(photo, alignment, np.ones((32, 32, 3), np.float32), mask)
    changed = np.argwhere((pasted != photo).any(-1))
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert top >= 30 + 10 and left >= 20 + 10 and bottom < 30 + 38 and right < 20 + 38
    assert (pasted[45:62, 35:52] == 255).all()


def test_edges_inside_the_photo_fade() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    whole = np.ones((50, 50, 1), np.float32)
    white = np.ones((50, 50, 3), np.float32)
    pasted = paste_face(photo, square(25.0, 25.0, 50.0, 50), white, whole)
    assert pasted[50, 50].tolist() == [255] * 3
    assert pasted[50, 25, 0] < 60 and pasted[25, 50, 0] < 60
    at_border = paste_face(photo, centre_square(photo, 50), white, whole)
    assert (at_border == 255).all()


def test_crop_beyond_the_photo_and_photo_beyond_reach() -> None:
    photo = smooth(40, 40)
    over = square(-20.0, -20.0, 80.0, 32)
    crop = crop_face(photo, over)
    np.testing.assert_allclose((crop[0, 0] + 1) * 127.5, photo[0, 0], atol=8)
    ones = np.ones((32, 32, 1), np.float32)
    assert paste_face(photo, over, crop, ones).shape == photo.shape
    away = square(100.0, 100.0, 20.0, 32)
    np.testing.assert_array_equal(paste_face(photo, away, crop, ones), photo)


def test_rotated_crop_comes_back() -> None:
    photo = smooth(128, 128)
    angle = np.deg2rad(20)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    alignment = Alignment(turn @ square(40.0, 20.0, 64.0, 64).matrix, 64)
    mask = np.zeros((64, 64, 1), np.float32)
    mask[16:48, 16:48] = 1
    pasted = paste_face(photo, alignment, crop_face(photo, alignment), mask)
    assert np.abs(pasted.astype(int) - photo.astype(int)).max() <= 4
    white = paste_face(photo, alignment, np.ones((64, 64, 3), np.float32), mask)
    assert 900 < (white == 255).all(-1).sum() < 1100


def test_face_of_a_photograph_is_framed() -> None:
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()
    alignment = find_face(photo, 64)
    assert alignment is not None
    eyes_and_mouth = np.array([[206.0, 108, 1], [246, 106, 1], [226, 146, 1]]).T
    (x1, x2, x3), (y1, y2, y3), _ = alignment.matrix @ eyes_and_mouth / 64
    assert 0.25 < x1 < 0.45 < 0.55 < x2 < 0.75 and 0.4 < x3 < 0.6
    assert 0.35 < y1 < 0.55 and 0.35 < y2 < 0.55 and 0.62 < y3 < 0.82


def test_no_face_is_told() -> None:
    pytest.importorskip("skimage")
    assert find_face(smooth(200, 300), 64) is None
