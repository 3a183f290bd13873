"""FID: the distance of normal distributions, exact moments, and a cache by contents."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.evaluation.fid import (
    Moments,
    Statistics,
    as_stored,
    frechet_distance,
    measure_files,
    measure_images,
)
from alrl_jax.loading.measuring import InceptionModel
from alrl_jax.models.published.inception import resize_for_inception


class Thumbnails(InceptionModel):
    """In the network's place: features are some pixels; keeps what it has seen."""

    def __init__(self, weight: float = 1.0) -> None:
        self.variables = {"params": {"weight": np.float32(weight)}}
        self.batches: list[np.ndarray] = []

    def features(self, images: Any) -> Any:
        self.batches.append(images.copy())
        return images[:, ::75, ::75].reshape(len(images), -1)


def _normal(mean: list[float], covariance: list[list[float]]) -> Statistics:
    return Statistics(100, np.array(mean, np.float64), np.array(covariance))


def test_distance_of_distributions_along_the_axes() -> None:
    a = _normal([1.0, 0.0, 2.0], np.diag([4.0, 9.0, 0.0]).tolist())
    b = _normal([0.0, 0.0, 4.0], np.diag([1.0, 25.0, 16.0]).tolist())
    assert np.isclose(frechet_distance(a, b), 1 + 4 + (2 - 1) ** 2 + (3 - 5) ** 2 + 4**2)


def test_distance_of_distributions_across_each_other() -> None:
    """In two dimensions the trace of the root is sqrt(tr M + 2 sqrt(det M))."""
    a = _normal([0.0, 0.0], [[2.0, 1.0], [1.0, 3.0]])
    b = _normal([0.0, 1.0], [[5.0, -2.0], [-2.0, 1.0]])
    product = a.covariance @ b.covariance
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = 1 + np.trace(a.covariance + b.covariance) - 2 * root
    assert np.isclose(frechet_distance(a, b), expected, rtol=1e-12)
    assert np.isclose(frechet_distance(b, a), expected, rtol=1e-12)


def test_sets_smaller_than_the_features_lose_nothing_in_roots_of_noise() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0.4, 0.3, (20, 60))
    (a,) = _moments([vectors])
    assert frechet_distance(a, a) < 1e-10
    # Rotated into directions of its own, a set shares nothing with itself but what the mean says.
    apart = np.zeros((60, 60))
    apart[:30, 30:] = np.eye(30)
    left = Statistics(20, a.mean, np.pad(a.covariance[:30, :30], (0, 30)))
    right = Statistics(20, a.mean, apart.T @ left.covariance @ apart)
    spread = np.trace(left.covariance) + np.trace(right.covariance)
    assert np.isclose(frechet_distance(left, right), spread, rtol=1e-12)


def test_a_shift_is_its_square() -> None:
    (a,) = _moments([np.random.default_rng(0).normal(size=(50, 6))])
    shifted = Statistics(a.count, a.mean + 3, a.covariance)
    assert np.isclose(frechet_distance(a, shifted), 6 * 9, rtol=1e-12)


def test_features_of_different_networks_are_refused() -> None:
    with pytest.raises(UserError, match="of 2 and of 3 features"):
        frechet_distance(_normal([0, 0], np.eye(2).tolist()), _normal([0] * 3, np.eye(3).tolist()))


def _moments(*sets: list[np.ndarray]) -> list[Statistics]:
    results = []
    for parts in sets:
        moments = Moments()
        for part in parts:
            moments.add(part)
        results.append(moments.statistics())
    return results


def test_moments_are_those_of_the_whole_set_however_it_comes() -> None:
    x = np.random.default_rng(1).normal(1e4, 1, (40, 5))
    whole, parts = _moments([x], [x[:1], x[1:1], x[1:17], x[17:]])
    for found in (whole, parts):
        np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-14)
        np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False), rtol=1e-10)
        assert found.count == 40 and found.covariance.dtype == np.float64
    with pytest.raises(UserError, match="got 1 images"):
        _moments([x[:1]])


def test_images_are_seen_as_files_hold_them() -> None:
    images = np.array([-1.2, -1, -0.996, 0, 0.9999, 1.5], np.float32)
    stored = as_stored(np.broadcast_to(images[:, None, None, None], (6, 2, 4, 3)))
    assert stored[:, 0, 0, 0].tolist() == [0, 0, 1, 128, 255, 255]
    model = Thumbnails()
    found = measure_images(model, stored, batch_size=4)
    assert [len(batch) for batch in model.batches] == [4, 4], "the last batch is filled up"
    np.testing.assert_allclose(found.mean, (stored[:, 0, 0, 0] / 127.5 - 1).mean(), rtol=1e-6)


def _files(folder: Path, count: int, size: int = 16) -> list[Path]:
    rng = np.random.default_rng(size)
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{size}_{i}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(path)
    return paths


def test_statistics_are_kept_by_what_the_files_hold(tmp_path: Path) -> None:
    paths, cache = _files(tmp_path / "a", 5), tmp_path / "cache"
    model = Thumbnails()
    first = measure_files(model, paths, cache, batch_size=2)
    assert len(model.batches) == 3
    renamed = [path.rename(tmp_path / path.name) for path in reversed(paths)]
    again = measure_files(model, renamed, cache, batch_size=2)
    assert len(model.batches) == 3 and again.count == 5
    np.testing.assert_array_equal(again.covariance, first.covariance)
    # Other files, other weights, a damaged cache: measured again.
    measure_files(model, renamed[1:], cache)
    assert len(model.batches) == 4 and len(list(cache.iterdir())) == 2
    other = Thumbnails(weight=2.0)
    measure_files(other, renamed, cache)
    assert len(other.batches) == 1 and len(list(cache.iterdir())) == 3
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    measured = measure_files(model, renamed, cache)
    assert len(model.batches) == 5
    np.testing.assert_allclose(measured.covariance, first.covariance, rtol=1e-9)
    assert measure_files(model, renamed, cache).count == 5 and len(model.batches) == 5


def test_files_of_different_sizes_are_seen_at_their_own(tmp_path: Path) -> None:
    paths = _files(tmp_path, 2) + _files(tmp_path, 1, size=400)
    model = Thumbnails()
    assert measure_files(model, paths, batch_size=2).count == 3
    for path, seen in zip(paths, np.concatenate(model.batches), strict=False):
        pixels = np.asarray(Image.open(path), np.float32)[None] / 127.5 - 1
        expected = jax.jit(resize_for_inception)(pixels)[0]
        np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    paths = _files(tmp_path, 2)
    paths[1].write_bytes(b"no image")
    with pytest.raises(UserError, match="16_1.png"):
        measure_files(Thumbnails(), paths, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_images_that_are_all_alike_have_no_spread() -> None:
    grey, white = np.full((3, 16, 16, 3), 128, np.uint8), np.full((2, 16, 16, 3), 255, np.uint8)
    a, b = (measure_images(Thumbnails(), images) for images in (grey, white))
    assert frechet_distance(a, a) == 0
    assert np.isclose(frechet_distance(a, b), a.mean.size * (127 / 127.5) ** 2, rtol=1e-5)
