"""The head as a signed-distance field: about thirty solids, smoothly joined.

Coordinates are the head's own: x to the viewer's right, y up, z out of the face, in scene units,
with the eyes of the average face near (+-0.245, 0.06, 0.5). The head is symmetric, so every solid
is given for x >= 0 and evaluated at |x|. Neck and clothes stand in the scene and do not turn.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.worlds.primitives.scene import AttributeScene, IdentityScene
from alrl_jax.worlds.primitives.solids import (
    Point,
    Rays,
    Scalar,
    Spot,
    capsule,
    carve,
    ellipsoid,
    intersection,
    length,
    sphere,
    torus,
    union,
    zigzag,
)

PIVOT = Spot(0.0, -0.10, 0.12)
"""What the head turns about: far enough in front of the spine that the face stays in the frame."""

EYE_Y = 0.06
EYE_Z = 0.36
"""Height and depth of the eyeballs' centres."""

MOUTH_Y = -0.44
"""Height of the closed mouth."""


class Distances(NamedTuple):
    """Signed distances to what a ray can hit, and to the parts that have labels of their own.

    Attributes:
        scene: the nearest of all.
        skin: head, ears and neck with all features.
        face: the head before nose, lips and ears are joined to it.
        nose: bridge, tip and wings.
        upper_lip: upper lip.
        lower_lip: lower lip.
        cavity: the hollow of the open mouth (negative inside).
        teeth: upper row.
        lids: the skin over the eyeballs.
        opening: the gap between the lids, across the eye (negative inside).
        eye: eyeballs.
        ear: ears.
        neck: neck.
        hair: all hair.
        clothes: shoulders and collar.
    """

    scene: Rays
    skin: Rays
    face: Rays
    nose: Rays
    upper_lip: Rays
    lower_lip: Rays
    cavity: Rays
    teeth: Rays
    lids: Rays
    opening: Rays
    eye: Rays
    ear: Rays
    neck: Rays
    hair: Rays
    clothes: Rays


def to_head(p: Point, rotation: Float[Array, "3 3"]) -> Point:
    """Scene point in head coordinates."""
    x, y, z = p.x - PIVOT.x, p.y - PIVOT.y, p.z - PIVOT.z
    r = rotation
    return Point(
        r[0, 0] * x + r[1, 0] * y + r[2, 0] * z + PIVOT.x,
        r[0, 1] * x + r[1, 1] * y + r[2, 1] * z + PIVOT.y,
        r[0, 2] * x + r[1, 2] * y + r[2, 2] * z + PIVOT.z,
    )


def to_scene(p: Point, rotation: Float[Array, "3 3"]) -> Point:
    """Head point in scene coordinates."""
    x, y, z = p.x - PIVOT.x, p.y - PIVOT.y, p.z - PIVOT.z
    r = rotation
    return Point(
        r[0, 0] * x + r[0, 1] * y + r[0, 2] * z + PIVOT.x,
        r[1, 0] * x + r[1, 1] * y + r[1, 2] * z + PIVOT.y,
        r[2, 0] * x + r[2, 1] * y + r[2, 2] * z + PIVOT.z,
    )


def mouth_half_width(person: IdentityScene, look: AttributeScene) -> Float[Array, ""]:
    """Half the width of the mouth; smiling widens it, opening narrows it."""
    return person.mouth_x * (1.0 + 0.22 * look.smile - 0.9 * look.mouth_drop)


def mouth_curve(q: Point, person: IdentityScene, look: AttributeScene) -> tuple[Rays, Rays, Rays]:
    """The line where the lips meet: share of the way to the corner, its height and its depth."""
    half = mouth_half_width(person, look)
    x = jnp.minimum(q.x, half)
    square = (x * x) * (1.0 / (half * half))
    y = MOUTH_Y + (0.11 * look.smile + 0.012) * square - 0.015 * look.smile
    z = 0.592 - 2.2 * x * x
    return square, y, z


