"""From factors to scene parameters, of the person and of the look.

Two structs, two functions, no path from one to the other: identity parameters are made of
``Identities`` alone and attribute parameters of ``Attributes`` alone. They meet only in ``head``
(in the distance field) and ``shading``. Lengths are in scene units: half the width of the frame at
the depth of the eyes, so that the average head is about 1.1 wide in an image from -1 to 1.
"""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.worlds.primitives.sampling import Attributes, Identities


@flax.struct.dataclass
class IdentityScene:
    """Bones and features of people (scene units, radians, linear colours)."""

    face_width: Float[Array, "*n"]
    chin_y: Float[Array, "*n"]
    jaw_x: Float[Array, "*n"]
    chin_x: Float[Array, "*n"]
    cheekbone_radius: Float[Array, "*n"]
    cheek_radius: Float[Array, "*n"]
    hairline_y: Float[Array, "*n"]
    eye_x: Float[Array, "*n"]
    eye_width: Float[Array, "*n"]
    eye_height: Float[Array, "*n"]
    eye_tilt: Float[Array, "*n"]
    iris_colour: Float[Array, "*n 3"]
    brow_y: Float[Array, "*n"]
    brow_thickness: Float[Array, "*n"]
    brow_slope: Float[Array, "*n"]
    nose_y: Float[Array, "*n"]
    nose_z: Float[Array, "*n"]
    nose_x: Float[Array, "*n"]
    nose_tip_radius: Float[Array, "*n"]
    nose_bridge_z: Float[Array, "*n"]
    mouth_x: Float[Array, "*n"]
    upper_lip: Float[Array, "*n"]
    lower_lip: Float[Array, "*n"]
    lip_tint: Float[Array, "*n 3"]
    ear_scale: Float[Array, "*n"]
    beard: Float[Array, "*n"]


@flax.struct.dataclass
class AttributeScene:
    """Pose, expression, light and colours of the moment (scene units, radians, linear colours)."""

    rotation: Float[Array, "*n 3 3"]
    smile: Float[Array, "*n"]
    mouth_drop: Float[Array, "*n"]
    mouth_gap: Float[Array, "*n"]
    blink: Float[Array, "*n"]
    brow_raise: Float[Array, "*n"]
    gaze: Float[Array, "*n 3"]
    skin: Float[Array, "*n 3"]
    light_direction: Float[Array, "*n 3"]
    light_colour: Float[Array, "*n 3"]
    fill_colour: Float[Array, "*n 3"]
    hair: Float[Array, "*n 3"]
    hair_length: Float[Array, "*n"]
    hair_fringe: Float[Array, "*n"]
    hair_parting: Float[Array, "*n"]
    background: Float[Array, "*n 3"]
    background_gradient: Float[Array, "*n"]
    clothes: Float[Array, "*n 3"]


@flax.struct.dataclass
class FaceScene:
    """All parameters of an image, of the person and of the look."""

    identity: IdentityScene
    attributes: AttributeScene


def _colour_ramp(
    position: Float[Array, "*n"], stops: tuple[tuple[float, float, float], ...]
) -> Float[Array, "*n 3"]:
    """Colours at equally spaced stops, linear between them."""
    places = jnp.linspace(0.0, 1.0, len(stops))
    table = jnp.asarray(stops, dtype=jnp.float32)
    channels = [jnp.interp(position, places, table[:, channel]) for channel in range(3)]
    return jnp.stack(channels, axis=-1)


_IRIS = (
    (0.16, 0.06, 0.015),
    (0.22, 0.16, 0.03),
    (0.07, 0.22, 0.08),
    (0.06, 0.20, 0.32),
    (0.05, 0.16, 0.55),
)
_SKIN = (
    (0.86, 0.64, 0.54),
    (0.74, 0.48, 0.36),
    (0.52, 0.30, 0.19),
    (0.28, 0.135, 0.075),
    (0.13, 0.058, 0.034),
    (0.065, 0.030, 0.020),
)
_GREY_HAIR = ((0.010, 0.009, 0.009), (0.035, 0.026, 0.020), (0.14, 0.12, 0.10), (0.60, 0.56, 0.50))
_RED_HAIR = ((0.014, 0.007, 0.005), (0.09, 0.030, 0.012), (0.30, 0.10, 0.03), (0.72, 0.42, 0.13))


