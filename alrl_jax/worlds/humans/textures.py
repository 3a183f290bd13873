"""Noise in space, and small functions that textures are made of."""

import functools

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "_"]
Places = Float[np.ndarray, "_ 3"]

_SIDE = 32


@functools.cache
def _lattice() -> Float[np.ndarray, " m"]:
    """Random numbers from -1 to 1 on a lattice that repeats itself."""
    return np.random.default_rng(11).uniform(-1, 1, _SIDE**3).astype(np.float32)


def noise(places: Places, per_unit: float, seed: int = 0) -> Values:
    """Smooth noise of deviation about 0.4 and mean 0.

    Args:
        places: where, in decimetres.
        per_unit: lattice points a decimetre.
        seed: another seed, another noise.
    """
    shift = np.array([seed % 8191, seed % 127 * 7.3, seed % 1031 * 3.1], np.float32) % _SIDE
    p = places.astype(np.float32) * np.float32(per_unit) + shift + np.float32(17.37)
    cell = np.floor(p)
    f = p - cell
    f = f * f * (3.0 - 2.0 * f)
    i = cell.astype(np.int32) % _SIDE
    j = (i + 1) % _SIDE
    table = _lattice()
    x0, x1 = i[:, 0] * _SIDE * _SIDE, j[:, 0] * _SIDE * _SIDE
    y0, y1 = i[:, 1] * _SIDE, j[:, 1] * _SIDE
    z0, z1 = i[:, 2], j[:, 2]
    fx, fy, fz = f[:, 0], f[:, 1], f[:, 2]
    near = _mix(
        _mix(table[x0 + y0 + z0], table[x1 + y0 + z0], fx),
        _mix(table[x0 + y1 + z0], table[x1 + y1 + z0], fx),
        fy,
    )
    far = _mix(
        _mix(table[x0 + y0 + z1], table[x1 + y0 + z1], fx),
        _mix(table[x0 + y1 + z1], table[x1 + y1 + z1], fx),
        fy,
    )
    return _mix(near, far, fz)


def _mix(a: Values, b: Values, share: Values) -> Values:
    return a + (b - a) * share


def spots(places: Places, per_unit: float, share: float, size: float, seed: int) -> Values:
    """Round spots, one in a share of the cells of a lattice: 1 in their middle, 0 outside.

    Args:
        places: where, in decimetres.
        per_unit: cells a decimetre.
        share: of the cells that have one.
        size: greatest radius, in cells.
        seed: another seed, other spots.
    """
    p = places.astype(np.float32) * np.float32(per_unit) + np.float32(100.0 + seed % 977)
    cell = np.floor(p)
    key = cell.astype(np.int64)
    number = (
        (key[:, 0] * 73856093) ^ (key[:, 1] * 19349663) ^ (key[:, 2] * 83492791) ^ (seed * 7919)
    )
    chance = _random(number)
    middle = np.stack([_random(number + 1), _random(number + 2), _random(number + 3)], axis=1)
    reach = size * (0.5 + 0.5 * _random(number + 4))
    away = np.linalg.norm(p - cell - (size + (1 - 2 * size) * middle), axis=1)
    return np.where(chance < share, np.clip(1.6 * (1 - away / reach), 0.0, 1.0), 0.0).astype(
        np.float32
    )


def _random(number: np.ndarray) -> Values:
    """A number from 0 to 1 for every whole number."""
    mixed = (number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)
    mixed = (mixed * mixed * np.uint64(0xD6E8FEB86659FD93) + mixed) >> np.uint64(34)
    return (mixed & np.uint64(0xFFFFFF)).astype(np.float32) / np.float32(2**24)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar products along the last axis."""
    return np.einsum("...i,...i->...", a, b)


def length(v: np.ndarray) -> np.ndarray:
    """Lengths of vectors, which lie along the last axis."""
    return np.sqrt(dot(v, v))


def step(value: Values, low: float, high: float) -> Values:
    """A smooth step from 0 at ``low`` to 1 at ``high``."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def sharp(wavelength: float, footprint: float) -> float:
    """How much of a detail can be drawn: 0 where it is finer than pixels, 1 where it is coarser."""
    return float(np.clip(wavelength / footprint - 0.8, 0.0, 1.0))


def picture(mask: Float[np.ndarray, "s s"], places: Float[np.ndarray, "n 2"]) -> Values:
    """A mask of the texture plane at places of it, interpolated."""
    side = mask.shape[0]
    x = np.clip(places[:, 0] * side - 0.5, 0, side - 1.001)
    y = np.clip((1 - places[:, 1]) * side - 0.5, 0, side - 1.001)
    i, j = y.astype(np.int32), x.astype(np.int32)
    f, g = (y - i).astype(np.float32), (x - j).astype(np.float32)
    upper = mask[i, j] * (1 - g) + mask[i, j + 1] * g
    lower = mask[i + 1, j] * (1 - g) + mask[i + 1, j + 1] * g
    return upper * (1 - f) + lower * f
