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


def landmark_points(who: IdentityScene, how: AttributeScene) -> Float[Array, "m 3"]:
    """Scene coordinates of the landmarks of one picture, in the order of ``LANDMARKS``.

    Points sit on the surface to within a few hundredths of the frame. Corners of the eye are where
    the lids meet, whether it is open or shut; the eye's centre is that of the gap of the open eye.
    """
    half = mouth_half_width(who, how)
    sine, cosine = jnp.sin(who.eye_tilt), jnp.cos(who.eye_tilt)
    eye = lambda across: (  # noqa: E731
        who.eye_x + cosine * across,
        EYE_Y + sine * across,
        EYE_Z + 0.13 - 0.9 * jnp.square(across),
    )
    brow = lambda along: (  # noqa: E731
        who.eye_x + 0.14 * along,
        who.brow_y + how.brow_raise + who.brow_slope * 0.14 * along - 0.035 * along**2,
        0.49 - 0.07 * (1.0 + along),
    )
    corner = mouth_curve(Point(half, jnp.zeros_like(half), jnp.zeros_like(half)), who, how)
    middle = mouth_curve(Point(0.0 * half, 0.0 * half, 0.0 * half), who, how)
    half_points = {
        "eye_centre": eye(0.0 * half),
        "eye_outer": eye(who.eye_width),
        "eye_inner": eye(-who.eye_width),
        "brow_inner": brow(-0.9),
        "brow_outer": brow(0.95),
        "mouth_corner": (half, corner[1], corner[2]),
    }
    drop = how.mouth_drop
    zero = 0.0 * half
    points = {
        "nose_tip": (zero, who.nose_y, who.nose_z - 0.02 + who.nose_tip_radius),
        "u_lip_top": (zero, middle[1] + 1.85 * who.upper_lip + 0.1 * drop, middle[2] - 0.02),
        "l_lip_bottom": (zero, middle[1] - 1.85 * who.lower_lip - 0.9 * drop, middle[2] - 0.03),
        "chin": (zero, who.chin_y - 0.8 * drop + 0.02, zero + 0.42),
    }
    for name, (x, y, z) in half_points.items():
        points[f"l_{name}"] = (-x, y, z)
        points[f"r_{name}"] = (x, y, z)
    ordered = [jnp.stack(jnp.broadcast_arrays(*points[name])) for name in LANDMARKS]
    return jnp.stack(to_scene(Point(*jnp.stack(ordered, axis=-1)), how.rotation), axis=-1)
