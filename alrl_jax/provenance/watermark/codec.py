"""An imperceptible mark of our own, and its detector.

The mark is a sum of waves of middle frequency in the luminance. It repeats in tiles of half the
image's shorter side, so resizing changes nothing about it; cropping changes its scale and offset,
which the detector searches for. The waves' phases come from a fixed generator of random numbers: a
quarter of the waves are pilots, the others carry ``payload_code``'s bits, two each. The tile starts
where the image happens to look most like its mark, and its waves are fitted to the image
(``mark_fit``).

The decision rests on one statistic, z: the weighted sum of the cosines of the angles between the
image's waves and the mark's, over its standard deviation. In an image made without knowledge of
the mark the angles are uniform and independent, since the mark's phases are, and the weights depend
on magnitudes alone. As E exp(l cos) = I0(l) <= exp(l^2 / 4), P(z >= t) <= exp(-t^2 / 2), whatever
the image holds. ``THRESHOLD`` makes this, times everything that may be tried,
``FALSE_POSITIVES``.

A mark is a hint, not proof: it can be removed, and whoever reads this can forge it.
"""

import dataclasses
import datetime
import functools
import math
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.provenance.watermark import fit as mark_fit
from alrl_jax.provenance.watermark import payload_code
from alrl_jax.provenance.watermark.waves import (
    HIGHEST,
    LUMINANCE,
    TILE,
    WORK,
    Pixels,
    Plane,
    Waves,
    agreement,
    analysis,
    correlate,
    draw,
    measure,
    pattern,
    resized,
    roughness,
    symbols,
    turn,
    unit,
    weights,
    whiten,
    window,
)

SMALLEST_SIDE = 256
"""Images whose shorter side has fewer pixels are not marked."""
MIN_PSNR = 42.0
"""Marking costs no more than this, in dB."""
FALSE_POSITIVES = 1e-7
"""Bound of the chance that an image without a mark is called marked."""

# Half a step of 0.7% moves the fastest wave at the square's edge by a tenth of its length.
_SCALES = np.exp(np.arange(math.log(0.8), math.log(1.7), 0.007))
_GRID = 64  # offsets tried per axis
_STEPS = (0.5, 0.25, 0.12)  # of the refinement, in steps of the search
_TRIES = 4
_SPARE = 0.12  # dB that rounding may cost
_STRIP_ROWS = 512

# A refinement moves each of four numbers down, not, or up, once a step, from any place searched.
_MOVES = 4 * len(_STEPS)
_TRIED_BITS = math.log2(len(_SCALES) * _GRID**2) + _MOVES * math.log2(3) + payload_code.FREE_BITS
# exp(-t^2 / 2), times all that is tried, is ``FALSE_POSITIVES``.
THRESHOLD = math.sqrt(2 * (_TRIED_BITS * math.log(2) - math.log(FALSE_POSITIVES)))
"""Images with a z of at least this are called marked."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the mark may lie: pilots' z, image scales, and offset of the tile (tile units)."""

    z: float
    sy: float
    sx: float
    dy: float
    dx: float


@dataclasses.dataclass(frozen=True)
class Detection:
    """What the detector found.

    Attributes:
        marked: z reaches the threshold, the payload's checksum is right, and its format is ours.
        payload: what the mark says; None where there is none.
        z: the statistic, the largest of all places looked at.
    """

    marked: bool
    payload: payload_code.Payload | None
    z: float


