"""Eyeballs: their mesh, and the colour of iris, white and lashes."""

import functools

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans.body import IRIS, Eye
from alrl_jax.worlds.humans.sampling import Identities
from alrl_jax.worlds.humans.textures import Places, Values, noise, step

RINGS, SECTORS = 26, 40

Colours = Float[np.ndarray, "_ 3"]


@functools.cache
def _ball() -> tuple[Places, Int[np.ndarray, "t 3"]]:
    """A ball whose pole looks along z, with the bulge of the cornea; its front half and a bit."""
    polar = np.linspace(0.0, 1.0, RINGS) ** 1.15 * np.deg2rad(115.0)
    turn = np.arange(SECTORS) * (2 * np.pi / SECTORS)
    ring, sector = np.meshgrid(polar, turn, indexing="ij")
    edge = np.arcsin(IRIS)
    bulge = 1.0 + 0.045 * np.clip(1.0 - (ring / (1.12 * edge)) ** 2, 0.0, 1.0)
    points = np.stack(
        [np.sin(ring) * np.cos(sector), np.sin(ring) * np.sin(sector), np.cos(ring)], axis=-1
    )
    points = (points * bulge[..., None]).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(RINGS - 1), np.arange(SECTORS), indexing="ij")
    a, b = i * SECTORS + j, i * SECTORS + (j + 1) % SECTORS
    quads = np.stack([a, a + SECTORS, b + SECTORS, b], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return points.astype(np.float32), triangles.astype(np.int32)


def eyeball(eye: Eye) -> tuple[Places, Int[np.ndarray, "t 3"]]:
    """Vertices in the scene, and triangles."""
    points, triangles = _ball()
    return (eye.centre + eye.radius * points @ eye.axes).astype(np.float32), triangles


def normals(eye: Eye) -> Places:
    """Unit normals of the vertices: of the white and of the cornea."""
    points, _ = _ball()
    out = points / np.linalg.norm(points, axis=1, keepdims=True)
    # The cornea is the cap of a smaller ball.
    inner = out - np.array([0.0, 0.0, 0.42], np.float32)
    cap = step(out[:, 2], np.cos(1.15 * np.arcsin(IRIS)), np.cos(0.85 * np.arcsin(IRIS)))
    out = out + cap[:, None] * (inner / np.linalg.norm(inner, axis=1, keepdims=True) - out)
    return (out / np.linalg.norm(out, axis=1, keepdims=True) @ eye.axes).astype(np.float32)


def iris_tone(person: Identities) -> Float[np.ndarray, "3"]:
    """Linear colour of the iris."""
    hues = np.array([[0.095, 0.042, 0.016], [0.14, 0.14, 0.055], [0.13, 0.22, 0.33]])
    hue = float(person.iris_hue) * 2
    tone = np.stack([np.interp(hue, (0, 1, 2), hues[:, c]) for c in range(3)])
    return (tone * float(person.iris_brightness)).astype(np.float32)


def albedo(points: Places, eye: Eye, person: Identities) -> tuple[Colours, Values]:
    """Linear albedo of an eyeball at points of the scene, and where the cornea is."""
    local = (points - eye.centre) @ eye.axes.T / eye.radius
    local /= np.maximum(np.linalg.norm(local, axis=1, keepdims=True), 1e-6)
    radius = np.hypot(local[:, 0], local[:, 1]) / IRIS
    radius = np.where(local[:, 2] > 0, radius, 9.0).astype(np.float32)
    turn = np.arctan2(local[:, 1], local[:, 0])
    fibre = np.stack([np.cos(turn) * 3.2, np.sin(turn) * 3.2, 0.35 * radius], axis=1)
    fibres = noise(fibre, 3.0, 21) + 0.6 * noise(fibre, 8.0, 22)
    tone = iris_tone(person)
    iris = tone * (1.0 + 0.45 * fibres + 0.35 * step(radius, 0.75, 0.35))[:, None]
    # Light enters from above and gathers in the lower half.
    iris *= (1.0 - 0.30 * local[:, 1:2] / IRIS).clip(0.6, 1.5)
    iris *= (1.0 - 0.75 * step(radius, 0.78, 1.0))[:, None]
    iris *= step(radius, 0.34, 0.42)[:, None]
    veins = np.clip(noise(local, 4.5, 31) * 2.0, 0, 1) * step(np.abs(local[:, 0]), 0.5, 0.85)
    white = np.array([0.60, 0.545, 0.51], np.float32) * np.ones((len(points), 1), np.float32)
    corner = step(np.abs(local[:, 0]), 0.45, 0.95)
    redder = (0.35 * corner + 0.30 * veins)[:, None] * np.array([0.12, 0.75, 0.75], np.float32)
    white *= 1.0 - redder
    share = step(radius, 1.06, 0.94)
    return white + share[:, None] * (iris - white), step(radius, 1.15, 0.9)
