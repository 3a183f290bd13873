"""Hair and beards: ribbons that grow from the skin, each a bundle of hairs.

They grow on the person's head without pose, step by step, away from the skin and as their style
combs them, and are turned with the head afterwards.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans.anatomy import (
    CENTRE,
    SKULL_COLUMNS,
    SKULL_ROWS,
    Anchors,
    Points,
    anatomy,
    root_anchors,
    skull_anchors,
)
from alrl_jax.worlds.humans.sampling import HAIR_STYLES, Attributes, Identities
from alrl_jax.worlds.humans.textures import length as length_of

ROOTS = 12000
"""Places on head and neck where hair may grow; a style leaves most of them bare."""

STEPS = 9
"""Segments of a ribbon."""

Rows = Float[np.ndarray, "_"]


class Style(NamedTuple):
    """How hair is cut and combed.

    Attributes:
        length: least and greatest length on top, in decimetres.
        side: likewise at the sides and the back, times the length on top.
        lift: how steeply it leaves the skin.
        back: how much it is combed backwards; forwards below 0.
        across: how much it is combed away from the parting.
        weight: how soon it hangs down.
        curl: radius of curls in decimetres.
        turns: curls a decimetre.
        volume: greatest distance from the skin, in decimetres.
        fringe: whether it may hang into the forehead.
    """

    length: tuple[float, float]
    side: float
    lift: float
    back: float
    across: float
    weight: float
    curl: float = 0.0
    turns: float = 0.0
    volume: float = 0.12
    fringe: bool = False


STYLES: dict[str, Style] = {
    "bald": Style((0.0, 0.0), 1.0, 0.5, 0.0, 0.0, 0.0),
    "buzz": Style((0.0, 0.0), 1.0, 0.5, 0.0, 0.0, 0.0),
    "crop": Style((0.30, 0.5), 0.6, 0.5, -0.6, 0.3, 0.3, 0.008, 2.0, 0.10),
    "side_part": Style((0.7, 1.1), 0.5, 0.35, 0.25, 1.0, 0.5, 0.008, 1.0, 0.15),
    "swept_back": Style((0.8, 1.3), 0.6, 0.5, 1.2, 0.1, 0.1, 0.008, 1.0, 0.16),
    "curls": Style((0.7, 1.2), 0.8, 0.6, 0.2, 0.4, 0.5, 0.05, 3.0, 0.22),
    "afro": Style((0.6, 1.0), 0.9, 1.6, 0.0, 0.0, 0.0, 0.05, 4.0, 0.6),
    "fringe": Style((0.75, 1.0), 0.8, 0.4, -0.9, 0.15, 0.5, 0.0, 0.0, 0.14, True),
    "bob": Style((1.7, 2.2), 0.85, 0.4, 0.1, 0.9, 0.9, 0.01, 1.0, 0.20),
    "long": Style((2.8, 4.0), 0.9, 0.35, 0.15, 0.9, 1.0, 0.01, 0.7, 0.18),
    "waves": Style((2.2, 3.6), 0.9, 0.5, 0.15, 0.9, 0.9, 0.06, 1.2, 0.30),
    "tied_back": Style((1.0, 1.3), 0.9, 0.15, 1.4, 0.0, 0.1, 0.0, 0.0, 0.05),
}
"""Styles by the names of ``HAIR_STYLES``."""

assert tuple(STYLES) == HAIR_STYLES

_LINE_DEGREES = (0, 22, 40, 50, 58, 66, 72, 84, 94, 112, 140, 180)
_LINE_HEIGHTS = (7.98, 7.97, 7.92, 7.82, 7.62, 7.4, 7.2, 7.16, 7.42, 7.12, 6.86, 6.78)
"""Height of the hairline of the average person by the angle from the front."""


class Strands(NamedTuple):
    """Ribbons as a mesh.

    Attributes:
        points: [n, k, 3], middle lines.
        vertices: [n * k * 2, 3], both edges of every point.
        triangles: their triangles.
        depth: how deep a strand lies under the others: 0 at the skin, 1 at the surface.
        random: a number of its own for every strand, 0 to 1.
        beard: whether a strand belongs to the beard.
    """

    points: Float[np.ndarray, "n k 3"]
    vertices: Points
    triangles: Int[np.ndarray, "t 3"]
    depth: Rows
    random: Rows
    beard: np.ndarray


class Skull:
    """A person's head as distances from its middle, by direction."""

    def __init__(self, still: Points) -> None:
        """Measures the person's head."""
        points = skull_anchors().points(still)
        radius = np.linalg.norm(points - CENTRE, axis=1)
        grid = radius.reshape(SKULL_ROWS, SKULL_COLUMNS)
        self._grid = np.concatenate([grid, grid[:, :1]], axis=1)

    def radius(self, offset: Float[np.ndarray, "n 3"]) -> Rows:
        """Distance of the skin in the direction of offsets from the middle."""
        flat = np.hypot(offset[:, 0], offset[:, 2])
        row = (np.arctan2(flat, offset[:, 1]) / np.pi - 0.02) * ((SKULL_ROWS - 1) / 0.96)
        row = np.clip(row, 0.0, SKULL_ROWS - 1.001)
        column = np.arctan2(offset[:, 0], offset[:, 2]) * (SKULL_COLUMNS / (2 * np.pi))
        column = np.minimum(column % SKULL_COLUMNS, SKULL_COLUMNS - 1e-3)
        i, j = row.astype(int), column.astype(int)
        f, g = row - i, column - j
        upper = self._grid[i, j] * (1 - g) + self._grid[i, j + 1] * g
        lower = self._grid[i + 1, j] * (1 - g) + self._grid[i + 1, j + 1] * g
        return (upper * (1 - f) + lower * f).astype(np.float32)

    def least(self) -> float:
        """Radius of the greatest ball about the middle that lies within the head."""
        return float(self._grid.min())


