"""Identities and attributes: the factors of a person and of a picture, and their laws.

An identity is what a swap moves (bones, eyes, lips, freckles); an attribute is what stays with the
target (pose, expression, skin tone, hair, light, camera, background).
"""

import math

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from alrl_jax.worlds.humans import expressions, morphs
from alrl_jax.worlds.humans.laws import Factor, column_names, draw, standardised, uniforms

_IDENTITY_STREAM, _FORM_STREAM, _MORE_STREAM = 0, 1, 2
_ATTRIBUTE_STREAM, _ACTION_STREAM, _KIND_STREAM = 10, 11, 12
_AVERAGE = "times the average"
_STRENGTH = "none 0, strong 1"

IDENTITY_TABLE = {
    "sex": Factor(
        0.0, 1.0, "uniform", "female 0, male 1; values between 0.3 and 0.7 are moved out"
    ),
    "age": Factor(0.0, 0.9, "uniform", "young 0, old 1"),
    "weight": Factor(-1.0, 1.0, "bell", "thin -1, stout 1"),
    "iris_hue": Factor(0.0, 1.0, "uniform", "brown 0, green 0.5, blue 1"),
    "iris_brightness": Factor(0.55, 1.5, "uniform", _AVERAGE),
    "undertone": Factor(-1.0, 1.0, "bell", "of the skin: olive -1, rosy 1"),
    "ruddiness": Factor(0.3, 1.4, "uniform", "of nose, cheeks and ears, " + _AVERAGE),
    "freckles": Factor(0.0, 1.0, "rare", _STRENGTH),
    "moles": Factor(0.0, 1.0, "uniform", "none 0, a dozen 1"),
    "brow_thickness": Factor(0.55, 1.6, "uniform", _AVERAGE),
    "brow_density": Factor(0.45, 1.0, "uniform", "share of the skin that is hidden"),
    "brow_length": Factor(0.85, 1.15, "uniform", _AVERAGE),
    "brow_arch": Factor(-1.0, 1.0, "bell", "straight -1, arched 1"),
    "lip_redness": Factor(0.0, 1.0, "uniform", "as the skin 0, red 1"),
    "lip_darkness": Factor(0.0, 1.0, "uniform", "light 0, dark 1"),
    "hairline": Factor(-1.0, 1.0, "bell", "low -1, high 1"),
    "hairline_temples": Factor(0.0, 1.0, "rare", "full 0, receding 1"),
    "lash_length": Factor(0.5, 1.3, "uniform", _AVERAGE),
}
"""Identity factors beside form, asymmetry and ancestry."""

FORM = Factor(-1.0, 1.0, "bell", "times the reach of the morph")
ONE_SIDED = Factor(0.0, 1.0, "rare", "times the reach of the morph")

FORM_TABLE = {name: FORM if morph.less else ONE_SIDED for name, morph in morphs.FORMS.items()} | {
    name: FORM for name in morphs.ASYMMETRIES
}
"""Law of every column of ``Identities.form``."""

HAIR_STYLES = (
    "bald",
    "buzz",
    "crop",
    "side_part",
    "swept_back",
    "curls",
    "afro",
    "fringe",
    "bob",
    "long",
    "waves",
    "tied_back",
)
"""Names of the styles; ``Attributes.hair_style`` is the place in the tuple."""

BACKGROUNDS = ("studio", "wall", "lights", "outdoors", "window", "shelves")
"""Names of the scenes; ``Attributes.scene`` is the place in the tuple."""

_CHANNELS = ("red", "green", "blue")

