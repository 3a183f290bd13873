"""Covers as signed-distance fields, and what they are made of.

Every shape is given about a place of its own, in its usual size; ``distances`` puts it where the
cover is, on the head or before it. The film is the lenses of glasses, which light can pass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alrl_jax.worlds.primitives.covers import COVERS, Covers
from alrl_jax.worlds.primitives.head import to_head
from alrl_jax.worlds.primitives.labels import LABEL
from alrl_jax.worlds.primitives.scene import AttributeScene
from alrl_jax.worlds.primitives.shading import Colour, Surface
from alrl_jax.worlds.primitives.solids import (
    Point,
    Rays,
    Spot,
    capsule,
    ellipsoid,
    intersection,
    length,
    mix,
    ramp,
    sphere,
    torus,
    union,
    zigzag,
)

FAR = 9.0
"""A distance at which there is nothing."""


class Parts(NamedTuple):
    """Signed distances to the parts of a cover."""

    solid: Rays
    film: Rays


class Shape(NamedTuple):
    """How a kind of cover looks.

    Attributes:
        centre: its usual place, scene units; in head coordinates where the kind is worn.
        solid: distance about that place, in the usual size.
        film: likewise, of what light can pass; None without any.
        albedo: colours about that place.
        gloss: strength and exponent of the highlight.
        bend: how fast it falls back beside its middle, as ``z -= bend * x**2`` in its coordinates.
    """

    centre: Spot
    solid: Callable[[Point], Rays]
    albedo: Callable[[Point, Colour, AttributeScene], Colour]
    film: Callable[[Point], Rays] | None = None
    gloss: tuple[float, float] = (0.08, 12.0)
    bend: float = 0.0


def _box(q: Point, x: float, y: float, z: float, corner: float) -> Rays:
    """Box with half sides x, y, z and rounded corners."""
    beyond = [jnp.abs(a) - (side - corner) for a, side in zip(q, (x, y, z), strict=True)]
    outside = length(*(jnp.maximum(b, 0.0) for b in beyond))
    inside = jnp.minimum(jnp.maximum(jnp.maximum(beyond[0], beyond[1]), beyond[2]), 0.0)
    return outside + inside - corner


def _thin(d: Rays, thickness: float) -> Rays:
    """The hull of a solid."""
    return jnp.maximum(d, -d - thickness)


def _board(q: Point) -> Rays:
    return _box(q, 0.44, 0.31, 0.012, 0.01)


_FINGERS = ((-0.19, 0.58), (-0.065, 0.72), (0.065, 0.75), (0.19, 0.62))
"""Place across the palm and reach of the four fingers."""


def _hand(q: Point) -> Rays:
    d = ellipsoid(q, Spot(0.0, 0.0, 0.0), Spot(0.27, 0.31, 0.09))
    for x, reach in _FINGERS:
        finger = capsule(q, Spot(x, 0.18, 0.02), Spot(1.25 * x, reach, -0.02), 0.062)
        d = union(d, finger, 0.03)
    d = union(d, capsule(q, Spot(0.16, -0.14, 0.0), Spot(0.42, 0.16, 0.0), 0.07), 0.06)
    return union(d, capsule(q, Spot(0.0, -0.25, 0.0), Spot(0.0, -2.4, 0.0), 0.16), 0.12)


def _mask(q: Point) -> Rays:
    hull = _thin(ellipsoid(q, Spot(0.0, 0.0, 0.0), Spot(0.55, 0.54, 0.78)), 0.03)
    top = 0.32 - 0.9 * q.x * q.x + 0.05 * ramp(jnp.abs(q.x), 0.12, 0.0)
    d = intersection(hull, q.y - top, 0.015)
    d = intersection(d, -0.05 - q.z, 0.02)
    beside = Point(jnp.abs(q.x), q.y, q.z)
    loop = capsule(beside, Spot(0.50, 0.08, 0.05), Spot(0.62, 0.50, -0.18), 0.011)
    return jnp.minimum(d, loop)


def _scarf(q: Point) -> Rays:
    fold = 0.022 * jnp.sin(19.0 * q.y + 5.0 * q.x) + 0.012 * jnp.sin(9.0 * q.x - 13.0 * q.y)
    wide = 1.0 - 0.18 * q.y
    across = length(q.x * (1.0 / 0.60) / wide, 0.0 * q.x, q.z * (1.0 / 0.74) / wide)
    hull = _thin(0.6 * (across - 1.0) - fold, 0.09)
    d = intersection(hull, q.y - 0.46 - 0.03 * jnp.sin(6.0 * q.x), 0.05)
    return 0.7 * intersection(d, -0.50 - q.y, 0.05)


def _lens(q: Point) -> Rays:
    """Distance within the plane of the glasses to the edge of a lens."""
    return _box(Point(jnp.abs(q.x) - 0.25, q.y, 0.0 * q.z), 0.175, 0.135, 1.0, 0.085)


def _glasses(q: Point) -> Rays:
    edge, beside = _lens(q), Point(jnp.abs(q.x), q.y, q.z)
    d = length(edge, q.z, 0.0 * q.z) - 0.024
    bridge = capsule(beside, Spot(0.0, 0.05, 0.03), Spot(0.09, 0.04, 0.0), 0.022)
    temple = capsule(beside, Spot(0.43, 0.06, -0.02), Spot(0.62, 0.05, -0.45), 0.020)
    return jnp.minimum(union(d, bridge, 0.02), temple)


def _lenses(q: Point) -> Rays:
    return jnp.maximum(_lens(q), jnp.abs(q.z) - 0.006)


def _lock(q: Point) -> Rays:
    d = jnp.full_like(q.x, FAR)
    for number in range(4):
        x, low = 0.075 * number, 0.05 * number
        bend = Spot(0.02 + x, 0.36, 0.585)
        upper = capsule(q, Spot(-0.16 + x, 0.68, 0.40), bend, 0.058)
        lower = capsule(q, bend, Spot(0.10 + 0.8 * x, 0.0 + low, 0.60), 0.042)
        d = union(d, union(upper, lower, 0.04), 0.03)
    return d + 0.006 * zigzag(9.0 * q.x + 2.0 * q.y)


def _microphone(q: Point) -> Rays:
    ball = sphere(q, Spot(0.0, 0.0, 0.0), 0.135)
    ring = torus(q, Spot(0.0, -0.02, 0.0), 0.135, 0.016)
    neck = capsule(q, Spot(0.0, -0.13, 0.0), Spot(0.0, -0.22, 0.0), 0.075)
    stick = capsule(q, Spot(0.0, -0.2, 0.0), Spot(0.0, -2.4, 0.0), 0.058)
    return union(jnp.minimum(ball, ring), union(neck, stick, 0.03), 0.01)


def _shade(colour: Colour, by: Rays) -> Colour:
    return Colour(*(channel * by for channel in colour))


def _toward(a: Colour, b: tuple[float, float, float], share: Rays) -> Colour:
    return Colour(*(x + (y - x) * share for x, y in zip(a, b, strict=True)))


def _board_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """A sheet with lines of writing."""
    lines = ramp(jnp.abs(zigzag(6.5 * q.y)), 0.45, 0.25) * ramp(jnp.abs(q.x), 0.36, 0.34)
    words = ramp(jnp.sin(31.0 * q.x + 40.0 * jnp.round(6.5 * q.y)), -0.9, -0.6)
    inside = ramp(jnp.abs(q.y), 0.245, 0.235)
    return _toward(colour, (0.02, 0.02, 0.03), 0.8 * lines * words * inside)


def _hand_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """The skin's colour, with nails and knuckles."""
    skin = Colour(look.skin[0] + 0.0 * q.x, look.skin[1] + 0.0 * q.x, look.skin[2] + 0.0 * q.x)
    for x, reach in _FINGERS:
        across = (q.x - 1.23 * x) * (1.0 / 0.040)
        nail = across**2 + ((q.y - reach - 0.005) * (1.0 / 0.046)) ** 2
        skin = _toward(skin, (0.85, 0.55, 0.52), 0.5 * ramp(nail, 1.1, 0.8))
        crease = ramp(jnp.abs(q.y - 0.64 * reach), 0.014, 0.0) * ramp(jnp.abs(across), 1.3, 1.0)
        skin = _shade(skin, 1.0 - 0.25 * crease)
    return skin


