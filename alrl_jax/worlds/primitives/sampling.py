"""Identities and attributes: the factors of a face and the law they are drawn from.

An identity is what a swap moves (bones, eyes, lips); an attribute is what stays with the target
(pose, expression, skin tone, light, hair, background). Every factor is an entry of a table: its
range in physical units and the law of its draw, whose mean and deviation are known in closed form,
so that the vectors below are standardised exactly.
"""

import math
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from alrl_jax.errors import UserError

SPLITS = {"train": 0, "development": 1, "test": 2, "judge": 3, "judge_test": 4}
"""Parts of the key space. People and attributes of one part never occur in another: the number is
folded into the key before anything is drawn."""

_IDENTITY_STREAM = 0
_ATTRIBUTE_STREAM = 1


class Factor(NamedTuple):
    """The law of one factor.

    Attributes:
        low: least value.
        high: greatest value.
        law: "uniform"; "bell" (mean of two uniforms, so the middle is likeliest); "rare" (cube of
            a uniform, so that most draws lie near ``low``).
        unit: what the value is measured in.
    """

    low: float
    high: float
    law: str
    unit: str


_AVERAGE = "times the average"

IDENTITY_TABLE = {
    "face_width": Factor(0.86, 1.16, "uniform", _AVERAGE),
    "face_length": Factor(0.84, 1.10, "uniform", _AVERAGE),
    "jaw_width": Factor(0.60, 1.30, "uniform", _AVERAGE),
    "chin_width": Factor(0.40, 1.70, "uniform", _AVERAGE),
    "cheekbones": Factor(0.0, 2.0, "uniform", _AVERAGE),
    "cheek_fullness": Factor(0.75, 1.25, "uniform", _AVERAGE),
    "forehead_height": Factor(0.75, 1.25, "uniform", _AVERAGE),
    "eye_size": Factor(0.70, 1.35, "uniform", _AVERAGE),
    "eye_spacing": Factor(0.84, 1.18, "uniform", _AVERAGE),
    "eye_tilt": Factor(-12.0, 14.0, "uniform", "degrees, outer corner up"),
    "eye_openness": Factor(0.60, 1.45, "uniform", _AVERAGE),
    "iris_hue": Factor(0.0, 1.0, "uniform", "brown 0, green 0.5, blue 1"),
    "iris_brightness": Factor(0.5, 1.6, "uniform", _AVERAGE),
    "brow_thickness": Factor(0.35, 2.0, "uniform", _AVERAGE),
    "brow_height": Factor(0.70, 1.35, "uniform", _AVERAGE),
    "brow_tilt": Factor(-16.0, 20.0, "uniform", "degrees, outer end up"),
    "nose_length": Factor(0.70, 1.25, "uniform", _AVERAGE),
    "nose_width": Factor(0.65, 1.60, "uniform", _AVERAGE),
    "nose_tip": Factor(0.65, 1.45, "uniform", _AVERAGE),
    "nose_bridge": Factor(0.4, 1.6, "uniform", _AVERAGE),
    "mouth_width": Factor(0.70, 1.35, "uniform", _AVERAGE),
    "upper_lip": Factor(0.4, 1.8, "uniform", _AVERAGE),
    "lower_lip": Factor(0.5, 1.8, "uniform", _AVERAGE),
    "lip_redness": Factor(0.0, 1.0, "uniform", "as the skin 0, red 1"),
    "lip_darkness": Factor(0.0, 1.0, "uniform", "light 0, dark 1"),
    "ear_size": Factor(0.65, 1.40, "uniform", _AVERAGE),
    "beard": Factor(0.0, 1.0, "rare", "clean 0, full 1"),
}
"""Law of every identity factor; the average face fits the frame of FFHQ."""

_CHANNELS = ("red", "green", "blue")