def embed(image: Pixels, payload: payload_code.Payload) -> Pixels:
    """The image with a mark.

    Args:
        image: 8 or 16 bits; shorter side of at least ``SMALLEST_SIDE`` px.
        payload: what the mark says.

    Returns:
        an image of the same size; PSNR against the original at least ``MIN_PSNR`` dB.

    Raises:
        UserError: the image is too small.
    """
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise UserError(
            f"got an image of {width} x {height} px; expected a shorter side of at least "
            f"{SMALLEST_SIDE} px; leave it without a mark"
        )
    small = resized(image)
    mask = roughness(small)
    # Of all changes of the three channels that change luminance by 1, the one of least error has a
    # mean square of 1 / (3 sum of squares).
    budget = 255 / 10 ** ((MIN_PSNR + _SPARE) / 20) * math.sqrt(3 * float(LUMINANCE @ LUMINANCE))
    coefficients = mark_fit.fit(small, mask, symbols(payload_code.pack(payload)), budget)
    scale = min(height, width) / WORK
    full = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BICUBIC))
    strength = 1.0
    while True:
        marked = _add(image, coefficients * strength, full, scale)
        reached = psnr(image, marked)
        if reached >= MIN_PSNR:
            return marked
        # Rounding and clipping cost more than was planned; 0.995 makes the loop end.
        strength *= 0.995 * 10 ** ((reached - MIN_PSNR) / 20)


def detect(image: Pixels) -> Detection:
    """Looks for a mark at all scales and offsets.

    The mark of an image whose shorter side was cropped to between 59% and 125% of the original is
    looked for; turned and mirrored images are not tried.
    """
    if min(image.shape[:2]) < 16:
        return Detection(False, None, 0.0)
    white = whiten(window(resized(image)))
    found = Detection(False, None, 0.0)
    for place in _search(white)[:_TRIES]:
        now = _read(white, _refine(white, place))
        # A mark that is right goes before any z without one.
        if (now.marked, now.z) > (found.marked, found.z):
            found = now
        if found.marked:
            break
    return found


def mark(
    image: Pixels, model_sha256: str, day: datetime.date, wanted: bool, check: bool = True
) -> tuple[Pixels, dict[str, Any]]:
    """The image with a mark, where that is wanted and possible, and a record of what was done.

    The record has ``marked``, ``reason`` (why not), ``payload``, ``psnr`` (dB, what marking cost)
    and ``readable``: whether the detector finds the mark in the finished image; None where it is
    not to ``check``. In dense texture it may not find it; the image then keeps a mark that is too
    faint to tell.

    Raises:
        UserError: the mark is to be made, and the hash is none or the clock is wrong.
    """
    record: dict[str, Any] = {"marked": False, "reason": None, "payload": None, "psnr": None}
    record["readable"] = False
    if not wanted:
        return image, {**record, "reason": "switched off by the user (--nomark)"}
    if min(image.shape[:2]) < SMALLEST_SIDE:
        reason = f"shorter side under {SMALLEST_SIDE} px; metadata only"
        return image, {**record, "reason": reason}
    payload = payload_code.make_payload(model_sha256, day)
    marked = embed(image, payload)
    record |= {"marked": True, "payload": payload.as_json(), "psnr": psnr(image, marked)}
    record["readable"] = detect(marked).payload == payload if check else None
    return marked, record


