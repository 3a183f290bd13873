"""The waves that make up the mark in an image, and how they are drawn and measured.

Everything here happens on luminance, at a size at which the image's shorter side has ``WORK`` px.
"""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Bool, Complex, Float, Int, UInt8, UInt16
from PIL import Image

from alrl_jax.provenance.watermark import payload_code

WORK = 256
"""The shorter side of an image, px, while its waves are measured, in its centre square."""
TILE = 128
"""Period of the mark at that size, px."""
LOWEST, HIGHEST = 5, 28
"""Frequencies, waves per tile: what halving an image of 256 px leaves."""
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue."""
SOFTNESS = 0.8
"""Waves much louder than this share of their level count alike; see ``weights``."""
_SEED = 0x616C726C

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Plane = Float[np.ndarray, "h w"]
Waves = Complex[np.ndarray, " waves"]


@dataclasses.dataclass(frozen=True)
class Pattern:
    """The waves of a tile: numbers per tile and unit phase factors, and which are pilots.

    Attributes:
        carriers: the other waves, in the order in which bits are laid on them.
        ring: which of the distinct frequencies each wave has.
        near: for every distinct frequency, the weights of all of them about it; sum 1 over waves.
    """

    ky: Int[np.ndarray, " waves"]
    kx: Int[np.ndarray, " waves"]
    phase: Complex[np.ndarray, " waves"]
    pilot: Bool[np.ndarray, " waves"]
    carriers: Int[np.ndarray, " carriers"]
    ring: Int[np.ndarray, " waves"]
    near: Float[np.ndarray, "rings rings"]


@functools.cache
def pattern() -> Pattern:
    """The one pattern of this format."""
    ky, kx = np.mgrid[-HIGHEST : HIGHEST + 1, 0 : HIGHEST + 1]
    radius = np.hypot(ky, kx)
    # Half of the plane: the other half of a real image's waves are conjugates of these.
    chosen = ((kx > 0) | (ky > 0)) & (radius >= LOWEST) & (radius <= HIGHEST)
    ky, kx, radius = ky[chosen], kx[chosen], radius[chosen]
    count = len(ky)
    # By name, as NumPy may change its default: the pattern is part of the format.
    rng = np.random.Generator(np.random.PCG64(_SEED))
    phase = np.exp(2j * np.pi * rng.random(count))
    pilot = np.zeros(count, bool)
    pilot[rng.permutation(count)[: count // 4]] = True
    carriers = rng.permutation(np.flatnonzero(~pilot))
    # Waves of one frequency share their neighbours: a few hundred rows instead of a thousand.
    radii, ring, members = np.unique(radius, return_inverse=True, return_counts=True)
    near = np.exp(-0.5 * (radii[:, None] - radii) ** 2)
    near /= (near * members).sum(axis=1, keepdims=True)
    return Pattern(ky, kx, phase, pilot, carriers, ring, near)


def symbols(number: int) -> Waves:
    """Unit factors of all waves for a payload."""
    waves = pattern()
    bits = np.resize(1.0 - 2.0 * payload_code.encode(number), (len(waves.carriers), 2))
    signs = np.ones(len(waves.ky), np.complex128)
    # Two bits a wave, one on each axis; the root keeps its magnitude at 1.
    signs[waves.carriers] = (bits[:, 0] + 1j * bits[:, 1]) / math.sqrt(2)
    return signs * waves.phase


def unit(image: Pixels) -> int:
    """The step of this image's depth that is one of 8 bits."""
    return 257 if image.dtype == np.uint16 else 1


def resized(image: Pixels) -> Float[np.ndarray, "y x"]:
    """Luminance from 0 to 255, scaled so that the shorter side has ``WORK`` px."""
    gray = image @ LUMINANCE / np.float32(unit(image))
    scale = WORK / min(gray.shape)
    height, width = (max(WORK, round(side * scale)) for side in gray.shape)
    # Lanczos leaves out what is too fine, which would come back as waves of the mark.
    return np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.LANCZOS))


