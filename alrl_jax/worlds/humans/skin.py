"""Colour of skin, lips and brows, fixed to places of the average person."""

import numpy as np
from jaxtyping import Float

from alrl_jax.worlds.humans.anatomy import anatomy
from alrl_jax.worlds.humans.sampling import HAIR_STYLES, Attributes, Identities
from alrl_jax.worlds.humans.strands import beard_region, scalp
from alrl_jax.worlds.humans.textures import Places, Values, noise, picture, sharp, spots, step

MONK = (
    (0xF6, 0xED, 0xE4),
    (0xF3, 0xE7, 0xDB),
    (0xF7, 0xEA, 0xD0),
    (0xEA, 0xDA, 0xBA),
    (0xD7, 0xBD, 0x96),
    (0xA0, 0x7E, 0x56),
    (0x82, 0x5C, 0x43),
    (0x60, 0x41, 0x34),
    (0x3A, 0x31, 0x2A),
    (0x29, 0x24, 0x20),
)
"""SRGB colours of the Monk skin tone scale."""

Colours = Float[np.ndarray, "_ 3"]


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear shares of sRGB ones."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def skin_tone(person: Identities, look: Attributes) -> Float[np.ndarray, "3"]:
    """Linear albedo of the skin without its blood."""
    scale = linear(np.asarray(MONK) / 255.0)
    place = float(look.skin_melanin) * (len(MONK) - 1)
    tone = np.stack([np.interp(place, np.arange(len(MONK)), scale[:, c]) for c in range(3)])
    # The scale shows lit skin: its lightness is kept, and half its hue goes to that of blood.
    pale = float(np.clip(tone.mean() / 0.8, 0.0, 1.0))
    hue = np.array([1.62, 0.86, 0.52]) + pale * np.array([-0.30, 0.09, 0.21])
    tone = (0.3 * tone + 0.7 * tone.mean() * hue) * (1.0 - 0.34 * pale)
    tone = tone + 0.012 * hue
    rosy = 0.06 * float(person.undertone) + 0.05 * float(look.skin_redness)
    return (tone * np.array([1.0 + rosy, 1.0 - 0.5 * rosy, 1.0 - 0.3 * rosy])).astype(np.float32)


def _near(rest: Places, x: float, y: float, z: float, size: tuple[float, float, float]) -> Values:
    """A soft blob on both sides of the face."""
    d = ((np.abs(rest[:, 0]) - x) / size[0]) ** 2 + ((rest[:, 1] - y) / size[1]) ** 2
    return np.exp(-(d + ((rest[:, 2] - z) / size[2]) ** 2)).astype(np.float32)


def redness(rest: Places) -> Values:
    """Where blood shows: nose, cheeks, ears, chin and the corners of the eyes."""
    total = 0.9 * _near(rest, 0.0, 7.0, 1.6, (0.16, 0.14, 0.25))
    total += 0.75 * _near(rest, 0.36, 7.05, 1.2, (0.22, 0.17, 0.3))
    total += 0.8 * _near(rest, 0.78, 7.1, 0.4, (0.14, 0.35, 0.3))
    total += 0.3 * _near(rest, 0.0, 6.42, 1.4, (0.2, 0.12, 0.25))
    total += 0.45 * _near(rest, 0.17, 7.31, 1.35, (0.07, 0.05, 0.15))
    return total