def front_angle(rest: Points) -> Rows:
    """Angle from the front around the middle of the skull, in degrees, 0 to 180."""
    offset = rest - CENTRE
    return np.rad2deg(np.arctan2(np.abs(offset[:, 0]), offset[:, 2]))


def scalp(rest: Points, person: Identities) -> Rows:
    """How far places of the average person lie above the hairline, in decimetres."""
    angle = front_angle(rest)
    line = np.interp(angle, _LINE_DEGREES, _LINE_HEIGHTS)
    front = np.clip(1.0 - angle / 60.0, 0.0, 1.0)
    temple = np.clip(1.0 - np.abs(angle - 42.0) / 18.0, 0.0, 1.0)
    bald = float(person.sex) * float(person.hairline_temples)
    line = line + 0.10 * float(person.hairline) * front + 0.32 * bald * temple
    return (rest[:, 1] - line).astype(np.float32)


def beard_region(rest: Points) -> Rows:
    """Where a beard grows on the average person: 0 nowhere, 1 fully."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    top = np.interp(
        x, (0.0, 0.1, 0.2, 0.27, 0.4, 0.55, 0.66), (6.9, 6.9, 6.86, 6.75, 6.82, 7.0, 7.16)
    )
    below = np.clip((top - y) / 0.10, 0.0, 1.0)
    above = np.clip((y - 6.12) / 0.15, 0.0, 1.0) * np.clip((z - 0.50) / 0.12, 0.0, 1.0)
    # Bare: the lips, and beside the tuft below the lower lip.
    lips = np.hypot(x / 0.29, (y - 6.675) / 0.125)
    side = np.clip(np.abs(x - 0.13) / 0.05, 0.35, 1.0)
    bare = np.where((y < 6.60) & (y > 6.5) & (x < 0.2), side, 1.0)
    return (below * above * np.clip((lips - 0.92) / 0.12, 0.0, 1.0) * bare).astype(np.float32)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(length_of(v)[..., None], 1e-9)


def _grow(
    start: Points, length: Rows, style: Style, part: float, skull: Skull, random: np.ndarray
) -> Float[np.ndarray, "n k 3"]:
    """Middle lines of ribbons.

    Args:
        start: roots.
        length: of every ribbon.
        style: how they are combed.
        part: x of the parting.
        skull: what they must not enter.
        random: numbers of every strand, 0 to 1, ``[n, 6]``.
    """
    n = len(start)
    step = (length / STEPS)[:, None]
    out = _unit(start - CENTRE)
    side = np.where(start[:, 0] + 0.05 * (random[:, 2] - 0.5) > part, 1.0, -1.0)
    aim = np.zeros((n, 3), np.float32)
    # Where the head is steep, hair combed across falls down instead.
    aim[:, 0] = style.across * side * np.clip(out[:, 1] + 0.2, 0.0, 1.0)
    aim[:, 1] = -style.across * np.clip(1.0 - out[:, 1], 0.0, 1.0)
    aim[:, 2] = -style.back
    aim += 0.35 * (random[:, 3:6] - 0.5) * (1.0 + style.lift)
    aim -= out * np.sum(aim * out, axis=1, keepdims=True)
    direction = _unit(style.lift * out + aim + 1e-3)
    clearance = 0.012 + style.volume * (0.15 + 0.85 * random[:, 0])
    points = [start]
    down = np.array([0.0, -1.0, 0.0], np.float32)
    face = np.deg2rad(58.0 + 6.0 * random[:, 1])
    for number in range(STEPS):
        share = (number + 1) / STEPS
        p = points[-1] + direction * step
        offset = p - CENTRE
        if not style.fringe:
            offset = _beside_face(offset, face, side)
        distance = np.linalg.norm(offset, axis=1)
        # Strands rise to their own height over the skin, and no further unless they stand up.
        height = clearance * min(1.0, 3.0 * share)
        least = skull.radius(offset) + np.where(offset[:, 1] > -1.15, height, -1.0)
        # Above the ears it lies on the head: no higher than its own height over the skin.
        most = np.where(offset[:, 1] > -0.25, least + 0.02, 9.0)
        offset = offset * (np.clip(distance, least, most) / distance)[:, None]
        p = CENTRE + offset
        moved = _unit(p - points[-1])
        points.append(points[-1] + moved * step)
        pull = style.weight * (0.25 + 0.75 * share)
        direction = _unit(0.6 * direction + 0.4 * moved + 0.5 * pull * down)
    lines = np.stack(points, axis=1).astype(np.float32)
    return _curled(lines, length, style, random)


def _beside_face(offset: np.ndarray, face: Rows, side: Rows) -> np.ndarray:
    """Moves points in front of the face, below the hairline, to the side of it."""
    angle = np.arctan2(offset[:, 0], offset[:, 2])
    flat = np.hypot(offset[:, 0], offset[:, 2])
    low = np.clip((0.50 - offset[:, 1]) / 0.2, 0.0, 1.0)
    hidden = (np.abs(angle) < face) & (low > 0.0)
    to = np.where(np.abs(angle) > 0.15, np.sign(angle), side) * face
    turned = angle + np.where(hidden, low, 0.0) * (to - angle)
    return np.stack([flat * np.sin(turned), offset[:, 1], flat * np.cos(turned)], axis=1)


def _curled(lines: np.ndarray, length: Rows, style: Style, random: np.ndarray) -> np.ndarray:
    """Adds curls and a little disorder."""
    along = np.linspace(0.0, 1.0, STEPS + 1)[None, :]
    phase = 2 * np.pi * (style.turns * length[:, None] * along + random[:, 4:5])
    grown = np.minimum(1.0, 2.5 * along)
    out = _unit(lines - CENTRE)
    tangent = _unit(np.gradient(lines, axis=1))
    across = _unit(np.cross(out, tangent))
    radius = style.curl + 0.012
    wave = radius * grown * np.sin(phase)
    rise = radius * grown * np.cos(phase)
    return (lines + wave[..., None] * across + 0.5 * rise[..., None] * out).astype(np.float32)


def _ribbons(lines: np.ndarray, width: Rows) -> tuple[Points, Int[np.ndarray, "t 3"]]:
    """Flat strips along lines that lie on the head, thinner to their ends."""
    n, k = lines.shape[:2]
    tangent = _unit(np.gradient(lines, axis=1))
    across = _unit(np.cross(tangent, _unit(lines - CENTRE)))
    along = np.linspace(0.0, 1.0, k)
    taper = np.minimum(1.0, 2.6 * (1.0 - along) + 0.25) * np.minimum(1.0, 0.2 + 2.5 * along)
    half = 0.5 * width[:, None, None] * taper[None, :, None] * across
    vertices = np.stack([lines - half, lines + half], axis=2).reshape(-1, 3)
    strip = np.arange(k - 1)
    first = (np.arange(n)[:, None] * k + strip).reshape(-1) * 2
    quad = np.stack([first, first + 1, first + 3, first + 2], axis=1)
    triangles = np.stack([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return vertices.astype(np.float32), triangles.astype(np.int32)


def _hair(
    person: Identities, look: Attributes, still: Points, random: np.ndarray
) -> tuple[np.ndarray, Rows, Rows]:
    """Lines, widths and depths of the hair on the head."""
    style = STYLES[HAIR_STYLES[int(look.hair_style)]]
    rest = _rest_of_roots()
    above = scalp(rest, person)
    kept = (above > 0.05 * (random[:, 5] - 0.3)) & (_mask_at_roots("ears") < 0.5)
    if style.length[1] == 0.0:
        kept[:] = False
    start, random, rest = _roots(still, kept), random[kept], rest[kept]
    low, high = style.length
    top = np.clip((rest[:, 1] - 7.55) / 0.45, 0.0, 1.0)
    length = (low + (high - low) * float(look.hair_length)) * (style.side + (1 - style.side) * top)
    length = length * (0.75 + 0.35 * random[:, 1])
    length = length * np.clip(0.35 + 4.0 * above[kept], 0.4, 1.0)
    style = style._replace(volume=style.volume * (0.6 + 0.8 * float(look.hair_volume)))
    lines = _grow(
        start,
        length.astype(np.float32),
        style,
        0.35 * float(look.hair_parting),
        Skull(still),
        random,
    )
    width = 0.036 * (0.7 + 0.6 * random[:, 2])
    return lines, width.astype(np.float32), random[:, 0]


_BEARD = Style((0.0, 0.0), 1.0, 0.55, -0.1, 0.0, 0.8, 0.012, 3.0, 0.10, True)


def _beard(look: Attributes, still: Points, random: np.ndarray) -> tuple[np.ndarray, Rows, Rows]:
    """Lines, widths and depths of the beard."""
    strength = max(0.0, float(look.beard_growth) - 0.5) / 0.5
    rest = _rest_of_roots()
    kept = (_beard_at_roots() > 0.25 + 0.75 * random[:, 5]) & (strength > 0.0)
    start, random, rest = _roots(still, kept), random[kept], rest[kept]
    chin = np.clip((6.75 - rest[:, 1]) / 0.4, 0.0, 1.0) * np.clip(
        (rest[:, 2] - 0.7) / 0.4, 0.0, 1.0
    )
    length = (0.09 + 0.42 * strength**2 * (0.3 + 0.7 * chin)) * (0.7 + 0.6 * random[:, 1])
    lines = _grow_beard(start, length.astype(np.float32), random)
    width = 0.018 * (0.6 + 0.6 * random[:, 2])
    return lines, width.astype(np.float32), random[:, 0]


def _grow_beard(start: Points, length: Rows, random: np.ndarray) -> Float[np.ndarray, "n k 3"]:
    """Hairs that leave the skin slantwise and hang down."""
    out = _unit(start - np.array([0.0, 6.9, 0.75], np.float32))
    direction = _unit(0.28 * out + np.array([0.0, -0.8, 0.0]) + 0.4 * (random[:, 3:6] - 0.5))
    points = [start]
    for _ in range(STEPS):
        points.append(points[-1] + direction * (length / STEPS)[:, None])
        bend = 0.2 * (0.4 * out + np.array([0.0, -0.8, 0.0]))
        direction = _unit(direction + bend)
    return np.stack(points, axis=1).astype(np.float32)


@functools.cache
def _random() -> np.ndarray:
    """Numbers of all roots, 0 to 1, ``[n, 6]``."""
    return np.random.default_rng(7).uniform(size=(ROOTS, 6)).astype(np.float32)


@functools.cache
def _rest_of_roots() -> Points:
    """Where the roots are on the average person."""
    return root_anchors(ROOTS).points(anatomy().rest)


@functools.cache
def _beard_at_roots() -> Rows:
    return beard_region(_rest_of_roots())


def _roots(still: Points, kept: np.ndarray) -> Points:
    """Where some of the roots are on a person."""
    anchors = root_anchors(ROOTS)
    return Anchors(anchors.triangle[kept], anchors.shares[kept]).points(still)


@functools.cache
def _mask_at_roots(name: str) -> Rows:
    """A mask of the texture plane at the roots."""
    whole, anchors = anatomy(), root_anchors(ROOTS)
    places = np.einsum("nij,ni->nj", whole.places[anchors.triangle], anchors.shares)
    side = whole.masks[name].shape[0]
    column = np.clip((places[:, 0] * side).astype(int), 0, side - 1)
    row = np.clip(((1 - places[:, 1]) * side).astype(int), 0, side - 1)
    return whole.masks[name][row, column]


def strands(person: Identities, look: Attributes, still: Points) -> Strands:
    """Hair and beard of one person with one look (fields without batch axis), without pose.

    Args:
        person: whose hairline it is.
        look: style, length and so on.
        still: fine vertices of the person without pose and expression.
    """
    random = _random()
    parts = [_hair(person, look, still, random), _beard(look, still, random)]
    lines, width, depth = (np.concatenate(x) for x in zip(*parts, strict=True))
    beard = np.repeat([False, True], [len(part[0]) for part in parts])
    vertices, triangles = _ribbons(lines, width)
    number = np.arange(len(lines), dtype=np.float32)
    return Strands(lines, vertices, triangles, depth, (number * 0.6180339) % 1.0, beard)


def taken_strands(hair: Strands, kept: np.ndarray) -> Strands:
    """Some of the strands.

    Args:
        hair: all of them.
        kept: which, ``[n]``.
    """
    vertices = hair.vertices.reshape(-1, 2 * (STEPS + 1), 3)[kept].reshape(-1, 3)
    triangles = hair.triangles[: int(kept.sum()) * 2 * STEPS]  # alike for every strand
    rows = (x[kept] for x in (hair.depth, hair.random, hair.beard))
    return Strands(hair.points[kept], vertices, triangles, *rows)
