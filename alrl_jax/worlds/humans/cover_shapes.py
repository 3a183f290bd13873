"""Meshes of what covers a face."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans.anatomy import Points, anatomy, skin_vertices
from alrl_jax.worlds.humans.body import Body
from alrl_jax.worlds.humans.covers import COVER_KINDS, Covers
from alrl_jax.worlds.humans.textures import Values

Triangles = Int[np.ndarray, "_ 3"]
Mesh = tuple[Points, Triangles]


class Cover(NamedTuple):
    """A cover as a mesh in the scene.

    Attributes:
        kind: its name.
        vertices: [v, 3].
        triangles: [t, 3].
        film: of every triangle, whether light passes it (a lens).
    """

    kind: str
    vertices: Points
    triangles: Triangles
    film: np.ndarray


def _grid(rows: int, columns: int, closed: bool) -> Triangles:
    """Triangles of a grid of vertices; closed along its columns where it is a tube."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - (not closed)), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    quads = np.stack([a, b, b + columns, a + columns], axis=-1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def _tube(
    line: Float[np.ndarray, "k 3"], radius: Float[np.ndarray, " k"], sectors: int = 10
) -> Mesh:
    """A tube along a line."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    guide = np.where(np.abs(along[:, 2:3]) < 0.8, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    side = np.cross(along, guide)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    top = np.cross(along, side)
    turn = np.arange(sectors) * (2 * np.pi / sectors)
    ring = np.cos(turn)[:, None] * side[:, None] + np.sin(turn)[:, None] * top[:, None]
    points = line[:, None] + radius[:, None, None] * ring
    return points.reshape(-1, 3).astype(np.float32), _grid(len(line), sectors, True)


def _ball(centre: Float[np.ndarray, "3"], radii: Float[np.ndarray, "3"]) -> Mesh:
    """An ellipsoid."""
    polar, turn = np.linspace(0, np.pi, 18), np.arange(28) * (2 * np.pi / 28)
    p, t = np.meshgrid(polar, turn, indexing="ij")
    unit = np.stack([np.sin(p) * np.cos(t), np.cos(p), np.sin(p) * np.sin(t)], -1).reshape(-1, 3)
    return (centre + radii * unit).astype(np.float32), _grid(18, 28, True)


def _joined(meshes: list[Mesh]) -> Mesh:
    offsets = np.cumsum([0, *(len(v) for v, _ in meshes)])
    triangles = [t + o for (_, t), o in zip(meshes, offsets[:-1], strict=True)]
    return np.concatenate([v for v, _ in meshes]), np.concatenate(triangles).astype(np.int32)


def _capsule(points: list[tuple[float, float, float]], radius: float) -> Mesh:
    """A tube with round ends through points."""
    line = np.asarray(points, np.float32)
    share = np.linspace(0, len(line) - 1, 4 * len(line))
    line = np.stack([np.interp(share, np.arange(len(line)), line[:, c]) for c in range(3)], 1)
    rounded = np.full(len(line), radius)
    first, last = line[0] - line[1], line[-1] - line[-2]
    first, last = (radius * v / np.linalg.norm(v) for v in (first, last))
    ends = np.array([0.05, 0.6, 0.9])
    line = np.concatenate(
        [
            line[0] + first * np.array([[1], [0.8], [0.45]]),
            line,
            line[-1] + last * np.array([[0.45], [0.8], [1]]),
        ]
    )
    return _tube(line, np.concatenate([radius * ends, rounded, radius * ends[::-1]]))


def _glasses(cover: Covers, figure: Body) -> tuple[Mesh, int]:
    """Frames and lenses on the still head; returns how many triangles the lenses have."""
    size, still = float(cover.size), figure.still
    near = (np.abs(anatomy().rest[:, 0]) < 0.5) & (np.abs(anatomy().rest[:, 1] - 7.37) < 0.12)
    front = float(still[near & skin_vertices()][:, 2].max()) + 0.02
    turn = np.linspace(0, 2 * np.pi, 41)
    square = lambda a: np.sign(a) * np.abs(a) ** 0.7  # noqa: E731
    frames, lenses = [], []
    for side in (-1, 1):
        x = side * 0.315 + 0.235 * size * square(np.cos(turn))
        y = 7.32 + float(cover.y) + 0.185 * size * square(np.sin(turn))
        rim = np.stack([x, y, front - 0.10 * np.abs(x) ** 1.5], axis=1)
        frames.append(_tube(rim, np.full(41, 0.017 * size), 8))
        middle = rim[:-1].mean(axis=0)
        points = np.concatenate([middle[None], rim[:-1]]).astype(np.float32)
        fan = np.stack([np.zeros(40), 1 + np.arange(40), 1 + (np.arange(40) + 1) % 40], axis=1)
        lenses.append((points, fan.astype(np.int32)))
        edge = (side * (0.315 + 0.235 * size), 7.38 + float(cover.y), front - 0.04)
        frames.append(
            _capsule([edge, (side * 0.72, 7.40, front - 0.35), (side * 0.76, 7.36, 0.45)], 0.017)
        )
    y = 7.36 + float(cover.y)
    frames.append(
        _capsule(
            [(-0.09, y - 0.01, front), (0.0, y + 0.015, front + 0.01), (0.09, y - 0.01, front)],
            0.017,
        )
    )
    return _joined([*lenses, *frames]), 2 * 40


def _patch(figure: Body, inside: np.ndarray, thickness: Values) -> Mesh:
    """A part of the skin, lifted; corners outside of it end in the skin."""
    whole = anatomy()
    skin = whole.triangles[whole.part == 0]
    used = skin[inside[skin].any(axis=1)]
    lift = np.where(inside, thickness, 0.004)[:, None]
    return (figure.vertices + lift * figure.normals).astype(np.float32), used


def _mask(cover: Covers, figure: Body) -> Mesh:
    """Cloth over nose, mouth and chin."""
    rest = anatomy().rest
    x, y = np.abs(rest[:, 0]), rest[:, 1] - float(cover.y)
    top = 7.20 - 0.28 * np.clip(x / 0.6, 0, 1) ** 1.2
    inside = (y < top) & (y > 6.24) & (x < 0.60) & (rest[:, 2] > 0.78)
    return _patch(figure, inside, np.full(len(rest), 0.05, np.float32))


def _scarf(cover: Covers, figure: Body) -> Mesh:
    """Cloth around neck and chin."""
    rest = anatomy().rest
    top = 6.62 + float(cover.y) - 0.12 * np.clip(rest[:, 2] - 0.5, -1, 1)
    inside = (rest[:, 1] < top + 0.12 * (rest[:, 2] > 0.9)) & (rest[:, 1] > 5.95)
    folds = 0.15 + 0.03 * np.sin(38 * rest[:, 1] + 5 * rest[:, 0])
    return _patch(figure, inside, folds.astype(np.float32))


def _held(cover: Covers, mesh: Mesh, place: tuple[float, float, float]) -> Mesh:
    """A thing in its own coordinates, turned and put before the face."""
    points, triangles = mesh
    tilt = np.deg2rad(float(cover.tilt))
    c, s = np.cos(tilt), np.sin(tilt)
    turned = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
    at = np.asarray(place) + np.array([float(cover.x), float(cover.y), 0.0])
    return (float(cover.size) * turned + at).astype(np.float32), triangles


_FINGERS = ((-0.21, 0.62), (-0.07, 0.76), (0.07, 0.79), (0.21, 0.66))


def _hand(cover: Covers, figure: Body) -> Mesh:
    parts = [_ball(np.zeros(3), np.array([0.30, 0.36, 0.12]))]
    for x, reach in _FINGERS:
        parts.append(
            _capsule([(x, 0.15, 0.0), (1.15 * x, 0.45, 0.05), (1.25 * x, reach, -0.03)], 0.066)
        )
    parts.append(_capsule([(0.18, -0.15, 0.0), (0.36, 0.02, 0.06), (0.45, 0.22, 0.03)], 0.07))
    parts.append(_capsule([(0.0, -0.2, 0.0), (0.02, -1.0, 0.1), (0.05, -2.6, 0.25)], 0.19))
    return _held(cover, _joined(parts), (0.0, 6.9, 1.85))


def _microphone(cover: Covers, figure: Body) -> Mesh:
    parts = [
        _ball(np.zeros(3), np.full(3, 0.19)),
        _capsule([(0, -0.15, 0), (0, -1, 0.1), (0, -2.4, 0.25)], 0.085),
    ]
    return _held(cover, _joined(parts), (0.0, 6.55, 1.85))


def _board(cover: Covers, figure: Body) -> Mesh:
    x, y = np.meshgrid([-0.55, 0.55], [-0.4, 0.4])
    points = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3).astype(np.float32)
    return _held(cover, (points, np.array([[0, 1, 3], [0, 3, 2]], np.int32)), (0.0, 6.9, 1.95))


_ON_SKIN: dict[str, Callable[[Covers, Body], Mesh]] = {"mask": _mask, "scarf": _scarf}
_HELD: dict[str, Callable[[Covers, Body], Mesh]] = {
    "hand": _hand,
    "microphone": _microphone,
    "board": _board,
}


def cover_mesh(
    cover: Covers, figure: Body, pose: Callable[[Points], Points], shift: Float[np.ndarray, "3"]
) -> Cover | None:
    """The cover of one face in the scene (fields without batch axis); None where there is none.

    Args:
        cover: what it is and where.
        figure: the person.
        pose: turns points of the still head as the head is turned.
        shift: how far the middle of the face has moved from where it is without a turn.
    """
    kind = COVER_KINDS[int(cover.kind)]
    if kind == "none":
        return None
    lenses = 0
    if kind == "glasses":
        (points, triangles), lenses = _glasses(cover, figure)
        points = pose(points)
    elif kind in _ON_SKIN:
        points, triangles = _ON_SKIN[kind](cover, figure)
    else:
        points, triangles = _HELD[kind](cover, figure)
        points = points + shift.astype(np.float32)
    return Cover(kind, points, triangles, np.arange(len(triangles)) < lenses)