def brow_cover(rest: Places, person: Identities, footprint: float) -> Values:
    """Share of the skin that brows hide."""
    x = np.abs(rest[:, 0])
    length = float(person.brow_length)
    along = (x - 0.085) / (0.46 * length)
    arch = float(person.brow_arch)
    line = 7.475 + 0.03 * arch + (0.19 + 0.07 * arch) * np.clip(along, 0, 1)
    line = line - (0.22 + 0.10 * arch) * np.clip(along, 0, 1.2) ** 2.2
    half = 0.042 * float(person.brow_thickness)
    half = half * np.interp(along, (0.0, 0.1, 0.55, 1.0), (0.75, 1.05, 1.0, 0.25))
    across = (rest[:, 1] - line) / half
    body = step(1.0 - np.abs(across), -0.25, 0.5) * step(along, -0.05, 0.10)
    body = body * step(1.0 - along, -0.03, 0.16) * (rest[:, 2] > 0.8)
    # Hairs rise from the inner end and lie flat towards the outer one.
    slant = np.clip(1.0 - along, 0.1, 1.0)
    hairs = np.stack(
        [150.0 * x - 110.0 * slant * (rest[:, 1] - line), 9.0 * rest[:, 1], 0 * x], axis=1
    )
    texture = noise(hairs, 1.0, 3) * sharp(0.0067, footprint)
    texture = texture + 0.5 * noise(hairs, 0.4, 9) * sharp(0.017, footprint)
    density = 0.25 + 0.75 * float(person.brow_density)
    return np.clip(body * (density + 0.55 * texture), 0.0, 1.0)


def hair_tone(look: Attributes) -> Float[np.ndarray, "3"]:
    """Linear colour of hair."""
    light, red = float(look.hair_lightness), float(look.hair_redness)
    dark = np.array([0.012, 0.010, 0.009])
    brown = np.array([0.09, 0.05 + 0.012 * (1 - red), 0.025 + 0.03 * (1 - red)])
    fair = np.array([0.48, 0.34 - 0.10 * red, 0.17 + 0.16 * (1 - red) - 0.08 * red])
    grey = np.array([0.34, 0.33, 0.32])
    tone = dark + (brown - dark) * np.clip(light / 0.45, 0, 1)
    tone = tone + (fair - brown) * np.clip((light - 0.45) / 0.55, 0, 1)
    share = np.clip((0.22 - red) / 0.22, 0.0, 1.0) * np.clip(light * 2.0, 0, 1)
    return (tone + (grey * (0.3 + 0.7 * light) - tone) * 0.85 * share).astype(np.float32)


def lips_cover(places: Float[np.ndarray, "n 2"]) -> Values:
    """Share of lip at places of the texture plane."""
    return step(picture(anatomy().masks["lips"], places), 0.25, 0.75)


def stubble_cover(rest: Places, look: Attributes, footprint: float) -> Values:
    """Share of the skin that stubble hides."""
    below = 0.9 * np.clip((float(look.beard_growth) - 0.45) / 0.1, 0, 1)
    strength = max(float(look.stubble), below)
    if strength < 0.02:
        return np.zeros(len(rest), np.float32)
    dots = 0.5 + 0.9 * noise(rest, 110.0, 5) * sharp(0.009, footprint)
    return 0.7 * strength * beard_region(rest) * np.clip(dots, 0.0, 1.0)


def scalp_cover(rest: Places, ears: Values, person: Identities, look: Attributes) -> Values:
    """Share of the skin that the roots of the hair hide."""
    style = HAIR_STYLES[int(look.hair_style)]
    most = {"bald": 0.15, "buzz": 0.78}.get(style, 0.93)
    edge = scalp(rest, person) + 0.05 * noise(rest, 9.0, 2) + 0.03 * noise(rest, 40.0, 4)
    grain = 1.0 + 0.35 * noise(rest, 70.0, 6) * (style == "buzz")
    return np.clip(most * step(edge, -0.04, 0.12) * (ears < 0.5) * grain, 0.0, 1.0)