def identity_scene(identities: Identities) -> IdentityScene:
    """Scene parameters that belong to the person; a function of nothing else."""
    person = identities
    eye_width = 0.120 * person.eye_size
    redness = person.lip_redness[..., None]
    red = jnp.asarray((0.95, 0.20, 0.22), dtype=jnp.float32)
    natural = jnp.asarray((0.92, 0.66, 0.62), dtype=jnp.float32)
    lip_tint = (natural + (red - natural) * redness) * (
        1.15 - 0.85 * person.lip_darkness[..., None]
    )
    return IdentityScene(
        face_width=person.face_width,
        chin_y=-0.44 - 0.42 * person.face_length**1.5,
        jaw_x=0.35 * person.jaw_width,
        chin_x=0.075 * person.chin_width,
        cheekbone_radius=0.10 + 0.055 * person.cheekbones,
        cheek_radius=0.19 * person.cheek_fullness,
        hairline_y=0.12 + 0.46 * person.forehead_height,
        eye_x=0.245 * person.eye_spacing,
        eye_width=eye_width,
        eye_height=0.54 * eye_width * person.eye_openness,
        eye_tilt=jnp.deg2rad(person.eye_tilt),
        iris_colour=_colour_ramp(person.iris_hue, _IRIS) * person.iris_brightness[..., None],
        brow_y=0.06 + 0.185 * person.brow_height,
        brow_thickness=0.034 * person.brow_thickness,
        brow_slope=jnp.tan(jnp.deg2rad(person.brow_tilt)),
        nose_y=0.08 - 0.27 * person.nose_length,
        nose_z=0.60 + 0.10 * person.nose_tip,
        nose_x=0.072 * person.nose_width,
        nose_tip_radius=0.066 * person.nose_tip,
        nose_bridge_z=0.40 + 0.08 * person.nose_bridge,
        mouth_x=0.195 * person.mouth_width,
        upper_lip=0.037 * person.upper_lip,
        lower_lip=0.045 * person.lower_lip,
        lip_tint=lip_tint,
        ear_scale=person.ear_size,
        beard=person.beard,
    )


def rotation_matrix(
    yaw: Float[Array, "*n"], pitch: Float[Array, "*n"], roll: Float[Array, "*n"]
) -> Float[Array, "*n 3 3"]:
    """Head to scene rotation, roll after yaw after pitch.

    Args:
        yaw: radians; positive turns the face to the viewer's right.
        pitch: radians; positive lifts the face.
        roll: radians; positive leans the head clockwise, as the viewer sees it.
    """
    (sy, cy), (sp, cp), (sr, cr) = (
        (jnp.sin(angle), jnp.cos(angle)) for angle in (yaw, pitch, -roll)
    )
    rows = (
        (cr * cy, -cr * sy * sp - sr * cp, cr * sy * cp - sr * sp),
        (sr * cy, -sr * sy * sp + cr * cp, sr * sy * cp + cr * sp),
        (-sy, -cy * sp, cy * cp),
    )
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _direction(yaw: Float[Array, "*n"], pitch: Float[Array, "*n"]) -> Float[Array, "*n 3"]:
    """Unit vector to the camera, turned by yaw (to the viewer's right) and pitch (up); radians."""
    return jnp.stack(
        [jnp.sin(yaw) * jnp.cos(pitch), jnp.sin(pitch), jnp.cos(yaw) * jnp.cos(pitch)], axis=-1
    )


def _scale(colour: tuple[float, float, float], by: Float[Array, "*n"]) -> Float[Array, "*n 3"]:
    """``1 + by * colour``, channel by channel: a tint."""
    return 1.0 + by[..., None] * jnp.asarray(colour, dtype=jnp.float32)


def attribute_scene(attributes: Attributes) -> AttributeScene:
    """Scene parameters that belong to the moment; a function of nothing else."""
    look = attributes
    warm = _scale((0.16, 0.0, -0.24), look.light_warmth)
    skin = _colour_ramp(look.skin_melanin, _SKIN) * _scale((0.10, -0.15, -0.12), look.skin_redness)
    grey, red = (
        _colour_ramp(look.hair_lightness, _GREY_HAIR),
        _colour_ramp(look.hair_lightness, _RED_HAIR),
    )
    return AttributeScene(
        rotation=rotation_matrix(*(jnp.deg2rad(a) for a in (look.yaw, look.pitch, look.roll))),
        smile=look.smile,
        mouth_drop=0.17 * look.mouth_open,
        mouth_gap=0.17 * look.mouth_open + 0.075 * jnp.clip(look.smile - 0.25, 0.0, 1.0),
        blink=look.blink,
        brow_raise=0.075 * look.brow_raise,
        gaze=_direction(jnp.deg2rad(look.gaze_yaw), jnp.deg2rad(look.gaze_pitch)),
        skin=skin,
        light_direction=_direction(
            jnp.deg2rad(look.light_azimuth), jnp.deg2rad(look.light_elevation)
        ),
        light_colour=warm * look.light_intensity[..., None],
        fill_colour=_scale((-0.06, 0.0, 0.10), look.light_warmth),
        hair=grey + (red - grey) * look.hair_redness[..., None],
        hair_length=look.hair_length,
        hair_fringe=look.hair_fringe,
        hair_parting=look.hair_parting,
        background=look.background**2.2,
        background_gradient=look.background_gradient,
        clothes=look.clothes**2.2,
    )


def face_scene(identities: Identities, attributes: Attributes) -> FaceScene:
    """Scene parameters of people under circumstances, each part made of its own struct alone."""
    return FaceScene(identity_scene(identities), attribute_scene(attributes))
