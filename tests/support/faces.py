"""Made-up landmarks, and transforms to move them by."""

import numpy as np

from alrl_jax.photos.alignment import LANDMARK_GROUPS

FIVE = np.array([[402.0, 511], [604, 498], [530, 640], [421, 742], [611, 731]])
"""Eyes, nose, corners of the mouth, in px; made up."""


def transform(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """A similarity as a 3x3 matrix."""
    angle = np.deg2rad(degrees)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]], [0, 0, 1]])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points through an affine matrix."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def with_means(five: np.ndarray, number: int) -> np.ndarray:
    """Landmarks of another scheme with the same five points; all others are noise."""
    rng = np.random.default_rng(number)
    points = rng.uniform(five.min(), five.max(), (number, 2))
    for group, centre in zip(LANDMARK_GROUPS[number], five, strict=True):
        around = rng.normal(size=(len(group), 2)) * 9
        points[list(group)] = centre + around - around.mean(axis=0)
    return points