def _add(image: Pixels, coefficients: Waves, mask: Plane, scale: float) -> Pixels:
    """The image and its mark, rounded and clipped; in strips, as photographs are large."""
    marked = np.empty_like(image)
    # Of all changes that move luminance by 1, the one of least square is along it.
    step = np.float32(unit(image)) * LUMINANCE / (LUMINANCE @ LUMINANCE)
    for top in range(0, len(image), _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, len(image)))
        drawn = draw(coefficients, (rows.start, rows.stop), image.shape[1], scale) * mask[rows]
        exact = image[rows] + drawn[..., None] * step
        marked[rows] = np.clip(np.rint(exact), 0, 255 * unit(image))
    return marked


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio of two images of one size, dB."""
    error = 0.0
    for top in range(0, len(one), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        error += float(np.sum((one[rows].astype(np.float32) - other[rows]) ** 2, dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10((255 * unit(one)) ** 2 * one.size / error)


@functools.cache
def _search_matrices() -> tuple[Complex[np.ndarray, "s k work"], Float[np.ndarray, "work k2"]]:
    left = np.stack([analysis(scale, -HIGHEST) for scale in _SCALES])
    right = np.concatenate([analysis(scale, 0) for scale in _SCALES]).T
    return left, np.concatenate([np.real(right), np.imag(right)], axis=1)


def _search(white: Plane) -> list[Place]:
    """The best offset of every scale by the pilots, best first."""
    waves = pattern()
    left, right = _search_matrices()
    # The square is real: two real products cost half of a complex one.
    real, imaginary = np.split(white @ right, 2, axis=1)
    rows = (real + 1j * imaginary).reshape(WORK, len(_SCALES), -1).transpose(1, 0, 2)
    measured = (left @ rows)[:, waves.ky + HIGHEST, waves.kx]
    chosen = waves.pilot
    terms = agreement(measured[:, chosen], weights(measured)[:, chosen])
    terms = terms * np.conj(waves.phase[chosen])
    z = correlate(waves.ky[chosen], waves.kx[chosen], terms, _GRID).reshape(len(_SCALES), -1)
    places = []
    for i in np.argsort(-z.max(axis=1)):
        dy, dx = (float(d) * TILE / _GRID for d in divmod(int(np.argmax(z[i])), _GRID))
        places.append(Place(float(z[i].max()), float(_SCALES[i]), float(_SCALES[i]), dy, dx))
    return places


def _pilots_z(measured: Waves, dy: float, dx: float) -> float:
    waves = pattern()
    terms = agreement(measured[waves.pilot], weights(measured)[waves.pilot])
    turned = terms * np.conj(waves.phase[waves.pilot]) * turn(dy, dx)[waves.pilot]
    return float(np.sum(np.real(turned)))


def _refine(white: Plane, place: Place) -> Place:
    """Moves scales and offsets, one after the other, as long as the pilots gain."""
    best = place
    for step in _STEPS:
        for axis in ("y", "x"):
            start = best
            for factor in (1 - 0.007 * step, 1 + 0.007 * step):
                scale, offset = getattr(start, f"s{axis}"), getattr(start, f"d{axis}")
                # About the centre: the offset follows.
                moved = offset + WORK / 2 * (1 / scale - 1 / (scale * factor))
                values = {f"s{axis}": scale * factor, f"d{axis}": moved}
                best = max(best, _judged(white, start, values), key=lambda p: p.z)
        measured = measure(white, best.sy, best.sx)
        for axis in ("y", "x"):
            start = best
            for shift in (-2 * step, 2 * step):
                values = {f"d{axis}": getattr(start, f"d{axis}") + shift}
                moved = dataclasses.replace(start, **values)
                z = _pilots_z(measured, moved.dy, moved.dx)
                best = max(best, dataclasses.replace(moved, z=z), key=lambda p: p.z)
    return best


def _judged(white: Plane, place: Place, values: dict[str, float]) -> Place:
    moved = dataclasses.replace(place, **values)
    z = _pilots_z(measure(white, moved.sy, moved.sx), moved.dy, moved.dx)
    return dataclasses.replace(moved, z=z)


def _read(white: Plane, place: Place) -> Detection:
    """The payload at a place, and how well the whole mark agrees with the image."""
    waves = pattern()
    measured = measure(white, place.sy, place.sx) * turn(place.dy, place.dx)
    terms = agreement(measured, weights(measured))
    turned = (terms * np.conj(waves.phase))[waves.carriers]
    soft = np.stack([np.real(turned), np.imag(turned)], axis=1).reshape(-1)
    summed = np.zeros(payload_code.CODED_BITS)
    # Each bit is on several waves, which vote by how sure they are.
    np.add.at(summed, np.arange(len(soft)) % len(summed), soft)
    number, valid = payload_code.decode(summed)
    # With the bits known, carriers count as pilots do; ``FREE_BITS`` in the threshold pays for the
    # choice of bits.
    z = float(np.sum(terms * np.conj(symbols(number))).real)
    payload = payload_code.unpack(number)
    marked = valid and z >= THRESHOLD and payload.format == payload_code.FORMAT
    return Detection(marked, payload if marked else None, z)