def _mask_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """Cloth with pleats; pale, whatever its colour."""
    pleat = ramp(jnp.abs(zigzag(6.0 * q.y)), 0.25, 0.0) * ramp(jnp.abs(q.x), 0.44, 0.38)
    return _shade(_toward(colour, (0.75, 0.80, 0.85), 0.0 * q.x + 0.55), 1.0 - 0.35 * pleat)


def _scarf_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """Knitted stripes."""
    stripe = ramp(jnp.sin(13.0 * q.y + 2.0 * q.x), -0.15, 0.15)
    knit = 0.9 + 0.1 * zigzag(24.0 * q.x + 12.0 * zigzag(12.0 * q.y) * 0.08)
    return _shade(_toward(colour, (0.75, 0.72, 0.66), 0.75 * stripe), knit)


def _glasses_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """A dark frame, and lenses that are darker still."""
    on_lens = (_lenses(q) < _glasses(q)).astype(jnp.float32)
    return _toward(_shade(colour, 0.0 * q.x + 0.35), (0.015, 0.015, 0.02), on_lens)


def _lock_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """The hair's colour, in strands along the lock."""
    strand = zigzag(17.0 * q.x + 6.0 * q.y) + 0.6 * zigzag(41.0 * q.x + 15.0 * q.y)
    shade = 0.95 + 0.16 * strand
    return Colour(look.hair[0] * shade, look.hair[1] * shade, look.hair[2] * shade)


