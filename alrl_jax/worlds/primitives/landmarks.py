"""Where the landmarks of a face are, in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.worlds.primitives.head import (
    EYE_Y,
    EYE_Z,
    Point,
    mouth_curve,
    mouth_half_width,
    to_scene,
)
from alrl_jax.worlds.primitives.labels import LANDMARKS
from alrl_jax.worlds.primitives.scene import AttributeScene, IdentityScene


def landmark_points(person: IdentityScene, look: AttributeScene) -> Float[Array, "m 3"]:
    """Scene coordinates of the landmarks of one image, in the order of ``LANDMARKS``.

    Points sit on the surface to within a few hundredths of the frame. Corners of the eye are where
    the lids meet, whether it is open or shut; the eye's centre is that of the gap of the open eye.
    """
    half = mouth_half_width(person, look)
    sine, cosine = jnp.sin(person.eye_tilt), jnp.cos(person.eye_tilt)
    eye = lambda across: (  # noqa: E731
        person.eye_x + cosine * across,
        EYE_Y + sine * across,
        EYE_Z + 0.13 - 0.9 * jnp.square(across),
    )
    brow = lambda along: (  # noqa: E731
        person.eye_x + 0.14 * along,
        person.brow_y + look.brow_raise + person.brow_slope * 0.14 * along - 0.035 * along**2,
        0.49 - 0.07 * (1.0 + along),
    )
    corner = mouth_curve(Point(half, jnp.zeros_like(half), jnp.zeros_like(half)), person, look)
    middle = mouth_curve(Point(0.0 * half, 0.0 * half, 0.0 * half), person, look)
    half_points = {
        "eye_centre": eye(0.0 * half),
        "eye_outer": eye(person.eye_width),
        "eye_inner": eye(-person.eye_width),
        "brow_inner": brow(-0.9),
        "brow_outer": brow(0.95),
        "mouth_corner": (half, corner[1], corner[2]),
    }
    drop = look.mouth_drop
    zero = 0.0 * half
    points = {
        "nose_tip": (zero, person.nose_y, person.nose_z - 0.02 + person.nose_tip_radius),
        "u_lip_top": (zero, middle[1] + 1.85 * person.upper_lip + 0.1 * drop, middle[2] - 0.02),
        "l_lip_bottom": (zero, middle[1] - 1.85 * person.lower_lip - 0.9 * drop, middle[2] - 0.03),
        "chin": (zero, person.chin_y - 0.8 * drop + 0.02, zero + 0.42),
    }
    for name, (x, y, z) in half_points.items():
        points[f"l_{name}"] = (-x, y, z)
        points[f"r_{name}"] = (x, y, z)
    ordered = [jnp.stack(jnp.broadcast_arrays(*points[name])) for name in LANDMARKS]
    return jnp.stack(to_scene(Point(*jnp.stack(ordered, axis=-1)), look.rotation), axis=-1)
