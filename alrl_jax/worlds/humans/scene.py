"""What is in a picture: all triangles, and the light that falls on them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from alrl_jax.worlds.humans import eyes, fibres
from alrl_jax.worlds.humans.anatomy import CENTRE, Points, anatomy, normals_of
from alrl_jax.worlds.humans.body import PIVOT, Body, body, follows, posed, rotation
from alrl_jax.worlds.humans.camera import AIM, Camera, camera, project
from alrl_jax.worlds.humans.casting import Caster
from alrl_jax.worlds.humans.cover_shapes import Cover, cover_mesh
from alrl_jax.worlds.humans.covers import Covers
from alrl_jax.worlds.humans.lights import Light, Lit, arriving, light
from alrl_jax.worlds.humans.sampling import Attributes, Identities
from alrl_jax.worlds.humans.strands import STEPS, Skull, Strands, strands, taken_strands
from alrl_jax.worlds.humans.textures import length

AWAY = -0.35
"""Least z of the normal of a vertex that light is asked at; the camera looks along -z."""

MARGIN = 0.25
"""How far outside of the frame light is still asked for, share of its side."""

NO_POINTS, NO_TRIANGLES = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)


class Scene(NamedTuple):
    """All triangles of a picture, and what is known of their vertices.

    Attributes:
        vertices: [v, 3].
        normals: [v, 3].
        triangles: [t, 3], of the body, the left eye, the right eye, the strands and the cover, in
            this order.
        starts: first triangle of each of them, and the number of all.
        lit: what arrives at vertices; of strands the key light and openness.
        body: the mesh of the person.
        cover: what covers the face; None for nothing.
        hair: the strands.
        light: of the picture.
        view: the camera.
        caster: of all triangles.
        known: [v, 9], vertices, normals and what arrives at them side by side.
    """

    vertices: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "t 3"]
    starts: tuple[int, ...]
    lit: Lit
    body: Body
    cover: Cover | None
    hair: Strands
    light: Light
    view: Camera
    caster: Caster
    known: Float[np.ndarray, "v 9"]


def _cover(cover: Covers | None, figure: Body) -> Cover | None:
    """The mesh of a cover."""
    if cover is None:
        return None
    head = rotation(figure.turn)
    shift = head @ (AIM - PIVOT) + PIVOT - AIM
    return cover_mesh(cover, figure, lambda p: (p - PIVOT) @ head.T + PIVOT, shift)


def make_scene(person: Identities, look: Attributes, cover: Covers | None = None) -> Scene:
    """Puts everything together and lets light fall on it (fields without batch axis)."""
    whole, figure, lamp = anatomy(), body(person, look), light(look)
    hair = strands(person, look, figure.still)
    grown = posed(hair.vertices, follows(hair.vertices), figure.turn)
    view, middle = camera(look), rotation(figure.turn) @ (CENTRE - PIVOT) + PIVOT
    kept = ~_behind_head(grown, view, middle, Skull(figure.still).least())
    hair = taken_strands(hair, kept)
    grown = grown.reshape(-1, 2 * (STEPS + 1), 3)[kept].reshape(-1, 3)
    balls = [eyes.eyeball(eye) for eye in figure.eyes]
    worn = _cover(cover, figure)
    thing = (NO_POINTS, NO_TRIANGLES) if worn is None else (worn.vertices, worn.triangles)
    vertices = [figure.vertices, *(v for v, _ in balls), grown, thing[0]]
    offsets = np.cumsum([0, *(len(v) for v in vertices)])
    parts = [whole.triangles, *(t for _, t in balls), hair.triangles, thing[1]]
    triangles = np.concatenate([t + o for t, o in zip(parts, offsets[:-1], strict=True)])
    starts = tuple(np.cumsum([0, *(len(t) for t in parts)]).tolist())
    points = np.concatenate(vertices).astype(np.float32)
    normals = [figure.normals, *(eyes.normals(eye) for eye in figure.eyes)]
    normals += [fibres.outward_of(grown, middle), normals_of(*thing)]
    caster = Caster(points, triangles)
    shadows = caster
    if worn is not None and worn.film.any():  # lenses let light through
        solid = np.concatenate([np.ones(starts[4], bool), ~worn.film])
        shadows = Caster(points, triangles[solid])
    others = [*(v for v, _ in balls), thing[0]]
    lit = _light_falls(shadows, figure, others, normals, hair, grown, lamp, view)
    outward = np.concatenate(normals).astype(np.float32)
    known = np.concatenate([points, outward, np.stack(lit, axis=1)], axis=1)
    return Scene(
        points, outward, triangles, starts, lit, figure, worn, hair, lamp, view, caster, known
    )


def _behind_head(
    points: Points, view: Camera, middle: Float[np.ndarray, "3"], radius: float
) -> Bool[np.ndarray, " n"]:
    """Strands that lie in or behind a ball within the head, which nobody sees.

    Args:
        points: edges of the strands as posed.
        view: the camera.
        middle: of the ball.
        radius: likewise.
    """
    ways = points - view.eye
    distance = length(ways)
    nearest = ways @ (middle - view.eye) / np.maximum(distance, 1e-6)
    depth = (0.95 * radius) ** 2 - np.sum((middle - view.eye) ** 2) + nearest**2
    hidden = (depth > 0.0) & (distance > nearest - np.sqrt(np.maximum(depth, 0.0)))
    return hidden.reshape(-1, 2 * (STEPS + 1)).all(axis=1)


def _light_falls(
    caster: Caster,
    figure: Body,
    others: list[Points],
    normals: list[np.ndarray],
    hair: Strands,
    grown: np.ndarray,
    lamp: Light,
    view: Camera,
) -> Lit:
    """What arrives at all vertices: rays from the coarse ones, and shares for the fine ones."""
    whole, count = anatomy(), len(figure.coarse)
    coarse = _shares_seen(caster, figure.vertices[:count], normals[0][:count], lamp, view)
    parts = [np.clip(whole.subdivision(coarse), 0.0, 1.0)]
    on_others = [
        _shares_seen(caster, points, normal, lamp, view)
        for points, normal in zip(others[:2], normals[1:3], strict=True)
    ]
    # Covers are seen from both sides.
    on_others.append(np.stack(arriving(caster, others[2], normals[4], lamp), axis=1))
    on_hair = _light_on_strands(caster, hair, grown, normals[3], lamp)
    parts += [*on_others[:2], on_hair, on_others[2]]
    return Lit(*np.concatenate(parts).astype(np.float32).T)


def _shares_seen(
    caster: Caster, points: Points, normals: Points, lamp: Light, view: Camera
) -> Float[np.ndarray, "n 3"]:
    """What arrives at vertices that the camera may see; 0 at those that it does not."""
    places = project(view, points, 1)
    seen = (normals[:, 2] > AWAY) & (np.abs(places - 0.5) < 0.5 + MARGIN).all(axis=1)
    shares = np.zeros((len(points), 3), np.float32)
    shares[seen] = np.stack(arriving(caster, points[seen], normals[seen], lamp), axis=1)
    return shares


def _light_on_strands(
    caster: Caster, hair: Strands, grown: np.ndarray, outward: np.ndarray, lamp: Light
) -> np.ndarray:
    """Shares at the edges of ribbons: rays from their points, smoothed along them."""
    n = len(hair.points)
    if not n:
        return np.zeros((0, 3), np.float32)
    line = grown.reshape(n, STEPS + 1, 2, 3).mean(axis=2)
    out = outward.reshape(n, STEPS + 1, 2, 3)[:, :, 0]
    lit = np.ones((n, STEPS + 1), np.float32)
    some = np.arange(1, STEPS + 1, 2)
    origins = (line[:, some] + 0.05 * out[:, some]).reshape(-1, 3)
    ways = lamp.key_rays[np.arange(len(origins)) % len(lamp.key_rays)]
    seen = ~caster.blocked(origins, ways)
    values = seen.reshape(n, len(some)).astype(np.float32)
    smooth = (values + np.roll(values, 1, axis=0) + np.roll(values, -1, axis=0)) / 3
    lit[:] = smooth[:, np.minimum(np.arange(STEPS + 1) // 2, len(some) - 1)]
    along = np.linspace(0.0, 1.0, STEPS + 1)
    deep = hair.depth[:, None] ** 0.7 * np.minimum(1.0, 0.4 + 2.0 * along)
    openness = 0.25 + 0.75 * deep
    lit = lit * (0.45 + 0.55 * deep)
    shares = np.stack([lit, openness, openness], axis=-1)
    return np.repeat(shares[:, :, None], 2, axis=2).reshape(-1, 3)
