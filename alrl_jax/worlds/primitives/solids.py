"""Signed distances of simple solids, and smooth ways to join them.

A point is a triple of arrays, one a coordinate, so that a whole strip of rays is evaluated
elementwise. Distances are lower bounds or near to it, as sphere tracing needs. The formulas are
folklore of distance-field modelling (Hart, "Sphere tracing", 1996, and its followers).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""] | float
Rays = Float[Array, "*#m"]
"""Values along rays; a single value stands for the same on all of them."""


class Point(NamedTuple):
    """Coordinates: x to the viewer's right, y up, z to the camera."""

    x: Rays
    y: Rays
    z: Rays


class Spot(NamedTuple):
    """A place in the scene, one an image."""

    x: Scalar
    y: Scalar
    z: Scalar


def length(x: Rays, y: Rays, z: Rays) -> Rays:
    """Euclidean length; never exactly 0, so that it can be divided by."""
    return jnp.sqrt(x * x + y * y + z * z + 1e-9)


def sphere(p: Point, centre: Spot, radius: Scalar) -> Rays:
    """Ball."""
    return length(p.x - centre.x, p.y - centre.y, p.z - centre.z) - radius


def ellipsoid(p: Point, centre: Spot, radii: Spot) -> Rays:
    """Ellipsoid: the scaled distance over the length of its gradient (first order)."""
    over = Spot(1.0 / radii.x, 1.0 / radii.y, 1.0 / radii.z)
    x, y, z = (p.x - centre.x) * over.x, (p.y - centre.y) * over.y, (p.z - centre.z) * over.z
    scaled = length(x, y, z)
    slope = length(x * over.x, y * over.y, z * over.z)
    return scaled * (scaled - 1.0) / slope


def capsule(p: Point, start: Spot, end: Spot, radius: Scalar) -> Rays:
    """Segment from ``start`` to ``end``, thickened."""
    axis = Spot(end.x - start.x, end.y - start.y, end.z - start.z)
    square = axis.x * axis.x + axis.y * axis.y + axis.z * axis.z
    x, y, z = p.x - start.x, p.y - start.y, p.z - start.z
    along = jnp.clip((x * axis.x + y * axis.y + z * axis.z) * (1.0 / square), 0.0, 1.0)
    return length(x - along * axis.x, y - along * axis.y, z - along * axis.z) - radius


def torus(p: Point, centre: Spot, ring: Scalar, radius: Scalar) -> Rays:
    """Ring that lies flat (axis y)."""
    x, y, z = p.x - centre.x, p.y - centre.y, p.z - centre.z
    return length(length(x, 0.0 * y, z) - ring, y, 0.0 * z) - radius


def union(a: Rays, b: Rays, blend: float) -> Rays:
    """Union with a fillet of size ``blend``."""
    near = jnp.maximum(blend - jnp.abs(a - b), 0.0)
    return jnp.minimum(a, b) - near * near * (0.25 / blend)


def intersection(a: Rays, b: Rays, blend: float) -> Rays:
    """Intersection with a rounded edge of size ``blend``."""
    return -union(-a, -b, blend)


def carve(a: Rays, b: Rays, blend: float) -> Rays:
    """``a`` without ``b``, with a rounded edge of size ``blend``."""
    return -union(-a, b, blend)


def zigzag(values: Rays) -> Rays:
    """Triangle wave of period 1 between -1 and 1: much cheaper than a sine."""
    return 4.0 * jnp.abs(values - jnp.round(values)) - 1.0


def ramp(values: Rays, start: Rays | float, end: Rays | float) -> Rays:
    """Smooth step from 0 at ``start`` to 1 at ``end``."""
    share = jnp.clip((values - start) / (end - start), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def mix(a: Rays, b: Rays, share: Rays) -> Rays:
    """``a`` where the share is 0, ``b`` where it is 1."""
    return a + (b - a) * share