def albedo(
    rest: Places,
    places: Float[np.ndarray, "n 2"],
    person: Identities,
    look: Attributes,
    footprint: float,
) -> tuple[Colours, dict[str, Values]]:
    """Linear albedo of skin with all that lies in it, and the shares of its parts.

    Args:
        rest: places on the average person.
        places: on the texture plane.
        person: who it is.
        look: of the picture.
        footprint: side of a pixel in decimetres: what is finer is left out.
    """
    seed, masks = int(person.skin_seed), anatomy().masks
    tone = skin_tone(person, look)
    pale = float(tone.mean())
    colour = np.tile(tone, (len(rest), 1))
    blood = float(person.ruddiness) * (0.1 + redness(rest) + 0.25 * noise(rest, 5.0, seed))
    blood = blood + 0.25 * float(look.skin_redness) * redness(rest)
    amount = np.clip(blood, -0.4, 1.6) * (0.16 + 0.30 * pale)
    colour *= np.exp(amount[:, None] * np.array([0.06, -0.62, -0.50], np.float32))
    mottle = 0.05 * noise(rest, 12.0, seed + 1) + 0.045 * noise(rest, 34.0, seed + 2)
    pores = 0.07 * noise(rest, 120.0, seed + 3) * sharp(0.008, footprint)
    colour *= (1.0 + mottle + pores)[:, None]
    colour = _marks(colour, rest, person, seed, pale)
    parts = {"lips": lips_cover(places)}
    parts["ears"] = picture(masks["ears"], places)
    parts["inside"] = picture(masks["inside-mouth"], places)
    colour = _made_up(colour, rest, parts["lips"], tone, person, look)
    hair = hair_tone(look)
    parts["scalp"] = scalp_cover(rest, parts["ears"], person, look)
    parts["brow"] = brow_cover(rest, person, footprint)
    parts["stubble"] = stubble_cover(rest, look, footprint)
    brow_tone = 0.30 * hair + 0.25 * np.minimum(hair, 0.08)
    for name, over in (
        ("scalp", 0.55 * hair),
        ("brow", brow_tone),
        ("stubble", 0.5 * hair + 0.006),
    ):
        colour += parts[name][:, None] * (over - colour)
    inside = np.array([0.42, 0.10, 0.09], np.float32) * (0.6 + 0.4 * pale)
    colour += step(parts["inside"], 0.3, 0.7)[:, None] * (inside - colour)
    return colour, parts


def _marks(colour: Colours, rest: Places, person: Identities, seed: int, pale: float) -> Colours:
    """Freckles and moles."""
    face = _near(rest, 0.22, 7.1, 1.4, (0.38, 0.28, 0.5))
    strength = float(person.freckles) * pale * 1.3
    if strength > 0.03:
        small = spots(rest, 22.0, 0.55, 0.42, seed + 5) + spots(rest, 34.0, 0.4, 0.42, seed + 6)
        cover = np.clip(strength * face * np.minimum(small, 1.0), 0.0, 0.75)
        colour = colour * np.exp(-cover[:, None] * np.array([0.55, 1.0, 1.3], np.float32))
    moles = spots(rest, 3.2, 0.10 * float(person.moles), 0.055, seed + 7)
    return colour * (1.0 - 0.75 * moles * (rest[:, 2] > 0.4))[:, None]


def _made_up(
    colour: Colours,
    rest: Places,
    lips: Values,
    tone: Float[np.ndarray, "3"],
    person: Identities,
    look: Attributes,
) -> Colours:
    """Lips, eyelids and shadows under the eyes."""
    red, dark = float(person.lip_redness), float(person.lip_darkness)
    natural = tone * np.array([0.86, 0.58 - 0.16 * red, 0.60 - 0.14 * red]) * (1.05 - 0.35 * dark)
    paint = np.array([0.42, 0.025, 0.045]) * (1.0 - 0.4 * dark)
    share = float(look.lipstick)
    lip = natural + (paint - natural) * 0.85 * share
    lines = 1.0 + 0.10 * noise(rest * np.array([9.0, 1.5, 1.5], np.float32), 9.0, 8)
    colour = colour + (lips * 0.92)[:, None] * (lip.astype(np.float32) * lines[:, None] - colour)
    lid = _near(rest, 0.30, 7.40, 1.35, (0.15, 0.055, 0.2))
    under = _near(rest, 0.28, 7.24, 1.35, (0.13, 0.05, 0.2))
    shade = 0.22 * lid + 0.16 * under * (0.5 + float(person.age))
    colour = colour * (1.0 - shade[:, None] * np.array([0.7, 1.0, 0.9], np.float32))
    shadow = np.array([0.10, 0.07, 0.09], np.float32)
    return colour + (0.75 * float(look.eye_shadow) * lid)[:, None] * (shadow - colour)
