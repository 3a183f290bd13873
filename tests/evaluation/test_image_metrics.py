"""Image metrics against scikit-image and against what must hold for any image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from alrl_jax.evaluation import image_metrics


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-1, 1, (3, 8, 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    noise = rng.normal(0, 0.2, coarse.shape).astype(np.float32)
    return coarse, np.clip(coarse + noise, -1, 1)


def test_psnr_is_that_of_scikit_image(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    ours = np.asarray(image_metrics.psnr(a, b))
    theirs = [peak_signal_noise_ratio(x, y, data_range=2) for x, y in zip(b, a, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_ssim_is_that_of_scikit_image(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    ours = np.asarray(image_metrics.ssim(a, b))
    theirs = [
        structural_similarity(
            x,
            y,
            data_range=2,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_equal_images_score_the_cap(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, _ = images
    np.testing.assert_allclose(image_metrics.psnr(a, a), image_metrics.PSNR_CAP)
    np.testing.assert_allclose(image_metrics.ssim(a, a), 1, atol=1e-6)


def test_region_sees_only_itself(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    region = np.zeros((3, 64, 64, 1), np.float32)
    region[:, 20:40, 24:50] = 1
    mixed = region * a + (1 - region) * b
    np.testing.assert_allclose(image_metrics.psnr(mixed, a, region), image_metrics.PSNR_CAP)
    outside = np.asarray(image_metrics.psnr(mixed, a, 1 - region))
    expected = [
        peak_signal_noise_ratio(
            a[i][region[i, ..., 0] == 0], b[i][region[i, ..., 0] == 0], data_range=2
        )
        for i in range(3)
    ]
    np.testing.assert_allclose(outside, expected, rtol=1e-5)


def test_whole_region_changes_nothing(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    whole = np.ones((3, 64, 64, 1), np.float32)
    for metric in (image_metrics.psnr, image_metrics.ssim):
        np.testing.assert_allclose(metric(a, b, whole), metric(a, b), rtol=1e-5)


def test_empty_region_is_not_measured(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    region = np.ones((3, 64, 64, 1), np.float32)
    region[1] = 0
    assert np.isnan(image_metrics.psnr(a, b, region)).tolist() == [False, True, False]
    assert np.isnan(image_metrics.ssim(a, b, region)).tolist() == [False, True, False]


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    small = np.zeros((1, 8, 8, 3), np.float32)
    with pytest.raises(ValueError, match="at least 11"):
        image_metrics.ssim(small, small)


def test_mask_iou() -> None:
    a = np.zeros((3, 8, 8, 1), np.float32)
    b = np.zeros((3, 8, 8, 1), np.float32)
    a[0, :4], b[0, 2:6] = 0.6, 1
    a[1, :4], b[1, 4:] = 1, 1
    np.testing.assert_allclose(image_metrics.mask_iou(a, b), [2 / 6, 0, 1])


def test_dilate_grows_a_square() -> None:
    region = np.zeros((1, 11, 11, 1), np.float32)
    region[0, 5, 5] = 1
    grown = np.asarray(image_metrics.dilate(region, 3))
    assert grown.sum() == 49 and grown[0, 2:9, 2:9].all()
