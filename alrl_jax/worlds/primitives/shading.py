"""What a hit looks like: material, parsing class, colour and light."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.worlds.primitives.head import (
    EYE_Y,
    EYE_Z,
    Distances,
    eyeball_radius,
    mouth_curve,
    to_head,
)
from alrl_jax.worlds.primitives.labels import LABEL
from alrl_jax.worlds.primitives.scene import AttributeScene, IdentityScene
from alrl_jax.worlds.primitives.solids import Point, Rays, mix, ramp, zigzag


class Colour(NamedTuple):
    """Linear red, green and blue."""

    red: Rays
    green: Rays
    blue: Rays


class Surface(NamedTuple):
    """What a ray hit, before light.

    Attributes:
        label: parsing class.
        albedo: diffuse colour.
        gloss: strength of the highlight.
        sharpness: exponent of the highlight.
    """

    label: Int[Array, "*m"]
    albedo: Colour
    gloss: Rays
    sharpness: Rays


def _constant(colour: Float[Array, "3"]) -> Colour:
    """One colour everywhere."""
    return Colour(colour[0], colour[1], colour[2])


def _blend(a: Colour, b: Colour, share: Rays) -> Colour:
    """``a`` where the share is 0, ``b`` where it is 1."""
    return Colour(*(mix(x, y, share) for x, y in zip(a, b, strict=True)))


def _times(colour: Colour, by: Rays) -> Colour:
    """Darker or lighter."""
    return Colour(*(channel * by for channel in colour))


def brow_cover(q: Point, person: IdentityScene, look: AttributeScene) -> Rays:
    """Share of the skin that brow hair covers; ``q`` in head coordinates with x >= 0."""
    along = (q.x - person.eye_x) / 0.14
    frown = jnp.minimum(look.brow_raise, 0.0)
    middle = person.brow_y + look.brow_raise + person.brow_slope * 0.14 * along
    middle = middle - 0.035 * along * along - 0.35 * frown * jnp.minimum(along, 0.0) * -1.0
    thickness = person.brow_thickness * (1.0 - 0.30 * along) * (1.15 - 0.35 * along * along)
    thickness = jnp.maximum(thickness, 0.004)
    edge = 1.0 - jnp.abs(q.y - middle) / thickness
    ends = jnp.minimum(ramp(along, -1.05, -0.80), ramp(along, 1.2, 0.7))
    return ramp(edge, 0.0, 0.45) * ends * ramp(q.z, 0.0, 0.1)


def beard_cover(q: Point, d: Distances, person: IdentityScene) -> Rays:
    """Share of the skin that the beard covers."""
    edge = -0.40 + 1.1 * jnp.maximum(q.x - 0.24, 0.0) + 0.09 * ramp(q.x, 0.22, 0.12)
    jaw = ramp(q.y, edge + 0.07, edge - 0.07) * ramp(q.z, -0.12, 0.0)
    lips = ramp(jnp.minimum(d.upper_lip, d.lower_lip), 0.006, 0.03)
    return jaw * lips * jnp.clip(1.6 * person.beard, 0.0, 1.0)


def _skin_label(q: Point, side: Rays, d: Distances, brow: Rays) -> Int[Array, "*m"]:
    """Which part of the skin a point belongs to."""
    left = side < 0.0
    # Each part covers those above: lips lie over the mouth, and the mouth over the neck.
    label = jnp.where(d.nose < d.face + 0.004, LABEL["nose"], LABEL["skin"])
    pair = jnp.where(left, LABEL["l_brow"], LABEL["r_brow"])
    label = jnp.where(brow > 0.5, pair, label)
    label = jnp.where(d.ear < d.face, jnp.where(left, LABEL["l_ear"], LABEL["r_ear"]), label)
    label = jnp.where(d.neck < jnp.minimum(d.face, d.ear), LABEL["neck"], label)
    in_mouth = (d.cavity < 0.012) & (q.z > 0.2)
    label = jnp.where(in_mouth, LABEL["mouth"], label)
    hollowed = jnp.maximum(jnp.minimum(d.face, d.nose), -d.cavity)
    on_lip = jnp.minimum(d.upper_lip, d.lower_lip) < hollowed - 0.001
    lip = jnp.where(d.upper_lip < d.lower_lip, LABEL["u_lip"], LABEL["l_lip"])
    return jnp.where(on_lip & (q.z > 0.2), lip, label)


def _skin_albedo(
    q: Point,
    d: Distances,
    label: Int[Array, "*m"],
    brow: Rays,
    person: IdentityScene,
    look: AttributeScene,
) -> Colour:
    """Skin with blush, lashes, lips, brows and beard."""
    skin, hair = _constant(look.skin), _constant(look.hair)
    cheek = jnp.exp(-28.0 * ((q.x - 0.27) ** 2 + (q.y + 0.17) ** 2))
    blush = Colour(skin.red, skin.green * 0.80, skin.blue * 0.84)
    on_nose = (label == LABEL["nose"]).astype(jnp.float32)
    colour = _blend(skin, blush, jnp.clip(cheek + 0.6 * on_nose, 0.0, 1.0))
    strands = 0.75 + 0.25 * jnp.sin(170.0 * q.x + 60.0 * q.y)
    # Never lighter than the skin: fair stubble would shine.
    beard = Colour(*(0.40 * jnp.minimum(h, s) for h, s in zip(hair, skin, strict=True)))
    colour = _blend(colour, _times(beard, strands), 0.92 * beard_cover(q, d, person))
    colour = _blend(colour, _times(hair, 0.40 * strands), 0.95 * brow)
    near_lid = ramp(d.lids, 0.012, 0.002)
    lash = near_lid * ramp(d.opening, 0.020, 0.006) * jnp.where(q.y > EYE_Y - 0.01, 1.0, 0.45)
    colour = _times(colour, 1.0 - 0.88 * lash)
    crease = (
        near_lid * ramp(jnp.abs(d.opening - 0.045), 0.014, 0.0) * ramp(q.y, EYE_Y, EYE_Y + 0.004)
    )
    colour = _times(colour, 1.0 - 0.35 * crease)
    is_lip = ((label == LABEL["u_lip"]) | (label == LABEL["l_lip"])).astype(jnp.float32)
    lips = Colour(*(s**0.8 * t for s, t in zip(skin, _constant(person.lip_tint), strict=True)))
    _, seam, _ = mouth_curve(q, person, look)
    line = ramp(jnp.abs(q.y - seam), 0.016, 0.002) * ramp(look.mouth_gap, 0.03, 0.0)
    colour = _blend(colour, _times(lips, 1.0 - 0.75 * line), is_lip)
    inside = (label == LABEL["mouth"]).astype(jnp.float32)
    depth = ramp(q.z, 0.35, 0.60)
    throat = Colour(0.02 + 0.15 * depth, 0.006 + 0.03 * depth, 0.006 + 0.03 * depth)
    return _blend(colour, throat, inside)


def _eye_albedo(q: Point, side: Rays, person: IdentityScene, look: AttributeScene) -> Colour:
    """White, iris and pupil, turned to the gaze."""
    radius = eyeball_radius(person)
    # Both eyes are modelled as the one at x > 0; they look the same way, so x turns back.
    x = (q.x - person.eye_x) * jnp.where(side < 0.0, -1.0, 1.0) / radius
    y, z = (q.y - EYE_Y) / radius, (q.z - (EYE_Z + 0.13 - radius)) / radius
    away = jnp.sqrt(
        (x - look.gaze[0]) ** 2 + (y - look.gaze[1]) ** 2 + (z - look.gaze[2]) ** 2 + 1e-9
    )
    # The product with 0 gives constants the shape of the rays.
    white = Colour(0.80 + 0.0 * away, 0.77 + 0.0 * away, 0.74 + 0.0 * away)
    iris_size = (0.026 + 0.27 * person.eye_width) / radius
    rim = ramp(away, 1.02 * iris_size, 0.80 * iris_size)
    iris = _times(_constant(person.iris_colour), 0.35 + 0.9 * rim)
    colour = _blend(white, iris, ramp(away, 1.08 * iris_size, 0.98 * iris_size))
    return _times(colour, ramp(away, 0.38 * iris_size, 0.46 * iris_size) * 0.98 + 0.02)


def _hair_albedo(q: Point, look: AttributeScene) -> Colour:
    """Strands that run down from the crown."""
    angle = jnp.arctan2(q.x, q.z + 0.25)
    wave = 0.6 * jnp.sin(7.0 * q.y) + 0.3 * jnp.sin(17.0 * q.y + 5.0 * angle)
    strand = zigzag(13.0 * angle + 0.4 * wave) + zigzag(29.0 * angle - 0.5 * wave)
    fine = zigzag(61.0 * angle + wave)
    return _times(_constant(look.hair), 0.95 + 0.14 * strand + 0.12 * fine)


def surface(p: Point, d: Distances, person: IdentityScene, look: AttributeScene) -> Surface:
    """Material of hit points (scene coordinates) with the distances there."""
    turned = to_head(p, look.rotation)
    # Heads are symmetric: one half is modelled, and the side is kept for labels and gaze.
    side, q = turned.x, Point(jnp.abs(turned.x), turned.y, turned.z)
    brow = brow_cover(q, person, look)
    label = _skin_label(q, side, d, brow)
    colour = _skin_albedo(q, d, label, brow, person, look)
    gloss, sharpness = jnp.full_like(q.x, 0.10), jnp.full_like(q.x, 12.0)
    is_lip = (label == LABEL["u_lip"]) | (label == LABEL["l_lip"])
    gloss = jnp.where(is_lip, 0.22, gloss)

    def lay(
        mask: Bool[Array, "*m"],
        number: Int[Array, "*m"] | int,
        albedo: Colour,
        shine: float,
        power: float,
    ) -> None:
        nonlocal label, colour, gloss, sharpness
        label = jnp.where(mask, number, label)
        colour = Colour(*(jnp.where(mask, a, c) for a, c in zip(albedo, colour, strict=True)))
        gloss, sharpness = jnp.where(mask, shine, gloss), jnp.where(mask, power, sharpness)

    # In this order: what is nearer to the hit than all before it lies on top.
    eye_label = jnp.where(side < 0.0, LABEL["l_eye"], LABEL["r_eye"])
    lay(d.eye < d.skin, eye_label, _eye_albedo(q, side, person, look), 0.9, 60.0)
    teeth = Colour(0.80 + 0.0 * q.x, 0.76 + 0.0 * q.x, 0.68 + 0.0 * q.x)
    lay(d.teeth < jnp.minimum(d.skin, d.eye), LABEL["mouth"], teeth, 0.2, 20.0)
    lay(d.hair < jnp.minimum(d.skin, d.eye), LABEL["hair"], _hair_albedo(q, look), 0.16, 10.0)
    rest = jnp.minimum(jnp.minimum(d.skin, d.eye), d.hair)
    lay(d.clothes < rest, LABEL["cloth"], _constant(look.clothes), 0.03, 8.0)
    return Surface(label, colour, gloss, sharpness)


def lit(
    hit: Surface, normal: Point, ray: Point, shadow: Rays, openness: Rays, look: AttributeScene
) -> Colour:
    """Light that leaves the surface: a key light with a highlight, and a soft fill from above.

    Args:
        hit: material.
        normal: unit normals.
        ray: unit vectors from the camera.
        shadow: share of the key light that arrives.
        openness: share of the fill light that arrives.
        look: light directions and colours.
    """
    light = look.light_direction
    facing = normal.x * light[0] + normal.y * light[1] + normal.z * light[2]
    half = Point(light[0] - ray.x, light[1] - ray.y, light[2] - ray.z)
    # Light from straight behind has no half vector: 0 / 0 without the last term.
    size = jnp.sqrt(half.x**2 + half.y**2 + half.z**2 + 1e-9)
    shine = (normal.x * half.x + normal.y * half.y + normal.z * half.z) / size
    # About cos to the power of twice the sharpness, without a power.
    shine = jnp.exp(hit.sharpness * (jnp.clip(shine, 0.0, 1.0) - 1.0) * 2.0) * hit.gloss * shadow
    # More from above and from the front: a room, not a sky.
    fill = (0.30 + 0.10 * normal.y + 0.06 * normal.z) * openness
    channels = []
    # Light wraps round the terminator, red furthest: so it does under skin.
    for channel, (albedo, softness) in enumerate(zip(hit.albedo, (0.22, 0.10, 0.06), strict=True)):
        diffuse = jnp.clip((facing + softness) / (1.0 + softness), 0.0, 1.0) * shadow
        key, ambient = look.light_colour[channel], look.fill_colour[channel]
        # Highlights have the light's own colour, as they never entered the material.
        channels.append(albedo * (1.0 * key * diffuse + ambient * fill) + 0.5 * key * shine)
    return Colour(*channels)


def backdrop(u: Rays, v: Rays, look: AttributeScene) -> Colour:
    """Background at frame coordinates in [-1, 1]: a colour, a gradient and a soft glow."""
    light = 1.0 + 0.55 * look.background_gradient * u + 0.20 * v - 0.12 * (u * u + v * v)
    return _times(_constant(look.background), light)


def to_srgb(colour: Colour) -> Colour:
    """Linear light as sRGB-like values in [0, 1], softly compressed at the bright end."""
    channels = [jnp.clip(c, 0.0, 8.0) for c in colour]
    # Continuous in value and slope at 0.6: highlights fade out instead of being cut.
    channels = [jnp.where(c > 0.6, 0.6 + 0.4 * jnp.tanh((c - 0.6) / 0.4), c) for c in channels]
    return Colour(*((c + 1e-6) ** (1.0 / 2.2) for c in channels))
