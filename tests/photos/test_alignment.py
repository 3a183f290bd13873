"""The geometry of crops: known transforms are found again, whatever the number of landmarks."""

import numpy as np
import pytest

from alrl_jax.photos.alignment import (
    ARCFACE_TEMPLATE,
    LANDMARK_GROUPS,
    LandmarkError,
    arcface,
    centre_square,
    crop_face,
    ffhq,
    five_points,
    similarity,
    square,
)
from tests.support.faces import FIVE, moved, transform, with_means


def test_right_sized_square_is_its_own_crop() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    alignment = centre_square(photo, 32)
    np.testing.assert_array_equal(alignment.matrix, np.eye(3))
    np.testing.assert_allclose((crop_face(photo, alignment) + 1) * 127.5, photo, atol=1e-4)


def test_crop_of_a_constant_is_constant() -> None:
    for side, resolution in ((200, 32), (33, 32), (20, 64)):
        photo = np.full((side, side + 30, 3), 77, np.uint8)
        crop = crop_face(photo, centre_square(photo, resolution))
        assert crop.shape == (resolution, resolution, 3)
        np.testing.assert_allclose(crop, 77 / 127.5 - 1, atol=1e-5)


def test_points_come_back_through_the_matrix() -> None:
    alignment = square(13.5, 7.25, 90.0, 64)
    corners = np.array([[13.5, 7.25], [103.5, 97.25]])
    np.testing.assert_allclose(moved(corners, alignment.matrix), [[0, 0], [64, 64]], atol=1e-9)


def test_crop_of_a_ramp_is_where_the_matrix_says() -> None:
    """A photo whose colour is its place tells where every pixel of a turned crop came from."""
    y, x = np.mgrid[:200, :200]
    photo = np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)
    alignment = ffhq(moved(FIVE, transform(12, 0.09, (70.0, 72.0))), 16)
    crop = (crop_face(photo, alignment) + 1) * 127.5 + 0.5
    centres = np.stack(np.meshgrid(np.arange(16) + 0.5, np.arange(16) + 0.5), -1).reshape(-1, 2)
    places = moved(centres, np.linalg.inv(alignment.matrix))
    np.testing.assert_allclose(crop[..., :2].reshape(-1, 2), places, atol=0.75)


def test_ffhq_square_of_an_upright_face() -> None:
    """Eyes 100 apart, the mouth 110 below: the half side is 2 x 100, by hand."""
    points = np.array([[200.0, 300], [300, 300], [250, 350], [210, 410], [290, 410]])
    corners = np.array([[250.0 - 200, 311 - 200], [250 + 200, 311 + 200]])
    np.testing.assert_allclose(
        moved(corners, ffhq(points, 256).matrix), [[0, 0], [256, 256]], atol=1e-9
    )
    points[3:] += [0, 40]  # 1.8 x 150 is more than 2 x 100
    corners = np.array([[250.0 - 270, 315 - 270], [250 + 270, 315 + 270]])
    np.testing.assert_allclose(
        moved(corners, ffhq(points, 64).matrix), [[0, 0], [64, 64]], atol=1e-9
    )


@pytest.mark.parametrize("angle", [0, 17, 90, 180, -135])
@pytest.mark.parametrize("crop", [ffhq, arcface])
def test_crops_move_with_the_photo(crop: object, angle: float) -> None:
    """Turning, scaling and shifting a photo leaves what a crop shows of it."""
    assert crop in (ffhq, arcface)
    change = transform(angle, 2.7, (-41.0, 300.0))
    before, after = crop(FIVE, 128).matrix, crop(moved(FIVE, change), 128).matrix
    np.testing.assert_allclose(after @ change, before, atol=1e-7)


@pytest.mark.parametrize("number", [68, 478])
def test_more_landmarks_agree_with_five(number: int) -> None:
    points = with_means(FIVE, number)
    np.testing.assert_allclose(five_points(points), FIVE, atol=1e-9)
    np.testing.assert_allclose(ffhq(points, 64).matrix, ffhq(FIVE, 64).matrix, atol=1e-9)
    np.testing.assert_allclose(arcface(points).matrix, arcface(FIVE).matrix, atol=1e-9)


def test_groups_name_points_that_are_there() -> None:
    for number, groups in LANDMARK_GROUPS.items():
        members = [index for group in groups for index in group]
        assert len(groups) == 5 and len(set(members)) == len(members)
        assert min(members) >= 0 and max(members) < number


def test_arcface_finds_a_transform_of_its_template() -> None:
    truth = transform(-31, 0.37, (12.0, -7.0))
    template = np.array(ARCFACE_TEMPLATE) + 0.5
    points = moved(template, np.linalg.inv(truth))
    np.testing.assert_allclose(arcface(points).matrix, truth, atol=1e-9)
    larger = np.diag([2.0, 2.0, 1.0]) @ truth
    np.testing.assert_allclose(arcface(points, 224).matrix, larger, atol=1e-9)


def test_similarity_is_the_least_squares_one() -> None:
    """Of noisy points: nothing nearby is better, and mirrored points are not mirrored back."""
    rng = np.random.default_rng(3)
    source = rng.normal(size=(9, 2))
    for mirror in (1.0, -1.0):
        target = moved(source * [mirror, 1], transform(50, 1.4, (3, 4))) + rng.normal(size=(9, 2))
        best = similarity(source, target)
        assert np.linalg.det(best) > 0
        error = np.sum((moved(source, best) - target) ** 2)
        for angle, scale, shift in (
            (1, 1, (0, 0)),
            (-1, 1, (0, 0)),
            (0, 1.02, (0, 0)),
            (0, 0.98, (0, 0)),
            (0, 1, (0.02, 0)),
            (0, 1, (0, -0.02)),
        ):
            other = moved(moved(source, best), transform(angle, scale, shift))
            assert np.sum((other - target) ** 2) > error
    with pytest.raises(LandmarkError, match="one place"):
        similarity(np.ones((5, 2)), FIVE)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (FIVE[:4], "4 landmarks"),
        (FIVE[[1, 0, 2, 4, 3]], "wrong order"),
        (FIVE * [1, -1], "wrong order"),
        (np.where(FIVE == FIVE[2], np.nan, FIVE), "finite"),
        (np.zeros((5, 2)), "wrong order"),
        (FIVE / 1000, "less than a pixel"),
    ],
)
def test_points_that_are_no_face(points: np.ndarray, reason: str) -> None:
    for crop in (ffhq, arcface):
        with pytest.raises(LandmarkError, match=reason):
            crop(points, 64)