ATTRIBUTE_TABLE = {
    "yaw": Factor(-60.0, 60.0, "bell", "degrees, to the viewer's right"),
    "pitch": Factor(-30.0, 30.0, "bell", "degrees, up"),
    "roll": Factor(-18.0, 18.0, "bell", "degrees, clockwise"),
    "gaze_yaw": Factor(-28.0, 28.0, "bell", "degrees from the head's, to the viewer's right"),
    "gaze_pitch": Factor(-18.0, 18.0, "bell", "degrees from the head's, up"),
    "skin_melanin": Factor(0.0, 1.0, "uniform", "lightest of the Monk scale 0, darkest 1"),
    "skin_redness": Factor(-1.0, 1.0, "uniform", "sallow -1, rosy 1"),
    "skin_gloss": Factor(0.0, 1.0, "uniform", "matt 0, oily 1"),
    "lipstick": Factor(0.0, 1.0, "rare", _STRENGTH),
    "eye_shadow": Factor(0.0, 1.0, "rare", _STRENGTH),
    "light_azimuth": Factor(-75.0, 75.0, "uniform", "degrees, from the viewer's right"),
    "light_elevation": Factor(-5.0, 60.0, "uniform", "degrees, from above"),
    "light_intensity": Factor(0.75, 1.3, "uniform", _AVERAGE),
    "light_warmth": Factor(-1.0, 1.0, "uniform", "cold -1, warm 1"),
    "light_softness": Factor(0.08, 0.5, "uniform", "radius over distance of the key light"),
    "light_ambient": Factor(0.25, 0.8, "uniform", "share of the light from all around"),
    "rim_light": Factor(0.0, 1.0, "rare", _STRENGTH),
    "hair_lightness": Factor(0.0, 1.0, "uniform", "black 0, blond or white 1"),
    "hair_redness": Factor(0.0, 1.0, "uniform", "grey 0, red 1"),
    "hair_length": Factor(0.0, 1.0, "uniform", "of its style: short 0, long 1"),
    "hair_volume": Factor(0.0, 1.0, "uniform", "of its style: flat 0, full 1"),
    "hair_parting": Factor(-1.0, 1.0, "uniform", "of its style, to the viewer's right"),
    "stubble": Factor(0.0, 1.0, "rare", "clean 0, dense 1"),
    "beard_growth": Factor(0.0, 1.0, "rare", "none below 0.5, full 1"),
    "camera_distance": Factor(6.0, 16.0, "uniform", "decimetres from the eyes"),
    "blur": Factor(0.0, 1.0, "rare", "deviation in pixels at 512 px"),
    "noise": Factor(0.0, 0.04, "rare", "deviation, sRGB share, at 512 px"),
    "jpeg": Factor(0.0, 1.0, "rare", "quality 98 at 0, 60 at 1; none below 0.05"),
    "background_gradient": Factor(-1.0, 1.0, "uniform", "brighter at the viewer's right"),
    "background": Factor(0.05, 0.95, "uniform", "sRGB share", 3),
    "clothes": Factor(0.05, 0.95, "uniform", "sRGB share", 3),
}
"""Attributes beside expression, kinds and seeds; colours have a number for each channel."""

_COLOURS = {n: tuple(f"{n}_{c}" for c in _CHANNELS) for n in ("background", "clothes")}
_ANCESTRY = tuple(f"ancestry_{name}" for name in morphs.ANCESTRIES)
_STYLES = tuple(f"hair_{name}" for name in HAIR_STYLES)

IDENTITY_FACTORS = (*column_names(IDENTITY_TABLE, {}), *_ANCESTRY, *FORM_TABLE)
"""Names of the columns of ``identity_vector``."""

ATTRIBUTE_FACTORS = (
    *column_names(ATTRIBUTE_TABLE, _COLOURS),
    *expressions.ACTIONS,
    *expressions.TILTS,
    *_STYLES,
)
"""Names of the columns of ``attribute_vector``."""

ATTRIBUTE_GROUPS = {
    "pose": ("yaw", "pitch", "roll"),
    "expression": (*expressions.ACTIONS, *expressions.TILTS),
    "gaze": ("gaze_yaw", "gaze_pitch"),
    "skin": ("skin_melanin", "skin_redness", "skin_gloss", "lipstick", "eye_shadow"),
    "light": tuple(n for n in ATTRIBUTE_TABLE if n.startswith("light_")) + ("rim_light",),
    "hair": tuple(n for n in ATTRIBUTE_TABLE if n.startswith("hair_"))
    + ("stubble", "beard_growth", *_STYLES),
    "background": (
        "camera_distance",
        "blur",
        "noise",
        "jpeg",
        "background_gradient",
        *_COLOURS["background"],
        *_COLOURS["clothes"],
    ),
}
"""Attribute factors by what they are about; together all of ``ATTRIBUTE_FACTORS``."""

_MIRRORED = {
    *("yaw", "roll", "gaze_yaw", "light_azimuth", "hair_parting", "background_gradient"),
    *morphs.SIDE_ACTIONS,
    *expressions.TILTS,
}

ATTRIBUTE_MIRROR_SIGNS = tuple(-1.0 if n in _MIRRORED else 1.0 for n in ATTRIBUTE_FACTORS)
"""Factors by which ``attribute_vector`` changes in a mirrored image."""