ATTRIBUTE_TABLE = {
    "yaw": Factor(-45.0, 45.0, "bell", "degrees, to the viewer's right"),
    "pitch": Factor(-22.0, 22.0, "bell", "degrees, up"),
    "roll": Factor(-16.0, 16.0, "bell", "degrees, clockwise"),
    "smile": Factor(-0.5, 1.0, "uniform", "sad below 0, broad 1"),
    "mouth_open": Factor(0.0, 1.0, "rare", "closed 0, wide 1"),
    "blink": Factor(0.0, 1.0, "rare", "open 0, closed 1"),
    "brow_raise": Factor(-1.0, 1.0, "uniform", "frown -1, surprise 1"),
    "gaze_yaw": Factor(-28.0, 28.0, "bell", "degrees from the head's, to the viewer's right"),
    "gaze_pitch": Factor(-16.0, 16.0, "bell", "degrees from the head's, up"),
    "skin_melanin": Factor(0.0, 1.0, "uniform", "very light 0, very dark 1"),
    "skin_redness": Factor(-1.0, 1.0, "uniform", "sallow -1, rosy 1"),
    "light_azimuth": Factor(-75.0, 75.0, "uniform", "degrees, from the viewer's right"),
    "light_elevation": Factor(-5.0, 60.0, "uniform", "degrees, from above"),
    "light_intensity": Factor(0.6, 1.3, "uniform", _AVERAGE),
    "light_warmth": Factor(-1.0, 1.0, "uniform", "cold -1, warm 1"),
    "hair_lightness": Factor(0.0, 1.0, "uniform", "black 0, blond or white 1"),
    "hair_redness": Factor(0.0, 1.0, "uniform", "grey 0, red 1"),
    "hair_length": Factor(0.0, 1.0, "uniform", "cropped 0, over the shoulders 1"),
    "hair_fringe": Factor(0.0, 1.0, "uniform", "none 0, down to the brows 1"),
    "hair_parting": Factor(-1.0, 1.0, "uniform", "fringe swept to the viewer's right"),
    "background_gradient": Factor(-1.0, 1.0, "uniform", "brighter at the viewer's right"),
    "background": Factor(0.05, 0.95, "uniform", "sRGB share"),
    "clothes": Factor(0.05, 0.95, "uniform", "sRGB share"),
}
"""Law of every attribute; ``background`` and ``clothes`` are colours, drawn channel by channel."""

_COLOURS = ("background", "clothes")


def _columns(table: dict[str, Factor]) -> tuple[str, ...]:
    """Names of the columns of a factor vector: a colour gives three."""
    return tuple(
        column
        for name in table
        for column in ([f"{name}_{c}" for c in _CHANNELS] if name in _COLOURS else [name])
    )


IDENTITY_FACTORS = _columns(IDENTITY_TABLE)
"""Names of the columns of ``identity_vector``."""

ATTRIBUTE_FACTORS = _columns(ATTRIBUTE_TABLE)
"""Names of the columns of ``attribute_vector``."""

ATTRIBUTE_GROUPS = {
    "pose": ("yaw", "pitch", "roll"),
    "expression": ("smile", "mouth_open", "blink", "brow_raise"),
    "gaze": ("gaze_yaw", "gaze_pitch"),
    "skin": ("skin_melanin", "skin_redness"),
    "light": ("light_azimuth", "light_elevation", "light_intensity", "light_warmth"),
    "hair": ("hair_lightness", "hair_redness", "hair_length", "hair_fringe", "hair_parting"),
    "background": (
        "background_gradient",
        *(f"{name}_{channel}" for name in _COLOURS for channel in _CHANNELS),
    ),
}
"""Attribute factors by what they are about; together all of ``ATTRIBUTE_FACTORS``."""

_MIRRORED = ("yaw", "roll", "gaze_yaw", "light_azimuth", "hair_parting", "background_gradient")

ATTRIBUTE_MIRROR_SIGNS = tuple(-1.0 if name in _MIRRORED else 1.0 for name in ATTRIBUTE_FACTORS)
"""Factors by which ``attribute_vector`` changes in a mirrored image (faces are symmetric)."""


@flax.struct.dataclass
class Identities:
    """People, one entry each; a field for every factor of ``IDENTITY_TABLE`` (units there)."""

    face_width: Float[Array, "*n"]
    face_length: Float[Array, "*n"]
    jaw_width: Float[Array, "*n"]
    chin_width: Float[Array, "*n"]
    cheekbones: Float[Array, "*n"]
    cheek_fullness: Float[Array, "*n"]
    forehead_height: Float[Array, "*n"]
    eye_size: Float[Array, "*n"]
    eye_spacing: Float[Array, "*n"]
    eye_tilt: Float[Array, "*n"]
    eye_openness: Float[Array, "*n"]
    iris_hue: Float[Array, "*n"]
    iris_brightness: Float[Array, "*n"]
    brow_thickness: Float[Array, "*n"]
    brow_height: Float[Array, "*n"]
    brow_tilt: Float[Array, "*n"]
    nose_length: Float[Array, "*n"]
    nose_width: Float[Array, "*n"]
    nose_tip: Float[Array, "*n"]
    nose_bridge: Float[Array, "*n"]
    mouth_width: Float[Array, "*n"]
    upper_lip: Float[Array, "*n"]
    lower_lip: Float[Array, "*n"]
    lip_redness: Float[Array, "*n"]
    lip_darkness: Float[Array, "*n"]
    ear_size: Float[Array, "*n"]
    beard: Float[Array, "*n"]


