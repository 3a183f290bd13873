"""Materials: the colour of what rays meet, and its parsing class."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.worlds.humans import eyes, fibres, labels, skin
from alrl_jax.worlds.humans.anatomy import anatomy
from alrl_jax.worlds.humans.casting import Hits
from alrl_jax.worlds.humans.covers import COVERS, Covers
from alrl_jax.worlds.humans.labels import LABEL
from alrl_jax.worlds.humans.lights import Lit, diffuse, gloss
from alrl_jax.worlds.humans.package_data import PARTS
from alrl_jax.worlds.humans.sampling import Attributes, Identities
from alrl_jax.worlds.humans.scene import Scene
from alrl_jax.worlds.humans.strands import STEPS
from alrl_jax.worlds.humans.textures import length, noise, sharp, step


class Pixels(NamedTuple):
    """Samples of one layer of surfaces.

    Attributes:
        ray: numbers of the rays.
        colour: linear radiance.
        alpha: how much of what lies behind is hidden.
        label: parsing class; -1 where what lies behind is meant.
    """

    ray: Int[np.ndarray, " n"]
    colour: Float[np.ndarray, "n 3"]
    alpha: Float[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]


class Hit(NamedTuple):
    """Points that rays met, and what is known there."""

    ray: np.ndarray
    view: np.ndarray
    triangle: np.ndarray
    shares: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    lit: Lit


def hits_of(scene: Scene, number: np.ndarray, view: np.ndarray, found: Hits) -> Hit:
    """Interpolates what is known at vertices."""
    shares = np.stack([1 - found.u - found.v, found.u, found.v], axis=1)
    corners = scene.triangles[found.triangle]
    mean = scene.known[corners[:, 0]] * shares[:, :1]
    mean += scene.known[corners[:, 1]] * shares[:, 1:2]
    mean += scene.known[corners[:, 2]] * shares[:, 2:]
    point, normal = np.ascontiguousarray(mean[:, :3]), np.ascontiguousarray(mean[:, 3:6])
    normal /= np.maximum(length(normal)[:, None], 1e-9)
    lit = Lit(*np.ascontiguousarray(mean[:, 6:].T))
    return Hit(number, view, found.triangle, shares, point, normal, lit)


def _take(hit: Hit, which: np.ndarray) -> Hit:
    ray, view, triangle, shares, point, normal = (x[which] for x in hit[:6])
    lit = Lit(*(x[which] for x in hit.lit))
    return Hit(ray, view, triangle, shares, point, normal, lit)


def _corner_mean(values: np.ndarray, hit: Hit) -> np.ndarray:
    return np.einsum("nij,ni->nj", values, hit.shares)


def _skin_pixels(
    scene: Scene, hit: Hit, person: Identities, look: Attributes, footprint: float
) -> Pixels:
    """Skin, with lips, brows and stubble."""
    whole = anatomy()
    rest = _corner_mean(whole.rest[whole.triangles[hit.triangle]], hit)
    places = _corner_mean(whole.places[hit.triangle], hit)
    colour, parts = skin.albedo(rest, places, person, look, footprint)
    inside = step(parts["inside"], 0.3, 0.7)
    normal = _bumped(hit.normal, rest, person, footprint, parts["lips"])
    wrap = np.array([0.26, 0.09, 0.05]) * (0.4 + 0.6 * colour.mean())
    lit = Lit(hit.lit.key, hit.lit.rim, hit.lit.open * (1.0 - 0.75 * inside))
    radiance = colour * diffuse(normal, lit, scene.light, wrap, np.array([0.35, 0.12, 0.08]))
    covered = np.maximum(parts["brow"], np.maximum(parts["scalp"], 0.6 * parts["stubble"]))
    oily = 0.35 + 0.65 * float(look.skin_gloss)
    strength = oily * (0.8 + 0.5 * skin.redness(rest)) * (1 - 0.9 * covered) * (1 - 0.8 * inside)
    strength = strength + (0.4 + 0.8 * float(look.lipstick)) * parts["lips"]
    broad = gloss(normal, hit.view, lit, scene.light, 9.0, 0.028)
    narrow = gloss(normal, hit.view, lit, scene.light, 38.0, 0.028)
    radiance += strength[:, None] * (0.75 * broad + 0.75 * narrow)
    label = labels.skin_labels(rest, parts, look)
    return Pixels(hit.ray, radiance, np.ones(len(label), np.float32), label)


def _bumped(
    normal: np.ndarray, rest: np.ndarray, person: Identities, footprint: float, lips: np.ndarray
) -> np.ndarray:
    """Normals of skin with pores and wrinkles, where pixels are fine enough to show them."""
    show = sharp(0.010, footprint)
    if show <= 0.0:
        return normal
    seed = int(person.skin_seed)
    tilt = np.stack([noise(rest, 75.0, seed + n) for n in range(3)], axis=1)
    tilt = tilt + 0.6 * np.stack([noise(rest, 150.0, seed + n) for n in range(3, 6)], axis=1)
    tilted = normal + 0.09 * show * (1 - 0.5 * lips[:, None]) * tilt
    return tilted / np.linalg.norm(tilted, axis=1, keepdims=True)


def _cloth_pixels(scene: Scene, hit: Hit, look: Attributes, footprint: float) -> Pixels:
    """Clothes: matt, woven."""
    worn = np.asarray(look.clothes, np.float32)
    tone = skin.linear(0.35 * worn.mean() + 0.65 * worn)
    weave = noise(hit.point, 30.0, int(look.noise_seed)) * 0.10
    weave = weave + 0.25 * noise(hit.point, 110.0, 7) * sharp(0.012, footprint)
    colour = (0.75 * tone) * (1.0 + weave)[:, None]
    wrap = np.zeros(3)
    radiance = colour * diffuse(hit.normal, hit.lit, scene.light, wrap, wrap)
    label = np.full(len(hit.ray), LABEL["cloth"])
    return Pixels(hit.ray, radiance, np.ones(len(label), np.float32), label)


def _mouth_pixels(scene: Scene, hit: Hit, part: np.ndarray) -> Pixels:
    """Teeth and tongue, darker further in."""
    tongue = (part == PARTS.index("tongue"))[:, None]
    colour = np.where(tongue, [0.36, 0.10, 0.09], [0.62, 0.56, 0.47]).astype(np.float32)
    whole = anatomy()
    rest = _corner_mean(whole.rest[whole.triangles[hit.triangle]], hit)
    gaps = np.abs(np.sin(rest[:, 0] * np.pi / 0.075))
    colour *= np.where(tongue[:, 0], 1.0, 0.72 + 0.28 * step(gaps, 0.0, 0.35))[:, None]
    deep = np.clip((rest[:, 2] - 1.05) / 0.30, 0.15, 1.0)
    lit = Lit(hit.lit.key * deep, hit.lit.rim * 0, np.minimum(hit.lit.open + 0.30, 1.0) * deep)
    radiance = colour * diffuse(hit.normal, lit, scene.light, np.full(3, 0.1), np.full(3, 0.2))
    radiance += 0.8 * gloss(hit.normal, hit.view, lit, scene.light, 60.0, 0.04)
    label = np.full(len(hit.ray), LABEL["mouth"])
    return Pixels(hit.ray, radiance, np.ones(len(label), np.float32), label)


def _eye_pixels(scene: Scene, hit: Hit, side: int, person: Identities) -> Pixels:
    """An eye: white and iris under a wet coat."""
    eye = scene.body.eyes[side]
    colour, cornea = eyes.albedo(hit.point, eye, person)
    ball = fibres.outward_of(hit.point, eye.centre)
    # The lids' shadow: what is open is darker near them than single vertices can say.
    lit = Lit(hit.lit.key, hit.lit.rim, hit.lit.open**1.35)
    wrap = np.array([0.18, 0.08, 0.06])
    radiance = colour * diffuse(ball, lit, scene.light, wrap, np.full(3, 0.1))
    wet = Lit(np.maximum(lit.key, 0.35 * (lit.open > 0.15)), lit.rim, lit.open)
    narrow = gloss(hit.normal, hit.view, wet, scene.light, 900.0, 0.045)
    radiance += narrow * (0.35 + 0.65 * cornea)[:, None] * 1.3
    label = np.full(len(hit.ray), LABEL["l_eye" if side == 0 else "r_eye"])
    return Pixels(hit.ray, radiance, np.ones(len(label), np.float32), label)


def _lash_pixels(scene: Scene, hit: Hit, person: Identities, footprint: float) -> Pixels:
    """Eyelashes: single hairs on a strip of the mesh, denser at the lid."""
    whole = anatomy()
    places = _corner_mean(whole.places[hit.triangle], hit)
    hairs = np.stack([places[:, 0] * 2600.0, places[:, 1] * 2600.0, 0 * places[:, 0]], axis=1)
    alpha = np.clip(0.42 + 0.9 * noise(hairs, 0.35, 51) * sharp(0.02, footprint), 0.0, 0.85)
    colour = np.tile(np.array([0.012, 0.010, 0.009], np.float32), (len(alpha), 1))
    colour = colour * (0.3 + 0.7 * hit.lit.open)[:, None]
    alpha = alpha * min(1.0, 0.75 * float(person.lash_length))
    label = np.full(len(hit.ray), -1)
    return Pixels(hit.ray, colour, alpha.astype(np.float32), label)


def _strand_pixels(scene: Scene, hit: Hit, look: Attributes, footprint: float) -> Pixels:
    """Hair and beard."""
    number = hit.triangle - scene.starts[3]
    strand, quad = number // (2 * STEPS), number % (2 * STEPS)
    segment, half = quad // 2, quad % 2
    # Corners of the two triangles: first, second, next second; and first, next second, next first.
    across = np.where(half == 0, hit.shares[:, 1] + hit.shares[:, 2], hit.shares[:, 1])
    along = np.where(half == 0, hit.shares[:, 2], hit.shares[:, 1] + hit.shares[:, 2])
    along = (segment + along) / STEPS
    corners = scene.triangles[scene.starts[3] + strand * 2 * STEPS + 2 * segment]
    tangent = scene.vertices[corners[:, 2]] - scene.vertices[corners[:, 1]]
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    tone = skin.hair_tone(look)
    beard = scene.hair.beard[strand]
    factor = fibres.variation(hit.point, across, scene.hair.random[strand], along, footprint)
    colour = tone * (factor * np.where(beard, 0.8, 1.0))[:, None]
    radiance = fibres.shade(
        hit.point,
        tangent,
        hit.view,
        hit.normal,
        colour.astype(np.float32),
        hit.lit.key,
        hit.lit.open,
        scene.light,
    )
    place = np.stack(
        [across * 4.0 + 90.0 * scene.hair.random[strand], along * 1.2, 0 * along], axis=1
    )
    gaps = noise(place, 1.6, 61) + 1.9 - 2.0 * along**3 - 1.3 * np.abs(2 * across - 1) ** 3
    alpha = np.clip(1.2 * gaps, 0.0, 1.0)
    label = np.full(len(hit.ray), LABEL["hair"])
    label[beard] = LABEL["skin"]
    return Pixels(hit.ray, radiance, alpha.astype(np.float32), label)


def _cover_pixels(scene: Scene, hit: Hit, cover: Covers, tone: np.ndarray) -> Pixels:
    """What covers the face; ``tone`` is the skin's, for hands."""
    worn = scene.cover
    assert worn is not None
    film = worn.film[hit.triangle - scene.starts[4]]
    own = skin.linear(np.asarray(cover.colour, np.float32))
    tones = {"hand": tone, "mask": 0.35 * own + 0.42, "board": np.full(3, 0.66)}
    colour = np.tile(tones.get(worn.kind, 0.45 * own), (len(film), 1)).astype(np.float32)
    if worn.kind == "board":  # lines of writing
        lines = step(noise(hit.point * np.array([9, 0, 0]), 4.0, 3), -0.2, 0.1)
        ink = lines * step(np.cos(hit.point[:, 1] * 2 * np.pi / 0.11), 0.3, 0.6)
        colour *= (1.0 - 0.75 * ink)[:, None]
    elif worn.kind in ("mask", "scarf"):
        folds = np.cos(hit.point[:, 1] * 2 * np.pi / (0.13 if worn.kind == "mask" else 0.4))
        colour *= (0.92 + 0.08 * folds + 0.12 * noise(hit.point, 60.0, 5))[:, None]
    elif worn.kind == "microphone":
        mesh = 0.6 + 0.4 * np.sin(hit.point[:, 0] * 180) * np.sin(hit.point[:, 1] * 180)
        colour = np.where(mesh[:, None] < 2, 0.06 * mesh[:, None], colour).astype(np.float32)
    colour[film] = 0.01
    normal = np.where(np.sum(hit.normal * hit.view, 1, keepdims=True) > 0, -hit.normal, hit.normal)
    wrap = np.array([0.2, 0.08, 0.05]) if worn.kind == "hand" else np.zeros(3)
    radiance = colour * diffuse(normal, hit.lit, scene.light, wrap, np.full(3, 0.1))
    shine = {"glasses": 1.2, "microphone": 1.0, "hand": 0.5}.get(worn.kind, 0.1)
    exponent = 300.0 if worn.kind == "glasses" else 20.0
    radiance += shine * gloss(normal, hit.view, hit.lit, scene.light, exponent, 0.04)
    alpha = np.where(film, float(cover.opacity), 1.0).astype(np.float32)
    label = np.full(len(film), LABEL[COVERS[worn.kind].label])
    # A clear lens is a part of the glasses all the same.
    return Pixels(hit.ray, radiance, alpha, label)


