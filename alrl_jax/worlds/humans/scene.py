"""What is in a picture: all triangles, and the light that falls on them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans import eyes, fibres
from alrl_jax.worlds.humans.anatomy import CENTRE, anatomy
from alrl_jax.worlds.humans.body import PIVOT, Body, body, follows, posed, rotation
from alrl_jax.worlds.humans.camera import Camera, camera
from alrl_jax.worlds.humans.casting import Caster
from alrl_jax.worlds.humans.lights import Light, Lit, arriving, light
from alrl_jax.worlds.humans.sampling import Attributes, Identities
from alrl_jax.worlds.humans.strands import STEPS, Strands, strands


class Scene(NamedTuple):
    """All triangles of a picture, and what is known of their vertices.

    Attributes:
        vertices: [v, 3].
        normals: [v, 3].
        triangles: [t, 3], of the body, the left eye, the right eye and the strands, in this order.
        starts: first triangle of each of them, and the number of all.
        lit: what arrives at vertices; of strands the key light and openness.
        body: the mesh of the person.
        hair: the strands.
        light: of the picture.
        view: the camera.
        caster: of all triangles.
    """

    vertices: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "t 3"]
    starts: tuple[int, ...]
    lit: Lit
    body: Body
    hair: Strands
    light: Light
    view: Camera
    caster: Caster


def make_scene(person: Identities, look: Attributes) -> Scene:
    """Puts everything together and lets light fall on it."""
    whole, figure, lamp = anatomy(), body(person, look), light(look)
    hair = strands(person, look, figure.still)
    grown = posed(hair.vertices, follows(hair.vertices), figure.turn)
    balls = [eyes.eyeball(eye) for eye in figure.eyes]
    vertices = [figure.vertices, *(v for v, _ in balls), grown]
    offsets = np.cumsum([0, *(len(v) for v in vertices)])
    parts = [whole.triangles, *(t for _, t in balls), hair.triangles]
    triangles = np.concatenate([t + o for t, o in zip(parts, offsets[:-1], strict=True)])
    starts = tuple(np.cumsum([0, *(len(t) for t in parts)]).tolist())
    points = np.concatenate(vertices).astype(np.float32)
    middle = rotation(figure.turn) @ (CENTRE - PIVOT) + PIVOT
    normals = [figure.normals, *(eyes.normals(eye) for eye in figure.eyes)]
    normals.append(fibres.outward_of(grown, middle))
    caster = Caster(points, triangles)
    lit = _light_falls(caster, figure, balls, normals, hair, grown, lamp)
    return Scene(
        points,
        np.concatenate(normals).astype(np.float32),
        triangles,
        starts,
        lit,
        figure,
        hair,
        lamp,
        camera(look),
        caster,
    )


def _light_falls(
    caster: Caster,
    figure: Body,
    balls: list[tuple[np.ndarray, np.ndarray]],
    normals: list[np.ndarray],
    hair: Strands,
    grown: np.ndarray,
    lamp: Light,
) -> Lit:
    """What arrives at all vertices: rays from the coarse ones, and shares for the fine ones."""
    whole, count = anatomy(), len(figure.coarse)
    front = normals[0][:count, 2] > -0.35
    used = np.zeros(count, bool)
    used[np.unique(whole.subdivision.source)] = True
    front &= used
    found = arriving(caster, figure.vertices[:count][front], normals[0][:count][front], lamp)
    coarse = np.zeros((count, 3), np.float32)
    coarse[front] = np.stack(found, axis=1)
    parts = [np.clip(whole.subdivision(coarse), 0.0, 1.0)]
    for (points, _), normal in zip(balls, normals[1:3], strict=True):
        parts.append(np.stack(arriving(caster, points, normal, lamp), axis=1))
    parts.append(_light_on_strands(caster, hair, grown, normals[3], lamp))
    return Lit(*np.concatenate(parts).astype(np.float32).T)


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
