"""Images of covered faces: the face as it is, and its cover laid over it.

A face is rendered first, by a program that knows of no cover, so that an image without one, and
what lies beside a cover and its shadow, is the same bit for bit.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.errors import UserError
from alrl_jax.worlds.primitives import cover_shapes, renderer
from alrl_jax.worlds.primitives.covers import Covers
from alrl_jax.worlds.primitives.renderer import (
    CAMERA_Z,
    IMAGES_PER_CALL,
    RESOLUTION_STEP,
    SUPERSAMPLING,
    Rendering,
    along,
    grid,
    march,
    rays,
)
from alrl_jax.worlds.primitives.sampling import Attributes, Identities
from alrl_jax.worlds.primitives.scene import AttributeScene, IdentityScene, face_scene
from alrl_jax.worlds.primitives.shading import lit, to_srgb
from alrl_jax.worlds.primitives.solids import Point, Rays, ramp

START_Z = 1.15
"""Where rays to covers start: in front of all of them."""

STEPS = 28
"""Steps of a ray to a cover, and of one to the face behind it."""

WORN_DEPTH = 0.10
"""How far a face may stand out through what it wears, scene units: covers fit every face."""

HELD_DEPTH = 9.0
"""Likewise of what is held before the face: it is in front of everything."""

SHADOW = 0.42
"""Share of the brightness that a face loses in the shadow of its cover."""


class _Layer(NamedTuple):
    """What a cover does to lines of an image."""

    colour: Float[Array, "rows r 3"]
    share: Float[Array, "rows r"]
    light: Float[Array, "rows r"]
    label: Int[Array, ""]


def _approach(ray: Point, cover: Covers, look: AttributeScene) -> tuple[Point, Rays]:
    """The point of every ray that comes nearest to a cover, and its distance."""

    def step(_: Int[Array, ""], state: tuple[Rays, Rays, Rays]) -> tuple[Rays, Rays, Rays]:
        t, best, place = state
        parts = cover_shapes.distances(along(ray, t), cover, look)
        near = jnp.minimum(parts.solid, parts.film)
        closer = near < best
        # Once within, a ray stays where it is: what lies behind is hidden.
        return t + 0.9 * near, jnp.where(closer, near, best), jnp.where(closer, t, place)

    start = (START_Z - CAMERA_Z) / ray.z
    far = jnp.full_like(start, cover_shapes.FAR)
    _, best, place = jax.lax.fori_loop(0, STEPS, step, (start, far, start))
    return along(ray, place), best


def _normals(p: Point, cover: Covers, look: AttributeScene) -> Point:
    """Unit normals of a cover, from differences of the distance."""

    def near(q: Point) -> Rays:
        parts = cover_shapes.distances(q, cover, look)
        return jnp.minimum(parts.solid, parts.film)

    def slope(axis: Int[Array, ""]) -> Rays:
        x, y, z = (jnp.where(axis == i, 0.006, 0.0) for i in range(3))
        return near(Point(p.x + x, p.y + y, p.z + z)) - near(Point(p.x - x, p.y - y, p.z - z))

    n = Point(*jax.lax.map(slope, jnp.arange(3)))
    scale = jax.lax.rsqrt(n.x * n.x + n.y * n.y + n.z * n.z + 1e-12)
    return Point(n.x * scale, n.y * scale, n.z * scale)


def _light(p: Point, cover: Covers, look: AttributeScene) -> Rays:
    """Share of the brightness that a cover leaves to points of the face."""

    def tap(reach: Rays) -> Rays:
        q = Point(*(a + reach * look.light_direction[axis] for axis, a in enumerate(p)))
        return jnp.clip(cover_shapes.distances(q, cover, look).solid / (0.35 * reach), 0.0, 1.0)

    taps = jax.lax.map(tap, jnp.asarray((0.06, 0.14, 0.28, 0.48), jnp.float32))
    return 1.0 - SHADOW * (1.0 - jnp.min(taps, axis=0))


def _layer(
    first_row: Int[Array, ""],
    rows: int,
    resolution: int,
    person: IdentityScene,
    look: AttributeScene,
    cover: Covers,
) -> _Layer:
    """What a cover does to ``rows`` lines of one image, averaged over the rays of a pixel."""
    s = SUPERSAMPLING
    u, v = (x.reshape(-1) for x in grid(first_row, rows, resolution))
    ray = rays(u, v)
    face = along(ray, march(ray, (1.0 - CAMERA_Z) / ray.z, STEPS, 0.0, person, look))
    seen = face.z > -1.0
    light = jnp.where(seen, _light(face, cover, look), 1.0)
    spread = lambda x: jnp.repeat(  # noqa: E731
        jnp.repeat(x.reshape(rows, resolution), s, axis=0), s, axis=1
    ).reshape(-1)
    behind = spread(jnp.where(seen, face.z, -10.0))
    u, v = (x.reshape(-1) for x in grid(first_row * s, rows * s, resolution * s))
    ray = rays(u, v)
    p, near = _approach(ray, cover, look)
    parts = cover_shapes.distances(p, cover, look)
    share = ramp(near, 0.008 + cover.softness, 0.003)
    share = share * jnp.where(parts.film < parts.solid, cover.opacity, 1.0)
    worn = cover_shapes.on_head(cover.kind)
    depth = worn * WORN_DEPTH + (1.0 - worn) * HELD_DEPTH
    share = jnp.where(p.z + depth > behind, share, 0.0)
    material, one = cover_shapes.surface(p, cover, look), jnp.ones_like(u)
    rgb = to_srgb(lit(material, _normals(p, cover, look), ray, one, one, look))
    mean = lambda x: x.reshape(rows, s, resolution, s).mean(axis=(1, 3))  # noqa: E731
    colour = jnp.stack([mean(share * channel) for channel in rgb], axis=-1)
    return _Layer(colour, mean(share), light.reshape(rows, resolution), material.label[0])


class _Pixels(NamedTuple):
    """What of images a cover changes, with or without a batch axis."""

    image: Float[Array, "*n r r 3"]
    parsing: Int[Array, "*n r r"]
    visibility: Bool[Array, "*n m"]


def _cover_face(
    face: _Pixels,
    landmarks: Float[Array, "m 2"],
    person: IdentityScene,
    look: AttributeScene,
    cover: Covers,
) -> _Pixels:
    """One image (fields without batch axis) with its cover."""
    resolution = face.image.shape[0]
    layers = jax.lax.map(
        lambda first: _layer(first, RESOLUTION_STEP, resolution, person, look, cover),
        jnp.arange(0, resolution, RESOLUTION_STEP),
    )
    colour, share, light = (x.reshape(resolution, resolution, *x.shape[3:]) for x in layers[:3])
    touched = (share > 0.0) | (light < 1.0)
    kept = (0.5 * face.image + 0.5) * ((1.0 - share) * light)[..., None]
    hidden = share > 0.5
    place = jnp.clip(jnp.floor(landmarks).astype(jnp.int32), 0, resolution - 1)
    return _Pixels(
        jnp.where(touched[..., None], 2.0 * (kept + colour) - 1.0, face.image),
        jnp.where(hidden, layers.label[0], face.parsing),
        face.visibility & ~hidden[place[:, 1], place[:, 0]],
    )


@jax.jit
def _cover_faces(
    faces: Rendering, person: Identities, look: Attributes, covers: Covers, count: Int[Array, ""]
) -> Rendering:
    """Lays covers over the first ``count`` of ``IMAGES_PER_CALL`` faces."""
    scene = face_scene(person, look)
    beside = faces.landmarks, scene.identity, scene.attributes, covers

    def lay(i: Int[Array, ""], done: _Pixels) -> _Pixels:
        face, rest = jax.tree.map(lambda x: x[i], (done, beside))
        covered = jax.lax.cond(rest[-1].kind == 0, lambda x, *_: x, _cover_face, face, *rest)
        return jax.tree.map(
            lambda whole, one: jax.lax.dynamic_update_index_in_dim(whole, one, i, 0), done, covered
        )

    start = _Pixels(faces.image, faces.parsing, faces.visibility)
    done = jax.lax.fori_loop(0, count, lay, start)
    return Rendering(done.image, done.parsing, faces.pose_degrees, faces.landmarks, done.visibility)


def render(
    identities: Identities,
    attributes: Attributes,
    resolution: int,
    covers: Covers | None = None,
) -> Rendering:
    """Renders person i with look i and, where there is one, the cover i.

    The true swap is ``render(identities of the sources, attributes of the targets, resolution,
    covers of the targets)``. An image depends on its own person, look and cover alone, bit for bit.

    Args:
        identities: n people.
        attributes: n looks.
        resolution: side of the images in pixels, a multiple of 16 up to 1024.
        covers: n covers; None stands for none at all. What a cover hides is neither labelled as
            face nor visible.

    Raises:
        UserError: for another resolution, or numbers that differ.
    """
    if covers is not None and covers.kind.shape != identities.face_width.shape:
        raise UserError(
            f"got identities of shape {identities.face_width.shape} and covers of shape "
            f"{covers.kind.shape}; expected the same number of both; give every image one cover"
        )
    faces = renderer.render(identities, attributes, resolution)
    if covers is None:
        return faces
    parts, n = [], faces.image.shape[0]
    everything = faces, identities, attributes, covers
    for start in range(0, n, IMAGES_PER_CALL):
        count = min(IMAGES_PER_CALL, n - start)
        part = jax.tree.map(
            lambda x, start=start, count=count: _padded(x, start, count), everything
        )
        done = _cover_faces(*part, jnp.asarray(count))
        parts.append(jax.tree.map(lambda x, count=count: x[:count], done))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def _padded(x: Array, start: int, count: int) -> Array:
    """A call's share of an array; the entries that are missing repeat the first one."""
    x = jnp.asarray(x)
    x = x[start : start + count].astype(jnp.float32 if x.dtype.kind == "f" else x.dtype)
    return jnp.concatenate([x, jnp.broadcast_to(x[:1], (IMAGES_PER_CALL - count, *x.shape[1:]))])