@flax.struct.dataclass
class Attributes:
    """Looks, one entry an image; a field for every factor of ``ATTRIBUTE_TABLE`` (units there)."""

    yaw: Float[Array, "*n"]
    pitch: Float[Array, "*n"]
    roll: Float[Array, "*n"]
    smile: Float[Array, "*n"]
    mouth_open: Float[Array, "*n"]
    blink: Float[Array, "*n"]
    brow_raise: Float[Array, "*n"]
    gaze_yaw: Float[Array, "*n"]
    gaze_pitch: Float[Array, "*n"]
    skin_melanin: Float[Array, "*n"]
    skin_redness: Float[Array, "*n"]
    light_azimuth: Float[Array, "*n"]
    light_elevation: Float[Array, "*n"]
    light_intensity: Float[Array, "*n"]
    light_warmth: Float[Array, "*n"]
    hair_lightness: Float[Array, "*n"]
    hair_redness: Float[Array, "*n"]
    hair_length: Float[Array, "*n"]
    hair_fringe: Float[Array, "*n"]
    hair_parting: Float[Array, "*n"]
    background_gradient: Float[Array, "*n"]
    background: Float[Array, "*n 3"]
    clothes: Float[Array, "*n 3"]


def split_key(split: str, seed: int = 0) -> Key[Array, ""]:
    """Key of one part of the key space, to draw its people and attributes with.

    Args:
        split: a name of ``SPLITS``.
        seed: number of the world; worlds have no person in common.

    Raises:
        UserError: for an unknown split.
    """
    if split not in SPLITS:
        raise UserError(f"got split {split!r}; expected one of {', '.join(SPLITS)}; pick one")
    return jax.random.fold_in(jax.random.key(seed), SPLITS[split])


def _draw(table: dict[str, Factor], key: Key[Array, ""], n: int) -> dict[str, Array]:
    """Draws ``n`` entries; entry i depends on the key and i alone."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
    drawn = {}
    for number, (name, factor) in enumerate(table.items()):
        columns = (3, 2) if name in _COLOURS else (2,)
        uniform = jax.vmap(
            lambda k, number=number, columns=columns: jax.random.uniform(
                jax.random.fold_in(k, number), columns
            )
        )(keys)
        first, second = uniform[..., 0], uniform[..., 1]
        share = {"uniform": first, "bell": (first + second) / 2, "rare": first**3}[factor.law]
        drawn[name] = factor.low + (factor.high - factor.low) * share
    return drawn


def sample_identities(key: Key[Array, ""], n: int) -> Identities:
    """Draws people; person i depends on ``key`` and i alone, not on ``n``.

    Args:
        key: a key of ``split_key`` (the same key may serve ``sample_attributes``).
        n: number of people.
    """
    return Identities(**_draw(IDENTITY_TABLE, jax.random.fold_in(key, _IDENTITY_STREAM), n))


def sample_attributes(key: Key[Array, ""], n: int) -> Attributes:
    """Draws looks; look i depends on ``key`` and i alone, not on ``n``.

    Args:
        key: a key of ``split_key`` (the same key may serve ``sample_identities``).
        n: number of looks.
    """
    return Attributes(**_draw(ATTRIBUTE_TABLE, jax.random.fold_in(key, _ATTRIBUTE_STREAM), n))


def _moments(factor: Factor) -> tuple[float, float]:
    """Mean and standard deviation of a factor's law."""
    mean, deviation = {
        "uniform": (1 / 2, math.sqrt(1 / 12)),
        "bell": (1 / 2, math.sqrt(1 / 24)),
        "rare": (1 / 4, math.sqrt(1 / 7 - 1 / 16)),
    }[factor.law]
    span = factor.high - factor.low
    return factor.low + span * mean, span * deviation


def _vector(table: dict[str, Factor], factors: Identities | Attributes) -> Float[Array, "n k"]:
    """Standardised columns of a struct of factors."""
    columns = []
    for name, factor in table.items():
        mean, deviation = _moments(factor)
        values = jnp.asarray(getattr(factors, name))
        columns.append(((values - mean) / deviation).reshape(values.shape[0], -1))
    return jnp.concatenate(columns, axis=-1)


def identity_vector(identities: Identities) -> Float[Array, "n k"]:
    """Identity factors with mean 0 and deviation 1 over the law; columns: ``IDENTITY_FACTORS``."""
    return _vector(IDENTITY_TABLE, identities)


def attribute_vector(attributes: Attributes) -> Float[Array, "n a"]:
    """Attributes with mean 0 and deviation 1 over the law; columns: ``ATTRIBUTE_FACTORS``."""
    return _vector(ATTRIBUTE_TABLE, attributes)
