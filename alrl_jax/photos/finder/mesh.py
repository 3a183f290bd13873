"""Face Mesh: 468 landmarks of a face, and whether there is one.

Source: Kartynnik et al. 2019 (arXiv 1907.06724).
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from alrl_jax.photos.finder.detector import Candidate
from alrl_jax.photos.finder.networks import open_network
from alrl_jax.photos.finder.views import Pyramid, ViewMatrix, rotation, square_view

POINTS = 468
OUTER_EYES = (33, 263)
"""The outer corners of the eyes: the one that is left in the view, and the other."""
ROOM = 1.5
"""Side of the view over that of the face."""
OUTSIDE = 0
"""Grey level of what a view shows outside of its photo."""

Meshes = tuple[Float[np.ndarray, "n 468 2"], Float[np.ndarray, " n"]]


def fit(pyramid: Pyramid, faces: list[Candidate], least_flag: float) -> Meshes:
    """Landmarks of faces and how sure the network is that they are faces.

    The network looks twice: where the detector says, and then, upright, where its first landmarks
    say. A face is as sure as it is at the second look.

    Args:
        pyramid: the photo.
        faces: where faces may be.
        least_flag: what is less sure than half of this at first is not looked at again.

    Returns:
        Points in continuous coordinates of the photo; of each face its flag, in [0, 1].
    """
    points, flags = _look(pyramid, [square_view(f.centre, ROOM * f.side, f.angle) for f in faces])
    again = np.flatnonzero(_usable(points) & (flags >= least_flag / 2))
    flags = np.where(np.isin(np.arange(len(faces)), again), flags, 0.0)
    if len(again):
        points[again], flags[again] = _look(pyramid, [_upright(points[i]) for i in again])
    return points, np.where(_usable(points), flags, 0.0)


def _usable(points: Float[np.ndarray, "n 468 2"]) -> Bool[np.ndarray, " n"]:
    """Whether the eyes are finite and at least a pixel apart."""
    left, right = (points[:, i] for i in OUTER_EYES)
    return np.isfinite(points).all(axis=(1, 2)) & (np.abs(right - left).max(axis=-1) >= 1.0)


def _upright(points: Float[np.ndarray, "468 2"]) -> ViewMatrix:
    """The view in which a face stands upright, in the middle."""
    left, right = (points[i] for i in OUTER_EYES)
    angle = math.atan2(right[1] - left[1], right[0] - left[0])
    turn = rotation(angle)
    upright = points @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    return square_view(turn @ ((low + high) / 2), ROOM * float((high - low).max()), angle)


def _look(pyramid: Pyramid, places: list[ViewMatrix]) -> Meshes:
    network = open_network("mesh", 1 / 255, 0.0)
    outputs = network([pyramid.cut(place, network.side, OUTSIDE) for place in places])
    matrices = np.stack(places)
    local = outputs[0].reshape(-1, POINTS, 3)[..., :2].astype(np.float64) / network.side
    points = np.einsum("nij,nkj->nki", matrices[..., :2], local) + matrices[:, None, :, 2]
    logits = outputs[1].reshape(-1).astype(np.float64)
    return points, 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
