"""The 68 landmarks of the iBUG scheme, as vertices of the mesh."""

import functools

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans.anatomy import Points, anatomy

_PARTS = {
    "jaw": 17,
    "l_brow": 5,
    "r_brow": 5,
    "nose_bridge": 4,
    "nostril": 5,
    "l_eye": 6,
    "r_eye": 6,
    "lips_outer": 12,
    "lips_inner": 8,
}

LANDMARKS: tuple[str, ...] = tuple(f"{p}_{i}" for p, n in _PARTS.items() for i in range(n))
"""Names of the landmarks in the order of the scheme; left and right are the viewer's, numbers run
as the scheme's do."""

_HALF = {
    "jaw": (
        (0.700, 7.30, 0.55),
        (0.690, 7.12, 0.58),
        (0.665, 6.95, 0.62),
        (0.625, 6.80, 0.68),
        (0.555, 6.63, 0.78),
        (0.460, 6.49, 0.92),
        (0.330, 6.38, 1.10),
        (0.170, 6.32, 1.27),
        (0.000, 6.31, 1.34),
    ),
    "brow": (
        (0.535, 7.47, 1.05),
        (0.430, 7.575, 1.25),
        (0.320, 7.605, 1.38),
        (0.210, 7.570, 1.42),
        (0.095, 7.490, 1.44),
    ),
    "nose_bridge": ((0, 7.38, 1.42), (0, 7.25, 1.46), (0, 7.13, 1.53), (0, 7.01, 1.58)),
    "nostril": ((0.130, 6.925, 1.42), (0.065, 6.905, 1.48), (0.0, 6.890, 1.50)),
    "eye": (
        (0.415, 7.347, 1.32),
        (0.345, 7.385, 1.40),
        (0.240, 7.372, 1.41),
        (0.158, 7.322, 1.38),
        (0.250, 7.308, 1.40),
        (0.345, 7.308, 1.39),
    ),
    "lips_outer": (
        (0.240, 6.680, 1.36),
        (0.150, 6.750, 1.44),
        (0.050, 6.790, 1.50),
        (0.000, 6.780, 1.50),
        (0.140, 6.600, 1.44),
        (0.060, 6.570, 1.46),
        (0.000, 6.568, 1.46),
    ),
    "lips_inner": (
        (0.215, 6.682, 1.37),
        (0.080, 6.705, 1.46),
        (0.000, 6.700, 1.47),
        (0.080, 6.685, 1.46),
        (0.000, 6.680, 1.47),
    ),
}
"""Places on the average person, in decimetres, of the viewer's right half: from outside to the
middle, lower ones last."""


def _mirrored(point: tuple[float, float, float]) -> tuple[float, float, float]:
    return (-point[0], point[1], point[2])


def _wanted() -> Float[np.ndarray, "68 3"]:
    """Places of all landmarks in the scheme's order."""
    half = _HALF
    flip = lambda points: [_mirrored(p) for p in points]  # noqa: E731
    jaw = flip(half["jaw"]) + list(half["jaw"][-2::-1])
    brows = flip(half["brow"]) + list(half["brow"][::-1])
    nostrils = flip(half["nostril"]) + list(half["nostril"][-2::-1])
    a, b, c, d, e, f = half["eye"]
    left_eye = flip((a, b, c, d, e, f))
    right_eye = [d, c, b, a, f, e]
    corner, high, peak, top, low, lower, bottom = half["lips_outer"]
    outer = [*flip((corner, high, peak)), top, peak, high, corner, low, lower, bottom]
    outer += flip((lower, low))
    corner, upper, middle, under, lowest = half["lips_inner"]
    inner = [*flip((corner, upper)), middle, upper, corner, under, lowest, *flip((under,))]
    bridge = list(half["nose_bridge"])
    every = [*jaw, *brows, *bridge, *nostrils, *left_eye, *right_eye, *outer, *inner]
    return np.asarray(every, np.float32)


def _pairs() -> tuple[tuple[int, int], ...]:
    """Places that change places in a mirror."""
    wanted = _wanted()
    across = wanted * np.array([-1, 1, 1], np.float32)
    twin = np.array([int(np.abs(wanted - p).sum(axis=1).argmin()) for p in across])
    # Upper and lower inner lips nearly meet, so that a twin is looked for within its own row.
    return tuple((i, int(j)) for i, j in enumerate(twin) if i < j)


LANDMARK_PAIRS = _pairs()
"""Pairs of landmarks that change places in a mirrored image."""


@functools.cache
def landmark_vertices() -> Int[np.ndarray, " m"]:
    """Fine vertices of the skin that lie nearest to the wanted places.

    Of lips that touch, the one that opening the jaw moves more is the lower one.
    """
    whole = anatomy()
    skin = np.unique(whole.triangles[whole.part == 0])
    drop = whole.subdivision(-whole.actions["jawOpen"][:, 1:2])[:, 0]
    typical = float(np.quantile(drop[skin], 0.999))
    found = []
    for name, place in zip(LANDMARKS, _wanted(), strict=True):
        cost = np.linalg.norm(whole.rest[skin] - place, axis=1)
        if name.startswith("lips_inner"):
            number = int(name.rsplit("_", 1)[1])
            share = np.clip(drop[skin] / typical, 0.0, 1.0)
            if number in (1, 2, 3):
                cost = cost + 0.2 * (share > 0.3)
            elif number in (5, 6, 7):
                cost = cost + 0.2 * (share < 0.5)
        found.append(int(skin[cost.argmin()]))
    return np.asarray(found)


def landmark_points(vertices: Points) -> Float[np.ndarray, "68 3"]:
    """Where the landmarks of a posed mesh are.

    Args:
        vertices: fine vertices, as posed.
    """
    return vertices[landmark_vertices()]