def layer(
    scene: Scene,
    hit: Hit,
    person: Identities,
    look: Attributes,
    cover: Covers | None,
    footprint: float,
) -> list[Pixels]:
    """Colours all hits of one layer, by what they met."""
    group = np.searchsorted(scene.starts, hit.triangle, side="right") - 1
    whole, done = anatomy(), []
    on_body = group == 0
    part = np.where(on_body, whole.part[np.where(on_body, hit.triangle, 0)], -1)
    of = lambda *names: np.isin(part, [PARTS.index(n) for n in names])  # noqa: E731
    for which, paint in (
        (of("body"), lambda h: _skin_pixels(scene, h, person, look, footprint)),
        (of("tights"), lambda h: _cloth_pixels(scene, h, look, footprint)),
        (of("lashes"), lambda h: _lash_pixels(scene, h, person, footprint)),
        (group == 1, lambda h: _eye_pixels(scene, h, 0, person)),
        (group == 2, lambda h: _eye_pixels(scene, h, 1, person)),
        (group == 3, lambda h: _strand_pixels(scene, h, look, footprint)),
    ):
        if which.any():
            done.append(paint(_take(hit, which)))
    if cover is not None and (group == 4).any():
        tone = skin.skin_tone(person, look)
        done.append(_cover_pixels(scene, _take(hit, group == 4), cover, tone))
    inner = of("teeth", "tongue")
    if inner.any():
        done.append(_mouth_pixels(scene, _take(hit, inner), part[inner]))
    return done