def corner(plane: Plane) -> tuple[int, int]:
    """Top left corner of the centre square."""
    return (plane.shape[0] - WORK) // 2, (plane.shape[1] - WORK) // 2


def window(plane: Plane) -> Float[np.ndarray, "work work"]:
    """The centre square."""
    top, left = corner(plane)
    return plane[top : top + WORK, left : left + WORK]


def _blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur with repeated edges."""
    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    # Along the first axis, then transposed: sums of whole rows are what NumPy does fastest.
    for _ in range(2):
        padded = np.pad(plane, ((reach, reach), (0, 0)), mode="edge")
        blurred = kernel[reach] * plane
        for i in range(reach):
            mirrored = padded[2 * reach - i : 2 * reach - i + len(plane)]
            blurred += kernel[i] * (padded[i : i + len(plane)] + mirrored)
        plane = np.ascontiguousarray(blurred.T)
    return plane


def _detail(plane: Plane, high_pass: float, spread: float) -> tuple[Plane, Plane]:
    """What a high-pass leaves, and its local standard deviation."""
    high = plane - _blur(plane, high_pass)
    return high, np.sqrt(np.maximum(_blur(high * high, spread), 0))


def roughness(plane: Plane) -> Plane:
    """How strong the mark may be where, in any unit."""
    # A low power: rough places take more, but smooth ones have to carry the mark as well.
    return (_detail(plane, 5.0, 5.0)[1] + 3.0) ** 0.25


def whiten(plane: Plane) -> Plane:
    """The detail at one strength everywhere, so that edges do not drown the mark around them."""
    high, deviation = _detail(plane, 3.0, 2.0)
    # 0.4 keeps the noise of flat places from counting like detail.
    return np.clip(high / (deviation + 0.4), -1.2, 1.2)


@functools.cache
def taper(length: int) -> Float[np.ndarray, " length"]:
    """1, falling to 0 at both ends, so that what the ends cut through makes no waves."""
    place = (np.arange(length) + 0.5) / length
    edge = np.sin(np.pi * np.minimum(place, 1 - place)) / math.sin(0.08 * math.pi)
    return np.minimum(1.0, edge).astype(np.float32)


@functools.lru_cache(64)
def analysis(scale: float, lowest: int) -> Complex[np.ndarray, "k work"]:
    """Rows that measure the waves ``lowest .. HIGHEST`` along one axis; ``lowest`` <= 0."""
    # Centres of pixels: resizing holds an image's corner, not its first pixel, in place.
    place = (np.arange(WORK) + 0.5) / scale
    turns = np.outer(np.arange(HIGHEST + 1), place) / TILE
    rows = (np.exp(-2j * np.pi * turns) * taper(WORK)).astype(np.complex64)
    return np.concatenate([np.conj(rows[-lowest:0:-1]), rows])


def measure(white: Plane, sy: float, sx: float) -> Waves:
    """The waves of a whitened square, if tiles are larger by these factors."""
    return measured_by(white, analysis(sy, -HIGHEST), analysis(sx, 0))


def measured_by(
    white: Plane, left: Complex[np.ndarray, "ky work"], right: Complex[np.ndarray, "kx work"]
) -> Waves:
    """The waves of a whitened square by rows as ``analysis`` gives them."""
    waves = pattern()
    # Real products, as the image is real.
    columns = white @ np.concatenate([np.real(right), np.imag(right)]).T
    columns = columns[:, : len(right)] + 1j * columns[:, len(right) :]
    rows = left @ columns
    return rows[waves.ky + HIGHEST, waves.kx].astype(np.complex128)


def turn(dy: float, dx: float) -> Waves:
    """Factors that move measured waves by an offset, in pixels of the tile."""
    waves = pattern()
    return np.exp(2j * np.pi * (waves.ky * dy + waves.kx * dx) / TILE)


def tilt(levels: Float[np.ndarray, "*n waves"]) -> Float[np.ndarray, "*n waves"]:
    """Less for frequencies at which the image itself is strong."""
    # The mean bounds it: a silent frequency would outweigh all others.
    less = (levels**2 + 0.25 * np.mean(levels**2, -1, keepdims=True)) ** -0.5
    return less / np.mean(less, -1, keepdims=True)


def level(measured: Complex[np.ndarray, "*n waves"]) -> Float[np.ndarray, "*n waves"]:
    """Root mean square magnitude of the waves of about the same frequency."""
    waves = pattern()
    energy = (np.real(measured) ** 2 + np.imag(measured) ** 2).reshape(-1, len(waves.ring))
    offsets = np.arange(len(energy))[:, None] * len(waves.near) + waves.ring
    sums = np.bincount(offsets.reshape(-1), energy.reshape(-1), len(energy) * len(waves.near))
    levels = np.sqrt(sums.reshape(len(energy), -1) @ waves.near.T) + 1e-9
    return levels[:, waves.ring].reshape(measured.shape)


def weights(measured: Complex[np.ndarray, "*n waves"]) -> Float[np.ndarray, "*n waves"]:
    """How much each wave counts; depends on magnitudes alone.

    Faint waves count by their magnitude, as noise turns them easily; the others nearly alike, so
    that the embedder may leave those alone whose turning would cost most.
    """
    levels = level(measured)
    relative = np.abs(measured) / levels
    return relative / np.sqrt(1 + (relative / SOFTNESS) ** 2) * tilt(levels)


def agreement(
    measured: Complex[np.ndarray, "*n waves"], weight: Float[np.ndarray, "*n waves"]
) -> Complex[np.ndarray, "*n waves"]:
    """Weighted unit factors, over the standard deviation of the sum of their real parts."""
    unit = measured / (np.abs(measured) + 1e-12)
    # The cosine of an angle that may be any has a variance of 1/2.
    return weight * unit / (np.sqrt(np.sum(weight**2, -1, keepdims=True) / 2) + 1e-12)


def correlate(
    ky: Int[np.ndarray, " k"],
    kx: Int[np.ndarray, " k"],
    terms: Complex[np.ndarray, "n k"],
    side: int,
) -> Float[np.ndarray, "n side side"]:
    """Sums of the real parts of ``terms``, at ``side`` x ``side`` offsets of the tile."""
    grid = np.zeros((len(terms), side, side // 2 + 1), np.complex64)
    grid[:, ky % side, kx] = terms
    edge = kx == 0
    # ``irfft2`` fills in the conjugates of all columns but this one.
    grid[:, -ky[edge] % side, 0] = np.conj(terms[:, edge])
    # Undoes the transform's 1 / side^2, and that it adds each wave and its conjugate.
    return np.fft.irfft2(grid, (side, side)) * (side * side / 2)


def draw(coefficients: Waves, rows: tuple[int, int], width: int, scale: float) -> Plane:
    """The waves on some rows of an image whose tiles are ``scale`` times as large."""
    waves = pattern()
    ys, xs = (np.arange(*rows) + 0.5) / scale, (np.arange(width) + 0.5) / scale
    # Few waves, each a product of one along y and one along x: two thin matrix products, whatever
    # the image's size; an FFT would need tiles of whole pixels.
    grid = np.zeros((2 * HIGHEST + 1, HIGHEST + 1), np.complex64)
    grid[waves.ky + HIGHEST, waves.kx] = coefficients
    turns = np.outer(ys, np.arange(-HIGHEST, HIGHEST + 1)) / TILE
    left = np.exp(2j * np.pi * turns).astype(np.complex64) @ grid
    right = np.exp(2j * np.pi * np.outer(np.arange(HIGHEST + 1), xs) / TILE).astype(np.complex64)
    return left.real @ right.real - left.imag @ right.imag
