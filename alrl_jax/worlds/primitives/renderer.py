"""Images of the face world: sphere tracing, light, labels and landmarks.

An image is rendered in bands, and images one after another, so that memory stays bounded
and an image is the same bit for bit whatever is rendered beside it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.errors import UserError
from alrl_jax.worlds.primitives.head import distances
from alrl_jax.worlds.primitives.labels import PARSING_LABELS
from alrl_jax.worlds.primitives.landmarks import landmark_points
from alrl_jax.worlds.primitives.sampling import Attributes, Identities
from alrl_jax.worlds.primitives.scene import AttributeScene, IdentityScene, face_scene
from alrl_jax.worlds.primitives.shading import Colour, Surface, backdrop, lit, surface, to_srgb
from alrl_jax.worlds.primitives.solids import Point, Rays

CAMERA_Z = 6.0
"""Distance of the camera from the middle of the head: a portrait lens."""

FRAME_Z = 0.48
"""Depth at which the frame reaches from -1 to 1: that of the eyes."""

SUPERSAMPLING = 2
"""Rays along each side of a pixel."""

CELL = 4
"""Rays along each side of a cell whose rays travel the empty way together."""

APPROACH_STEPS = 20
TRACE_STEPS = 11
RELAXATION = 1.2
"""Steps go this much too far; a distance is signed, so that the next step makes up for it."""

NEAR_Z = 1.0
FAR_Z = -0.8
BAND_ROWS = 64
IMAGES_PER_CALL = 16
MAX_RESOLUTION = 1024
RESOLUTION_STEP = 16


@flax.struct.dataclass
class Rendering:
    """Rendered images and their labels.

    Attributes:
        image: sRGB values scaled to [-1, 1].
        parsing: CelebAMask-HQ class of every pixel (``PARSING_LABELS``).
        pose_degrees: yaw, pitch, roll of the head.
        landmarks: x, y in pixels from the upper left corner of the image (``LANDMARKS``); the
            centre of the first pixel is (0.5, 0.5).
        visibility: whether a landmark is in the frame and nothing covers it.
    """

    image: Float[Array, "n r r 3"]
    parsing: Int[Array, "n r r"]
    pose_degrees: Float[Array, "n 3"]
    landmarks: Float[Array, "n m 2"]
    visibility: Bool[Array, "n m"]


class _Pixels(NamedTuple):
    """One band of an image."""

    image: Float[Array, "rows r 3"]
    parsing: Int[Array, "rows r"]
    depth: Float[Array, "rows r"]


def rays(u: Rays, v: Rays) -> Point:
    """Unit directions from the camera through frame coordinates."""
    reach = jax.lax.rsqrt(u * u + v * v + (CAMERA_Z - FRAME_Z) ** 2)
    return Point(u * reach, v * reach, (FRAME_Z - CAMERA_Z) * reach)


def along(ray: Point, t: Rays) -> Point:
    """Points on the rays."""
    return Point(ray.x * t, ray.y * t, CAMERA_Z + ray.z * t)


def march(
    ray: Point, start: Rays, steps: int, margin: float, person: IdentityScene, look: AttributeScene
) -> Rays:
    """Follows rays until every surface is ``margin`` away (a fixed number of steps)."""

    def step(_: Int[Array, ""], t: Rays) -> Rays:
        return t + RELAXATION * (distances(along(ray, t), person, look).scene - margin)

    return jax.lax.fori_loop(0, steps, step, start)


def _follow(u: Rays, v: Rays, start: Rays, person: IdentityScene, look: AttributeScene) -> Point:
    """Points where rays end: on the first surface, or behind everything."""
    ray = rays(u, v)
    return along(ray, march(ray, start, TRACE_STEPS, 0.0, person, look))


def _normals(
    p: Point, here: Rays, size: float, person: IdentityScene, look: AttributeScene
) -> Point:
    """Unit normals from forward differences of the distance."""

    def slope(axis: Int[Array, ""]) -> Rays:
        x, y, z = (jnp.where(axis == i, size, 0.0) for i in range(3))
        return distances(Point(p.x + x, p.y + y, p.z + z), person, look).scene - here

    n = Point(*jax.lax.map(slope, jnp.arange(3)))
    scale = jax.lax.rsqrt(n.x * n.x + n.y * n.y + n.z * n.z + 1e-12)
    return Point(n.x * scale, n.y * scale, n.z * scale)


def _darkness(
    p: Point, normal: Point, person: IdentityScene, look: AttributeScene
) -> tuple[Rays, Rays]:
    """Shares of key and fill light that arrive: nearness of other surfaces along both ways."""
    light = look.light_direction
    lift = jnp.asarray((0.03, 0.03, 0.03, 0.14), dtype=jnp.float32)
    reach = jnp.asarray((0.07, 0.17, 0.36, 0.0), dtype=jnp.float32)
    full = jnp.asarray((0.025, 0.06, 0.12, 0.14), dtype=jnp.float32)

    def tap(i: Int[Array, ""]) -> Rays:
        x, y, z = (
            a + lift[i] * b + reach[i] * light[axis]
            for axis, (a, b) in enumerate(zip(p, normal, strict=True))
        )
        return jnp.clip(distances(Point(x, y, z), person, look).scene / full[i], 0.0, 1.0)

    taps = jax.lax.map(tap, jnp.arange(4))
    return jnp.min(taps[:3], axis=0), 0.25 + 0.75 * taps[3]


def grid(
    first: Int[Array, ""] | int, lines: int, side: int
) -> tuple[Float[Array, "k s"], Float[Array, "k s"]]:
    """Frame coordinates (x right, y up) of lines of a ``side`` by ``side`` grid over the frame."""
    v = 1.0 - ((jnp.arange(lines) + first).astype(jnp.float32) + 0.5) * (2.0 / side)
    u = (jnp.arange(side).astype(jnp.float32) + 0.5) * (2.0 / side) - 1.0
    return jnp.broadcast_to(u[None, :], (lines, side)), jnp.broadcast_to(v[:, None], (lines, side))


def _approach(person: IdentityScene, look: AttributeScene, resolution: int) -> Float[Array, "s s"]:
    """How far the rays of each cell of ``CELL`` by ``CELL`` rays can go together without a hit.

    The margin is half the diagonal of a cell, so that no ray of the cone meets a surface before.
    """
    side = resolution * SUPERSAMPLING // CELL
    u, v = grid(0, side, side)
    ray = rays(u, v)
    start = (NEAR_Z - CAMERA_Z) / ray.z
    return march(ray, start, APPROACH_STEPS, 1.5 / side, person, look)


def _majority(blocks: Int[Array, "rows k r k"]) -> Int[Array, "rows r"]:
    """The commonest class among the rays of each pixel, the lowest number on a tie."""
    counts = [
        jnp.sum((blocks == c).astype(jnp.int32), axis=(1, 3)) for c in range(len(PARSING_LABELS))
    ]
    return jnp.argmax(jnp.stack(counts, axis=-1), axis=-1).astype(jnp.int32)


def _band(
    first_row: Int[Array, ""],
    approach: Float[Array, "cells s"],
    person: IdentityScene,
    look: AttributeScene,
) -> _Pixels:
    """Renders the lines of pixels of one image that lie below a band of cells.

    Every stage runs as a loop over parts of the band. The loop is there for speed: its results are
    stored, while the compiler would fuse a plain stage into each of its many consumers and compute
    it as many times.
    """
    s = SUPERSAMPLING
    rows, resolution = (count * CELL // s for count in approach.shape)
    parts = rows * s // CELL

    def stage(f: Callable[..., Any], *args: Any) -> Any:
        return jax.lax.map(lambda row: f(*row), args)

    u, v = (x.reshape(parts, -1) for x in grid(first_row * s, rows * s, resolution * s))
    start = jnp.repeat(jnp.repeat(approach, CELL, axis=0), CELL, axis=1).reshape(parts, -1)
    p = stage(lambda u, v, t: _follow(u, v, t, person, look), u, v, start)
    d = stage(lambda p: distances(p, person, look), p)
    normal = stage(lambda p, here: _normals(p, here, 0.006, person, look), p, d.scene)
    shadow, openness = stage(lambda p, n: _darkness(p, n, person, look), p, normal)
    hit = stage(lambda p, d: surface(p, d, person, look), p, d)

    def finish(
        u: Rays,
        v: Rays,
        p: Point,
        nearest: Rays,
        normal: Point,
        shadow: Rays,
        openness: Rays,
        hit: Surface,
    ) -> tuple[Rays, Rays, Rays, Int[Array, "*m"], Rays]:
        seen = ((nearest < 0.04) | (p.z > 0.0)) & (p.z > FAR_Z)
        front, back = lit(hit, normal, rays(u, v), shadow, openness, look), backdrop(u, v, look)
        rgb = to_srgb(Colour(*(jnp.where(seen, f, b) for f, b in zip(front, back, strict=True))))
        label, depth = jnp.where(seen, hit.label, 0), jnp.where(seen, p.z, -10.0)
        return rgb.red, rgb.green, rgb.blue, label, depth

    done = stage(finish, u, v, p, d.scene, normal, shadow, openness, hit)
    *rgb, label, depth = (x.reshape(rows, s, resolution, s) for x in done)
    image = jnp.stack([channel.mean(axis=(1, 3)) for channel in rgb], axis=-1)
    return _Pixels(2.0 * image - 1.0, _majority(label), depth.max(axis=(1, 3)))


def _project(points: Float[Array, "m 3"], resolution: int) -> Float[Array, "m 2"]:
    """Scene points in pixels."""
    scale = (CAMERA_Z - FRAME_Z) / (CAMERA_Z - points[:, 2])
    x = (points[:, 0] * scale + 1.0) * (0.5 * resolution)
    y = (1.0 - points[:, 1] * scale) * (0.5 * resolution)
    return jnp.stack([x, y], axis=-1)


def _visible(
    points: Float[Array, "m 3"], pixels: Float[Array, "m 2"], depth: Float[Array, "r r"]
) -> Bool[Array, " m"]:
    """Whether landmarks are in the frame with nothing nearer in their pixel."""
    resolution = depth.shape[0]
    inside = jnp.all((pixels >= 0.0) & (pixels < resolution), axis=-1)
    place = jnp.clip(jnp.floor(pixels).astype(jnp.int32), 0, resolution - 1)
    return inside & (depth[place[:, 1], place[:, 0]] < points[:, 2] + 0.12)


def _face_image(
    person: IdentityScene, look: AttributeScene, resolution: int
) -> tuple[Float[Array, "r r 3"], Int[Array, "r r"], Float[Array, "m 2"], Bool[Array, " m"]]:
    """Renders one image, band by band."""
    rows = BAND_ROWS if resolution % BAND_ROWS == 0 else RESOLUTION_STEP
    starts = jnp.arange(0, resolution, rows)
    approach = _approach(person, look, resolution)
    cells = approach.reshape(starts.shape[0], -1, approach.shape[1])
    bands = jax.lax.map(lambda band: _band(band[0], band[1], person, look), (starts, cells))
    whole = jax.tree.map(lambda x: x.reshape(resolution, resolution, *x.shape[3:]), bands)
    points = landmark_points(person, look)
    pixels = _project(points, resolution)
    return whole.image, whole.parsing, pixels, _visible(points, pixels, whole.depth)


@functools.partial(jax.jit, static_argnames=("resolution",))
def _face_images(
    person: Identities, look: Attributes, count: Int[Array, ""], resolution: int
) -> Rendering:
    """Renders the first ``count`` of ``IMAGES_PER_CALL`` faces; the others stay empty."""
    scene = face_scene(person, look)
    scenes = scene.identity, scene.attributes
    shapes = jax.eval_shape(
        lambda a, b: _face_image(a, b, resolution), *jax.tree.map(lambda x: x[0], scenes)
    )
    empty = tuple(jnp.zeros((IMAGES_PER_CALL, *s.shape), s.dtype) for s in shapes)

    def add(i: Int[Array, ""], done: tuple[Array, ...]) -> tuple[Array, ...]:
        person_i, look_i = jax.tree.map(lambda x: x[i], scenes)
        face = _face_image(person_i, look_i, resolution)
        return tuple(
            jax.lax.dynamic_update_index_in_dim(a, b, i, 0) for a, b in zip(done, face, strict=True)
        )

    image, parsing, landmarks, visibility = jax.lax.fori_loop(0, count, add, empty)
    pose = jnp.stack([look.yaw, look.pitch, look.roll], axis=-1)
    return Rendering(image, parsing, pose, landmarks, visibility)


def _check(identities: Identities, attributes: Attributes, resolution: int) -> int:
    """Number of images, if the arguments make sense."""
    if not (RESOLUTION_STEP <= resolution <= MAX_RESOLUTION) or resolution % RESOLUTION_STEP:
        raise UserError(
            f"got resolution {resolution}; expected a multiple of {RESOLUTION_STEP} from "
            f"{RESOLUTION_STEP} to {MAX_RESOLUTION}; choose one such as 64 or 256"
        )
    people, moments = identities.face_width.shape, attributes.yaw.shape
    if people != moments or len(people) != 1 or people[0] == 0:
        raise UserError(
            f"got identities of shape {people} and attributes of shape {moments}; expected "
            "the same number of both, at least one; give every person one look"
        )
    return people[0]


def render(identities: Identities, attributes: Attributes, resolution: int) -> Rendering:
    """Renders person i with look i.

    The true swap is ``render(identities of the sources, attributes of the targets)``. An image
    depends on its own person and look alone, bit for bit.

    Args:
        identities: n people.
        attributes: n looks.
        resolution: side of the images in pixels, a multiple of 16 up to 1024.

    Raises:
        UserError: for another resolution, or numbers that differ.
    """
    n = _check(identities, attributes, resolution)
    padded = -n % IMAGES_PER_CALL

    def pad(x: Array) -> Array:
        x = jnp.asarray(x, jnp.float32)  # weak types or NumPy arrays would compile again
        return jnp.concatenate([x, jnp.broadcast_to(x[:1], (padded, *x.shape[1:]))])

    padded_faces = jax.tree.map(pad, (identities, attributes))
    parts = []
    for start in range(0, n, IMAGES_PER_CALL):
        part = jax.tree.map(lambda x, start=start: x[start : start + IMAGES_PER_CALL], padded_faces)
        count = min(IMAGES_PER_CALL, n - start)
        done = _face_images(*part, jnp.asarray(count), resolution)
        parts.append(jax.tree.map(lambda x, count=count: x[:count], done))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def project_landmarks(
    identities: Identities, attributes: Attributes, resolution: int
) -> Float[Array, "n m 2"]:
    """Landmarks without rendering, in pixels; see ``Rendering``."""
    scene = face_scene(identities, attributes)
    return jax.vmap(lambda person, look: _project(landmark_points(person, look), resolution))(
        scene.identity, scene.attributes
    )