def _microphone_albedo(q: Point, colour: Colour, look: AttributeScene) -> Colour:
    """A ball of mesh on a stick that has the colour."""
    mesh = 0.5 + 0.25 * (zigzag(17.0 * (q.x + q.y)) + zigzag(17.0 * (q.x - q.y)))
    grey = Colour(0.28 * mesh, 0.28 * mesh, 0.30 * mesh)
    on_stick = ramp(q.y, -0.125, -0.135)
    return Colour(*(mix(g, 0.3 * c, on_stick) for g, c in zip(grey, colour, strict=True)))


SHAPES = {
    "board": Shape(Spot(0.0, 0.0, 0.93), _board, _board_albedo),
    "hand": Shape(Spot(0.0, 0.0, 0.80), _hand, _hand_albedo, gloss=(0.10, 12.0), bend=0.55),
    "mask": Shape(Spot(0.0, -0.46, 0.07), _mask, _mask_albedo, gloss=(0.02, 8.0)),
    "scarf": Shape(Spot(0.0, -0.78, -0.02), _scarf, _scarf_albedo, gloss=(0.02, 8.0)),
    "glasses": Shape(
        Spot(0.0, 0.05, 0.63), _glasses, _glasses_albedo, _lenses, gloss=(0.7, 50.0), bend=0.30
    ),
    "lock": Shape(Spot(0.0, 0.0, 0.0), _lock, _lock_albedo, gloss=(0.16, 10.0)),
    "microphone": Shape(Spot(0.0, 0.0, 0.80), _microphone, _microphone_albedo, gloss=(0.35, 25.0)),
}
"""How the kinds of ``COVERS`` look, but for "none", which is nothing."""


def _local(name: str, p: Point, cover: Covers, look: AttributeScene) -> Point:
    """Scene points in the coordinates of a shape."""
    shape = SHAPES[name]
    q = to_head(p, look.rotation) if COVERS[name].on_head else p
    x, y = q.x - shape.centre.x - cover.x, q.y - shape.centre.y - cover.y
    over, angle = 1.0 / cover.size, jnp.deg2rad(cover.tilt)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    side = jnp.minimum(jnp.abs(q.x), 0.6)
    z = q.z - shape.centre.z + shape.bend * side * side
    return Point((cosine * x + sine * y) * over, (cosine * y - sine * x) * over, z * over)


def distances(p: Point, cover: Covers, look: AttributeScene) -> Parts:
    """Signed distances of scene points to the cover of one image (fields without batch axis)."""

    def of_kind(name: str) -> Callable[[Point], Parts]:
        def measure(p: Point) -> Parts:
            nothing = jnp.full_like(p.x, FAR)
            if name not in SHAPES:
                return Parts(nothing, nothing)
            shape, q = SHAPES[name], _local(name, p, cover, look)
            scale = cover.size * (0.8 if shape.bend else 1.0)
            film = nothing if shape.film is None else scale * shape.film(q)
            return Parts(scale * shape.solid(q), film)

        return measure

    return jax.lax.switch(cover.kind, [of_kind(name) for name in COVERS], p)


def surface(p: Point, cover: Covers, look: AttributeScene) -> Surface:
    """Material of scene points on the cover of one image."""
    linear = cover.colour**2.2

    def of_kind(name: str) -> Callable[[Point], Surface]:
        def paint(p: Point) -> Surface:
            one = jnp.ones_like(p.x)
            label = jnp.full(p.x.shape, LABEL[COVERS[name].label], jnp.int32)
            colour = Colour(linear[0] * one, linear[1] * one, linear[2] * one)
            if name not in SHAPES:
                return Surface(label, colour, 0.0 * one, one)
            shape = SHAPES[name]
            painted = shape.albedo(_local(name, p, cover, look), colour, look)
            colour = Colour(*(channel * one for channel in painted))
            gloss, sharpness = shape.gloss
            return Surface(label, colour, gloss * one, sharpness * one)

        return paint

    return jax.lax.switch(cover.kind, [of_kind(name) for name in COVERS], p)


def on_head(kind: Int[Array, ""]) -> Float[Array, ""]:
    """1 where a kind is worn, 0 where it is held before the face."""
    return jnp.asarray([float(of.on_head) for of in COVERS.values()])[kind]