IDENTITY_MIRROR_SIGNS = tuple(-1.0 if n in morphs.ASYMMETRIES else 1.0 for n in IDENTITY_FACTORS)
"""Factors by which ``identity_vector`` changes in a mirrored image."""


AnyArray = Array | np.ndarray
"""Structs are drawn for JAX and read by NumPy."""


@flax.struct.dataclass
class Identities:
    """People, one entry each; units are in ``IDENTITY_TABLE`` and ``FORM_TABLE``.

    Attributes:
        ancestry: shares of ``morphs.ANCESTRIES``, which add up to 1.
        form: factors of head and face, columns of ``FORM_TABLE``.
        skin_seed: of freckles, moles and blotches.
    """

    sex: Float[AnyArray, "*n"]
    age: Float[AnyArray, "*n"]
    weight: Float[AnyArray, "*n"]
    iris_hue: Float[AnyArray, "*n"]
    iris_brightness: Float[AnyArray, "*n"]
    undertone: Float[AnyArray, "*n"]
    ruddiness: Float[AnyArray, "*n"]
    freckles: Float[AnyArray, "*n"]
    moles: Float[AnyArray, "*n"]
    brow_thickness: Float[AnyArray, "*n"]
    brow_density: Float[AnyArray, "*n"]
    brow_length: Float[AnyArray, "*n"]
    brow_arch: Float[AnyArray, "*n"]
    lip_redness: Float[AnyArray, "*n"]
    lip_darkness: Float[AnyArray, "*n"]
    hairline: Float[AnyArray, "*n"]
    hairline_temples: Float[AnyArray, "*n"]
    lash_length: Float[AnyArray, "*n"]
    ancestry: Float[AnyArray, "*n 3"]
    form: Float[AnyArray, "*n f"]
    skin_seed: Int[AnyArray, "*n"]


@flax.struct.dataclass
class Attributes:
    """Looks, one entry an image; units are in ``ATTRIBUTE_TABLE``.

    Attributes:
        actions: facial actions, 0 to 1 (columns ``expressions.ACTIONS``; to the person's right
            below 0 where they go to a side).
        action_tilts: how much more an action moves the person's left (``expressions.TILTS``).
        hair_style: place in ``HAIR_STYLES``.
        scene: place in ``BACKGROUNDS``.
        noise_seed: of the background's details, the clothes' weave and the sensor's noise.
    """

    yaw: Float[AnyArray, "*n"]
    pitch: Float[AnyArray, "*n"]
    roll: Float[AnyArray, "*n"]
    gaze_yaw: Float[AnyArray, "*n"]
    gaze_pitch: Float[AnyArray, "*n"]
    skin_melanin: Float[AnyArray, "*n"]
    skin_redness: Float[AnyArray, "*n"]
    skin_gloss: Float[AnyArray, "*n"]
    lipstick: Float[AnyArray, "*n"]
    eye_shadow: Float[AnyArray, "*n"]
    light_azimuth: Float[AnyArray, "*n"]
    light_elevation: Float[AnyArray, "*n"]
    light_intensity: Float[AnyArray, "*n"]
    light_warmth: Float[AnyArray, "*n"]
    light_softness: Float[AnyArray, "*n"]
    light_ambient: Float[AnyArray, "*n"]
    rim_light: Float[AnyArray, "*n"]
    hair_lightness: Float[AnyArray, "*n"]
    hair_redness: Float[AnyArray, "*n"]
    hair_length: Float[AnyArray, "*n"]
    hair_volume: Float[AnyArray, "*n"]
    hair_parting: Float[AnyArray, "*n"]
    stubble: Float[AnyArray, "*n"]
    beard_growth: Float[AnyArray, "*n"]
    camera_distance: Float[AnyArray, "*n"]
    blur: Float[AnyArray, "*n"]
    noise: Float[AnyArray, "*n"]
    jpeg: Float[AnyArray, "*n"]
    background_gradient: Float[AnyArray, "*n"]
    background: Float[AnyArray, "*n 3"]
    clothes: Float[AnyArray, "*n 3"]
    actions: Float[AnyArray, "*n a"]
    action_tilts: Float[AnyArray, "*n t"]
    hair_style: Int[AnyArray, "*n"]
    scene: Int[AnyArray, "*n"]
    noise_seed: Int[AnyArray, "*n"]


