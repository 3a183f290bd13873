"""Light: a soft key light, light from all around, and a rim light from behind."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from alrl_jax.worlds.humans.casting import Caster
from alrl_jax.worlds.humans.sampling import Attributes
from alrl_jax.worlds.humans.textures import dot, length

AROUND = 40
"""Directions in which the light from all around is asked for."""

KEY_RAYS = 14
"""Rays to the disc of the key light."""

PROBES = np.isin(np.arange(KEY_RAYS), (0, 9, 10, 11, 12, 13))
"""Rays to the middle and the rim of the disc; where they agree, the others are not asked."""

LIFT = 0.008
"""Rays start that far above a surface, in decimetres."""

HORIZON = 0.02
"""Cosine of directions so flat that nothing is cast in them."""

Colour = Float[np.ndarray, "3"]
Vectors = Float[np.ndarray, "_ 3"]


class Light(NamedTuple):
    """The light of one picture.

    Attributes:
        key: unit direction to the key light, in the scene.
        key_rays: unit directions to parts of it.
        key_colour: its irradiance, linear.
        rim: unit direction to the rim light.
        rim_colour: its irradiance, linear.
        around: irradiance from all around of an open surface, linear.
        above: how much more of it comes from above, -1 to 1.
    """

    key: Colour
    key_rays: Vectors
    key_colour: Colour
    rim: Colour
    rim_colour: Colour
    around: Colour
    above: float


class Lit(NamedTuple):
    """What arrives at points.

    Attributes:
        key: share of the key light.
        rim: share of the rim light.
        open: share of the light from all around.
    """

    key: Float[np.ndarray, " n"]
    rim: Float[np.ndarray, " n"]
    open: Float[np.ndarray, " n"]


def _sphere(count: int) -> Vectors:
    """Directions spread evenly."""
    number = np.arange(count) + 0.5
    y, turn = 1 - 2 * number / count, number * (np.pi * (3 - np.sqrt(5)))
    flat = np.sqrt(1 - y * y)
    return np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], axis=1).astype(np.float32)


DIRECTIONS = _sphere(AROUND)


def _direction(azimuth: float, elevation: float) -> Colour:
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    out = [np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)]
    return np.asarray(out, np.float32)


def warm(warmth: float) -> Colour:
    """Colour of light, cold below 0."""
    return np.asarray([1 + 0.16 * warmth, 1.0 + 0.01 * warmth, 1 - 0.2 * warmth], np.float32)


def light(look: Attributes) -> Light:
    """The light of one look (fields without batch axis)."""
    key = _direction(float(look.light_azimuth), float(look.light_elevation))
    side = np.cross(key, [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    top = np.cross(side, key)
    number = np.arange(KEY_RAYS) + 0.5
    reach = float(look.light_softness) * np.sqrt(number / KEY_RAYS)
    turn = number * (np.pi * (3 - np.sqrt(5)))
    rays = key + reach[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * top)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    bright, ambient = float(look.light_intensity), float(look.light_ambient)
    warmth = float(look.light_warmth)
    scenery = np.asarray(look.background, np.float32) ** 2.2
    tint = 0.9 + 0.1 * scenery / max(float(scenery.mean()), 0.05)
    return Light(
        key=key,
        key_rays=rays.astype(np.float32),
        key_colour=bright * (1.30 - 0.75 * ambient) * warm(warmth),
        rim=_direction(-150.0 if key[0] > 0 else 150.0, 25.0),
        rim_colour=0.9 * float(look.rim_light) * warm(-0.5 * warmth),
        around=0.78 * bright * ambient * np.clip(tint, 0.8, 1.2) * warm(-0.3 * warmth),
        above=0.35,
    )


def _blocked(caster: Caster, starts: Vectors, rays: Vectors, asked: np.ndarray) -> np.ndarray:
    """Which of the directions that are asked for something stands in, ``[n, r]``."""
    point, ray = np.divmod(np.flatnonzero(asked), len(rays))
    out = np.zeros(asked.shape, bool)
    out[point, ray] = caster.blocked(starts[point], rays[ray])
    return out


def _key_share(caster: Caster, starts: Vectors, normals: Vectors, rays: Vectors) -> np.ndarray:
    """Share of the key light: all of its rays at the edges of shadows, few elsewhere."""
    cosine = np.maximum(normals @ rays.T, 0.0)
    above = cosine > HORIZON
    first = above & PROBES
    blocked = _blocked(caster, starts, rays, first)
    hidden, free = (np.asarray(x.any(axis=1)) for x in (blocked, first & ~blocked))
    sure = hidden ^ free
    blocked |= _blocked(caster, starts, rays, above & ~PROBES & ~sure[:, None])
    blocked |= (hidden & sure)[:, None]
    full = cosine.sum(axis=1)
    key = np.where(blocked, 0.0, cosine).sum(axis=1)
    return np.where(full > 1e-3, key / np.maximum(full, 1e-3), 0.0)


def _open_share(caster: Caster, starts: Vectors, normals: Vectors, above: float) -> np.ndarray:
    """Share of the light from all around."""
    cosine = np.maximum(normals @ DIRECTIONS.T, 0.0)
    weight = 1.0 + above * DIRECTIONS[:, 1]
    around = cosine @ weight
    cosine[_blocked(caster, starts, DIRECTIONS, cosine > HORIZON)] = 0.0
    return cosine @ weight / np.maximum(around, 1e-3)


def arriving(caster: Caster, points: Vectors, normals: Vectors, light: Light) -> Lit:
    """Shares of the light that arrive at points, other things being in its way.

    Args:
        caster: what is in the way.
        points: in the scene.
        normals: unit normals there.
        light: of the picture.
    """
    starts = (points + LIFT * normals).astype(np.float32)
    rim = np.zeros(len(points), np.float32)
    if light.rim_colour[0] > 0.02:
        lit = normals @ light.rim > 0.0
        rim[lit] = ~caster.blocked(starts[lit], light.rim[None].repeat(lit.sum(), 0))
    return Lit(
        _key_share(caster, starts, normals, light.key_rays).astype(np.float32),
        rim,
        _open_share(caster, starts, normals, light.above).astype(np.float32),
    )


def diffuse(
    normals: Vectors, lit: Lit, light: Light, wrap: Colour, bounce: Colour
) -> Float[np.ndarray, "n 3"]:
    """Irradiance that leaves a diffuse surface, times pi, linear.

    Args:
        normals: unit normals.
        lit: what arrives.
        light: of the picture.
        wrap: how far light goes around the edge of the shadow, by channel (light under the skin).
        bounce: colour that light takes on between close surfaces.
    """
    out = np.empty_like(normals)
    key, rim = normals @ light.key, normals @ light.rim
    hemisphere = 1.0 + light.above * normals[:, 1]
    for c in range(3):
        w = float(wrap[c])
        # What goes around the edge also softens the edge of cast shadows.
        shade = lit.key ** (1.0 / (1.0 + 1.5 * w))
        share = np.clip((key + w) / (1.0 + w), 0.0, 1.0) * (1.0 - 0.35 * w)
        occluded = lit.open ** (1.0 / (1.0 + float(bounce[c])))
        out[:, c] = light.key_colour[c] * share * shade
        out[:, c] += light.rim_colour[c] * np.clip(rim, 0.0, 1.0) * lit.rim
        out[:, c] += light.around[c] * hemisphere * occluded
    return out


def gloss(
    normals: Vectors, views: Vectors, lit: Lit, light: Light, exponent: float, base: float = 0.04
) -> Float[np.ndarray, "n 3"]:
    """What a smooth coat reflects, linear, for a strength of 1.

    Args:
        normals: unit normals.
        views: unit directions of the rays that see the surface.
        lit: what arrives.
        light: of the picture.
        exponent: of the highlight.
        base: reflectance seen from above.
    """
    out = np.zeros_like(normals)
    facing = np.clip(-dot(normals, views), 0.0, 1.0)
    fresnel = base + (1.0 - base) * (1.0 - facing) ** 5
    for way, colour, share in (
        (light.key, light.key_colour, lit.key),
        (light.rim, light.rim_colour, lit.rim),
    ):
        half = way - views
        cosine = np.clip(dot(normals, half) / np.maximum(length(half), 1e-6), 0.0, 1.0)
        lobe = cosine**exponent * (exponent + 8.0) / 25.0
        lobe = lobe * np.clip(normals @ way * 4.0, 0.0, 1.0) * share * fresnel
        out += lobe[:, None] * colour
    return out + (0.35 * fresnel * lit.open)[:, None] * light.around
