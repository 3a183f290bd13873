"""Fitting the mark to an image: which waves to strengthen so that the detector hears them best.

Whoever marks knows the image, so its own waves need not drown the mark: those that happen to be
weak are turned into the mark's phase at little cost, those that are strong are left alone. That is
informed embedding (Miller, Doerr and Cox 2004, Applying informed coding and embedding to design a
robust high-capacity watermark), here by gradient ascent on the detector's own statistic.
"""

import functools
import math

import numpy as np
from jaxtyping import Complex, Float

from alrl_jax.provenance.watermark.waves import (
    HIGHEST,
    SOFTNESS,
    TILE,
    WORK,
    Plane,
    Waves,
    agreement,
    corner,
    correlate,
    draw,
    level,
    measure,
    measured_by,
    pattern,
    taper,
    tilt,
    turn,
    weights,
    whiten,
    window,
)

_ROUNDS = 14
_STEP = 0.5  # of the first round, as a share of the mark; later ones are smaller
_PART = 0.8  # of each side: what is left after a crop should carry the mark as well
_PLACES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))
_WHOLE = 2.0  # weight of the whole square against one of its parts

Rows = tuple[Complex[np.ndarray, "ky work"], Complex[np.ndarray, "kx work"]]


def fit(small: Plane, mask: Plane, wanted: Waves, budget: float) -> Waves:
    """Amplitudes and phases of the waves for one image; the tile starts at its top left.

    Args:
        small: luminance, see ``mark_waves.resized``.
        mask: how strong the mark is to be where, in any unit.
        wanted: unit factors of all waves, see ``mark_waves.symbols``.
        budget: root mean square of the mark in luminance, mask included.
    """
    top, left = corner(small)
    square, local = window(small), window(mask)
    wanted = wanted * np.conj(_luckiest(square, wanted))
    drawn = np.zeros_like(square)
    coefficients = np.zeros_like(wanted)
    best, found = -math.inf, coefficients
    for number in range(_ROUNDS + 1):
        z, ascent = _steepest(whiten(square + drawn), wanted)
        # Ascent overshoots: the best round is kept, not the last.
        if number and z > best:
            best, found = z, coefficients
        share = _STEP / (1 + number / 8) if number else 1.0
        coefficients = _unit(coefficients) + share * _unit(ascent)
        drawn = draw(coefficients, (0, WORK), WORK, 1.0) * local
        # Back to the budget: what is learned is the direction.
        gain = budget / math.sqrt(float(np.mean(drawn**2)))
        coefficients, drawn = coefficients * gain, drawn * np.float32(gain)
    # From the corner of the square to that of the image.
    found = found * turn(float(-top), float(-left))
    drawn = draw(found, (0, small.shape[0]), small.shape[1], 1.0) * mask
    # The budget is meant for the whole image, of which the square is a part.
    return found * (budget / math.sqrt(float(np.mean(drawn**2))))


def _unit(waves: Waves) -> Waves:
    return waves / (np.linalg.norm(waves) + 1e-9)


def _luckiest(square: Plane, wanted: Waves) -> Waves:
    """Factors of the offset at which the square happens to look most like its mark."""
    waves = pattern()
    measured = measure(whiten(square), 1.0, 1.0)
    terms = agreement(measured, weights(measured)) * np.conj(wanted)
    luck = correlate(waves.ky, waves.kx, terms[None], TILE)[0]
    dy, dx = divmod(int(np.argmax(luck)), TILE)
    return turn(float(dy), float(dx))


def _steepest(white: Plane, wanted: Waves) -> tuple[float, Waves]:
    """The least z of the square and its parts, and the direction in which all of them grow."""
    smallest, summed = math.inf, np.zeros_like(wanted)
    for i, rows in enumerate(_views()):
        z, ascent = _z(measured_by(white, *rows) * np.conj(wanted))
        # The least decides which round is best, but all of them pull: by the least alone, the
        # search would swing from part to part.
        smallest = min(smallest, z)
        summed = summed + ascent * (1.0 if i else _WHOLE)
    return smallest, summed * wanted


def _z(turned: Waves) -> tuple[float, Waves]:
    """z of waves whose marked phase is 0, and its gradient.

    The levels, which change slowly, count as constants.
    """
    levels = level(turned)
    scale = tilt(levels) / levels
    softened = 1 + (np.abs(turned) / (SOFTNESS * levels)) ** 2
    deviation = math.sqrt(np.sum(scale**2 * np.abs(turned) ** 2 / softened) / 2) + 1e-12
    z = float(np.sum(scale * np.real(turned) / np.sqrt(softened))) / deviation
    straight = scale * softened**-0.5
    bend = scale * np.real(turned) / (SOFTNESS * levels) ** 2 * softened**-1.5
    # Louder waves of other phases raise the deviation.
    noise = z / (2 * deviation) * scale**2 * softened**-2
    return z, (straight - (bend + noise) * turned) / deviation


@functools.cache
def _views() -> tuple[Rows, ...]:
    """What measures the waves of the square, and of its parts where they lie in it."""
    place = np.arange(WORK) + 0.5
    waves = np.exp(-2j * np.pi * np.outer(np.arange(-HIGHEST, HIGHEST + 1), place) / TILE)
    waves = waves.astype(np.complex64)
    side = round(_PART * WORK)
    spans = [((0, WORK), (0, WORK))]
    for y, x in _PLACES:
        spans.append(((round((WORK - side) * y), side), (round((WORK - side) * x), side)))
    return tuple(
        (waves * _edge(*rows), waves[HIGHEST:] * _edge(*columns)) for rows, columns in spans
    )


def _edge(start: int, length: int) -> Float[np.ndarray, " work"]:
    """The taper of a part along one axis; 0 outside it."""
    values = np.zeros(WORK, np.float32)
    values[start : start + length] = taper(length)
    return values