def _skull(q: Point, person: IdentityScene, look: AttributeScene) -> Rays:
    """Skull, jaw, cheeks, chin and brow ridge."""
    wide, drop = person.face_width, look.mouth_drop
    chin_y = person.chin_y - 0.8 * drop
    d = ellipsoid(q, Spot(0.0, 0.30, -0.15), Spot(0.59 * wide, 0.66, 0.69))
    d = union(d, ellipsoid(q, Spot(0.0, -0.12, 0.04), Spot(0.53 * wide, 0.58, 0.50)), 0.15)
    jaw_start, jaw_end = Spot(0.04, chin_y + 0.17, 0.30), Spot(person.jaw_x, -0.44, -0.02)
    d = union(d, capsule(q, jaw_start, jaw_end, 0.15), 0.14)
    chin_z = 0.37
    chin = capsule(
        q,
        Spot(0.0, chin_y + 0.12, chin_z),
        Spot(person.chin_x, chin_y + 0.12, chin_z - 0.2 * person.chin_x),
        0.115,
    )
    d = union(d, chin, 0.12)
    smile_up = 0.05 * look.smile
    d = union(d, sphere(q, Spot(0.32 * wide, -0.10, 0.28), person.cheekbone_radius), 0.16)
    cheek = Spot(0.25 * wide, -0.33 + smile_up, 0.27 + 0.4 * smile_up)
    d = union(d, sphere(q, cheek, person.cheek_radius), 0.12)
    d = union(d, ellipsoid(q, Spot(0.0, -0.44, 0.40), Spot(0.25, 0.20, 0.165)), 0.10)
    ridge_y = person.brow_y + 0.5 * look.brow_raise - 0.03
    ridge = capsule(q, Spot(0.07, ridge_y, 0.44), Spot(0.33, ridge_y, 0.33), 0.075)
    return union(d, ridge, 0.10)


def _nose(q: Point, person: IdentityScene) -> tuple[Rays, Rays]:
    """Nose (bridge, tip, wings) and nostrils."""
    y, z = person.nose_y, person.nose_z
    bridge_end = Spot(0.0, y + 0.04, z - 0.035)
    bridge = capsule(
        q, Spot(0.0, 0.12, person.nose_bridge_z), bridge_end, 0.35 * person.nose_x + 0.02
    )
    tip = sphere(q, Spot(0.0, y, z - 0.02), person.nose_tip_radius)
    wings = sphere(q, Spot(person.nose_x, y - 0.012, z - 0.115), 0.35 * person.nose_x + 0.032)
    nose = union(union(bridge, tip, 0.06), wings, 0.05)
    nostrils = sphere(
        q, Spot(0.62 * person.nose_x, y - 0.062, z - 0.065), 0.022 + 0.10 * person.nose_x
    )
    return nose, nostrils


def _lips(q: Point, person: IdentityScene, look: AttributeScene) -> tuple[Rays, Rays, Rays]:
    """Upper lip, lower lip and the hollow between them."""
    half, open_by = mouth_half_width(person, look), look.mouth_gap
    square, y, z = mouth_curve(q, person, look)
    taper = jnp.sqrt(1.0 - square + 0.004)
    beyond = jnp.maximum(q.x - half, 0.0)
    gap = open_by * (1.0 - square)
    up, low = person.upper_lip * taper, person.lower_lip * taper
    z = q.z - z + 0.03 + 0.025 * square * square * square
    upper = length(beyond, q.y - (y + 0.85 * up + 0.10 * gap), z) - up
    lower = length(beyond, q.y - (y - 0.85 * low - 0.90 * gap), z + 0.005) - low
    hollow = Point(q.x, q.y - y + 0.42 * open_by, q.z)
    radii = Spot(jnp.minimum(0.92, 0.64 + 4.0 * open_by) * half, 0.008 + 0.56 * open_by, 0.20)
    return upper, lower, ellipsoid(hollow, Spot(0.0, 0.0, 0.55), radii)


def eye_frame(q: Point, person: IdentityScene) -> tuple[Rays, Rays]:
    """Place across (outwards) and along (upwards) the eye, turned with its tilt."""
    x, y = q.x - person.eye_x, q.y - EYE_Y
    sine, cosine = jnp.sin(person.eye_tilt), jnp.cos(person.eye_tilt)
    return cosine * x + sine * y, cosine * y - sine * x


def eyeball_radius(person: IdentityScene) -> Scalar:
    """Radius of the eyeball."""
    return 0.050 + 0.72 * person.eye_width


def _eyes(q: Point, person: IdentityScene, look: AttributeScene) -> tuple[Rays, Rays, Rays]:
    """Eyeballs, lids, and the gap between the lids."""
    radius = eyeball_radius(person)
    ball = sphere(q, Spot(person.eye_x, EYE_Y, EYE_Z + 0.13 - radius), radius)
    across, along = eye_frame(q, person)
    share = across / person.eye_width
    bow = 1.0 - share * share
    smile_up = 0.25 * jnp.maximum(look.smile, 0.0)
    low = -0.62 * person.eye_height * (1.0 - smile_up)
    high = 1.12 * person.eye_height * (1.0 + 1.5 * look.brow_raise)
    lid = high + (0.9 * low - high) * look.blink
    opening = jnp.maximum(along - lid * bow, low * bow - along)
    shell = jnp.maximum(ball - 0.016, -0.8 * opening)
    return ball, shell, opening


