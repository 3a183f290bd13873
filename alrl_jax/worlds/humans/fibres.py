"""Colour of hair in the light."""

import numpy as np
from jaxtyping import Float

from alrl_jax.worlds.humans.anatomy import CENTRE
from alrl_jax.worlds.humans.lights import Light
from alrl_jax.worlds.humans.textures import Places, Values, dot, length, noise, sharp

Colours = Float[np.ndarray, "_ 3"]


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(length(v)[..., None], 1e-9)


def _lobe(cosine: Values, exponent: float) -> Values:
    return np.sqrt(np.clip(1.0 - cosine * cosine, 0.0, 1.0)) ** exponent


def shade(
    points: Places,
    tangents: Places,
    views: Places,
    outward: Places,
    tone: Colours,
    lit: Values,
    openness: Values,
    light: Light,
) -> Colours:
    """Linear colour of strands: light that passes around them and two highlights along them.

    Args:
        points: in the scene.
        tangents: unit directions of the strands.
        views: unit directions of the rays that see them.
        outward: unit directions away from the head.
        tone: linear colour.
        lit: share of the key light that arrives.
        openness: share of the light from all around.
        light: of the picture.
    """
    out = np.zeros_like(tone)
    lights = ((light.key, light.key_colour, lit), (light.rim, light.rim_colour, openness))
    for way, colour, share in lights:
        along = tangents @ way
        around = np.sqrt(np.clip(1 - along * along, 0, 1))
        facing = np.clip(0.45 + 0.75 * (outward @ way), 0.0, 1.0)
        out += tone * (0.85 * around * facing * share)[:, None] * colour
        half = _unit(way - views)
        place = dot(tangents, half)
        first, second = _lobe(place + 0.10, 90.0), _lobe(place - 0.12, 24.0)
        strength = (share * np.clip(outward @ way + 0.3, 0, 1))[:, None] * colour
        out += (0.05 * first[:, None] + 0.45 * second[:, None] * tone) * strength
    hemisphere = 1.0 + light.above * outward[:, 1]
    return out + tone * (openness * hemisphere)[:, None] * light.around


def variation(
    points: Places, across: Values, number: Values, along: Values, footprint: float
) -> Values:
    """Factor of the colour within and between strands.

    Args:
        points: along the strand, in the scene.
        across: from one edge of the ribbon to the other, 0 to 1.
        number: random number of the strand.
        along: from the root to the end, 0 to 1.
        footprint: side of a pixel in decimetres.
    """
    between = 0.78 + 0.5 * number
    place = np.stack([across * 3.5 + 40.0 * number, along * 1.6 + 9.0 * number, 0 * along], axis=1)
    within = 1.0 + 0.55 * noise(place, 2.0, 41) * sharp(0.012, footprint)
    return between * within * (0.55 + 0.45 * np.minimum(1.0, 3.0 * along))


def outward_of(points: Places, middle: Float[np.ndarray, "3"]) -> Places:
    """Unit directions away from the middle of the head."""
    return _unit(points - middle).astype(np.float32)


__all__ = ["CENTRE", "outward_of", "shade", "variation"]