def _on_device(values: dict[str, np.ndarray]) -> dict[str, Array]:
    return {name: jnp.asarray(value) for name, value in values.items()}


def _numbers(shares: Float[np.ndarray, " n"], below: int) -> Int[np.ndarray, " n"]:
    """Whole numbers below a bound from shares from 0 to 1."""
    return np.minimum(shares * below, below - 1).astype(np.int32)


def sample_identities(
    key: Key[Array, ""], n: int, *, weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Identities:
    """Draws people; person i depends on ``key`` and i alone, not on ``n``.

    Args:
        key: a key of ``split_key`` (the same key may serve ``sample_attributes``).
        n: number of people.
        weights: of the ancestries, where some are to be seen more often.
    """
    drawn = draw(IDENTITY_TABLE, key, _IDENTITY_STREAM, n)
    # Most people are plainly of one sex: values from the middle are moved out of it.
    drawn["sex"] = np.clip(1.6 * drawn["sex"] - 0.3, 0.0, 1.0)
    form = draw(FORM_TABLE, key, _FORM_STREAM, n)
    more = uniforms(key, _MORE_STREAM, n, 4)
    # Mixtures in which one ancestry leads.
    share = np.square(np.log1p(-more[:, :3])) * np.asarray(weights)
    drawn["ancestry"] = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    drawn["form"] = np.stack(list(form.values()), axis=1)
    drawn["skin_seed"] = _numbers(more[:, 3], 2**24)
    return Identities(**_on_device(drawn))


def sample_attributes(key: Key[Array, ""], n: int) -> Attributes:
    """Draws looks; look i depends on ``key`` and i alone, not on ``n``.

    Args:
        key: a key of ``split_key`` (the same key may serve ``sample_identities``).
        n: number of looks.
    """
    drawn = draw(ATTRIBUTE_TABLE, key, _ATTRIBUTE_STREAM, n)
    actions, tilts = expressions.draw_actions(key, _ACTION_STREAM, n)
    kinds = uniforms(key, _KIND_STREAM, n, 3)
    drawn |= {"actions": actions, "action_tilts": tilts}
    drawn["hair_style"] = _numbers(kinds[:, 0], len(HAIR_STYLES))
    drawn["scene"] = _numbers(kinds[:, 1], len(BACKGROUNDS))
    drawn["noise_seed"] = _numbers(kinds[:, 2], 2**24)
    return Attributes(**_on_device(drawn))


_SEX_MOMENTS = (0.5, math.sqrt(2 * 0.1875 * 0.25 + 0.625 / 12))
_ANCESTRY_MOMENTS = (1 / 3, 0.329)
"""Measured on 200,000 draws."""


def identity_vector(identities: Identities) -> Float[Array, "n i"]:
    """Identity factors of mean 0 and deviation 1 over the law; columns: ``IDENTITY_FACTORS``."""
    values = {name: np.asarray(getattr(identities, name)) for name in IDENTITY_TABLE}
    columns = standardised(IDENTITY_TABLE, values)
    mean, deviation = _SEX_MOMENTS
    columns[0] = ((values["sex"] - mean) / deviation)[:, None]
    mean, deviation = _ANCESTRY_MOMENTS
    columns.append((np.asarray(identities.ancestry) - mean) / deviation)
    form = np.asarray(identities.form)
    columns += standardised(FORM_TABLE, dict(zip(FORM_TABLE, form.T, strict=True)))
    return jnp.asarray(np.concatenate(columns, axis=1), jnp.float32)


def attribute_vector(attributes: Attributes) -> Float[Array, "n a"]:
    """Attributes of mean 0 and deviation 1 over the law; columns: ``ATTRIBUTE_FACTORS``."""
    values = {name: np.asarray(getattr(attributes, name)) for name in ATTRIBUTE_TABLE}
    columns = standardised(ATTRIBUTE_TABLE, values)
    tilts = np.asarray(attributes.action_tilts)
    columns += expressions.standardised(np.asarray(attributes.actions), tilts)
    share = 1 / len(HAIR_STYLES)
    style = np.asarray(attributes.hair_style)[:, None] == np.arange(len(HAIR_STYLES))
    columns.append((style - share) / math.sqrt(share * (1 - share)))
    return jnp.asarray(np.concatenate(columns, axis=1), jnp.float32)