def _ear(q: Point, person: IdentityScene) -> Rays:
    """Ears with a hollow."""
    scale, x = person.ear_scale, 0.585 * person.face_width + 0.02 * person.ear_scale
    radii = Spot(0.050 * scale, 0.155 * scale, 0.095 * scale)
    tilted = Point(q.x + 0.5 * (q.z + 0.05), q.y, q.z)
    ear = ellipsoid(tilted, Spot(x, 0.0, -0.06), radii)
    return carve(ear, sphere(q, Spot(x + 0.06, 0.0, 0.02), 0.07 * scale), 0.03)


def _hair(q: Point, person: IdentityScene, look: AttributeScene, side: Rays) -> Rays:
    """Cap, fringe and the hair that falls beside and behind the face."""
    wide = person.face_width
    ruffle = 0.012 * zigzag(6.1 * q.x + 1.4 * q.z) + 0.008 * zigzag(13.7 * q.x - 2.2 * q.y)
    volume = 0.032 + 0.07 * look.hair_length
    cap = ellipsoid(
        q,
        Spot(0.0, 0.31, -0.17),
        Spot(0.59 * wide + volume, 0.66 + volume, 0.69 + 0.6 * volume),
    )
    slope = 0.70 * (q.y - person.hairline_y + 0.35 * q.x * q.x) - 0.71 * (q.z - 0.47)
    d = intersection(cap, 0.35 * ruffle - slope, 0.06)
    lowest = person.hairline_y + 0.12 - 0.46 * look.hair_fringe
    fringe = ellipsoid(q, Spot(0.0, 0.30, -0.13), Spot(0.59 * wide + 0.03, 0.69, 0.735))
    sweep = 0.45 * look.hair_parting * side - 0.35 * q.x * q.x
    fringe = intersection(fringe, lowest - q.y + ruffle + sweep, 0.03)
    fringe = jnp.maximum(fringe, 0.05 - q.z)
    d = union(d, fringe, 0.05)
    bottom = 0.10 - 1.15 * look.hair_length
    across = q.x * (1.0 / (0.62 * wide + 0.10 * look.hair_length))
    curtain = length(across, 0.0 * across, (q.z + 0.24) * (1.0 / 0.46)) - 1.0
    curtain = intersection(0.40 * curtain, bottom - q.y + 2.0 * ruffle, 0.10)
    curtain = intersection(curtain, q.y - 0.45, 0.2)
    return union(d, curtain, 0.10)


def distances(p: Point, person: IdentityScene, look: AttributeScene) -> Distances:
    """Signed distances of scene points of one image (struct fields without batch axis)."""
    turned = to_head(p, look.rotation)
    q = Point(jnp.abs(turned.x), turned.y, turned.z)
    skull = _skull(q, person, look)
    socket = Spot(person.eye_x - 0.01, EYE_Y + 0.005, 0.56)
    skull = carve(skull, sphere(q, socket, 0.055 + 0.75 * person.eye_width), 0.10)
    nose, nostrils = _nose(q, person)
    upper, lower, cavity = _lips(q, person, look)
    eye, lids, opening = _eyes(q, person, look)
    ear = _ear(q, person)
    neck = capsule(p, Spot(0.0, -0.50, -0.22), Spot(0.0, -1.3, -0.30), 0.32)
    face = union(skull, lids, 0.04)
    skin = carve(union(face, nose, 0.06), nostrils, 0.025)
    skin = carve(skin, cavity, 0.02)
    skin = union(union(skin, upper, 0.016), lower, 0.022)
    skin = union(union(skin, ear, 0.03), neck, 0.06)
    teeth = ellipsoid(
        Point(q.x, q.y - 1.6 * look.smile * q.x * q.x, q.z),
        Spot(0.0, MOUTH_Y + 0.002, 0.42),
        Spot(0.17, 0.048, 0.130),
    )
    hair = _hair(q, person, look, turned.x)
    torso = ellipsoid(p, Spot(0.0, -1.47, -0.30), Spot(1.25, 0.62, 0.50))
    collar = torus(p, Spot(0.0, -1.02, -0.26), 0.35, 0.075)
    clothes = union(torso, collar, 0.08)
    solid = jnp.minimum(jnp.minimum(skin, eye), jnp.minimum(hair, clothes))
    scene = jnp.minimum(solid, teeth)
    return Distances(
        scene,
        skin,
        skull,
        nose,
        upper,
        lower,
        cavity,
        teeth,
        lids,
        opening,
        eye,
        ear,
        neck,
        hair,
        clothes,
    )
