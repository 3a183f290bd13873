"""Backgrounds: scenes out of focus, drawn at a fixed size and enlarged."""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter

from alrl_jax.worlds.humans.sampling import BACKGROUNDS, Attributes

SIDE = 192
"""Side of a scene before it is enlarged; all are out of focus."""

Picture = Float[np.ndarray, "r r 3"]


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Places, x to the right and y up, -1 to 1."""
    line = (np.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    return np.meshgrid(line, -line)


def _clouds(random: np.random.Generator, octaves: int = 4) -> np.ndarray:
    """Smooth noise, mean 0."""
    total = np.zeros((SIDE, SIDE))
    for octave in range(octaves):
        few = random.uniform(-1, 1, (3 * 2**octave, 3 * 2**octave)).astype(np.float32)
        image = Image.fromarray(few).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        total += np.asarray(image) * 0.6**octave
    return total


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    """A blurred picture; values from 0 to 1."""
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image).astype(np.float32) / 255


def _studio(random: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    x, y = _grid()
    middle = random.uniform(-0.4, 0.4, 2)
    glow = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / 0.9)
    return tone * (0.62 + 0.45 * glow + 0.05 * _clouds(random))[..., None]


def _wall(random: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    x, y = _grid()
    picture = tone * (0.9 + 0.10 * _clouds(random))[..., None]
    edge = random.uniform(-0.9, 0.9)
    picture = np.where((x > edge)[..., None], picture * random.uniform(0.6, 0.9), picture)
    height = random.uniform(0.05, 0.8)
    frame = (np.abs(x - random.uniform(-1, 1)) < 0.35) & (np.abs(y - height) < 0.28)
    return np.where(frame[..., None], 0.5 * random.uniform(0.1, 1.0, 3) + 0.3 * tone, picture)


def _lights(random: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    x, y = _grid()
    picture = 0.25 * tone * (1.0 + 0.4 * _clouds(random))[..., None]
    for _ in range(26):
        at, reach = random.uniform(-1.1, 1.1, 2), random.uniform(0.05, 0.16)
        colour = np.clip(
            0.4 * tone + np.array([0.6, 0.45, 0.3]) * random.uniform(0.4, 1.2, 3), 0, 1
        )
        disc = np.clip((reach - np.hypot(x - at[0], y - at[1])) / 0.03, 0, 1)
        picture = picture + 0.55 * disc[..., None] * colour
    return picture


def _outdoors(random: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    x, y = _grid()
    horizon = random.uniform(-0.4, 0.35) + 0.12 * _clouds(random, 3)
    sky = np.array([0.55, 0.70, 0.90]) * (0.85 + 0.25 * y)[..., None] + 0.15 * (tone - 0.5)
    leaves = np.array([0.20, 0.30, 0.13]) * random.uniform(0.7, 1.5)
    ground = (leaves + 0.35 * (tone - 0.4)) * (1 + 0.6 * _clouds(random, 5))[..., None]
    share = np.clip((y - horizon) / 0.08, 0, 1)[..., None]
    return ground + share * (sky - ground)


def _window(random: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    x, y = _grid()
    picture = 0.55 * tone * (1 + 0.08 * _clouds(random))[..., None]
    left, width = random.uniform(-1.2, 0.4), random.uniform(0.5, 1.0)
    inside = (x > left) & (x < left + width) & (y > random.uniform(-0.6, -0.1))
    bars = np.abs((x - left) / width % 0.5 - 0.25) < 0.235
    bright = np.array([0.95, 0.97, 1.0]) * (0.85 + 0.1 * _clouds(random))[..., None]
    return np.where((inside & bars)[..., None], bright, picture)


def _shelves(random: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    x, _ = _grid()
    picture = np.tile(0.35 * tone, (SIDE, SIDE, 1))
    for row in range(5):
        top, at = 6 + row * 38, 0
        while at < SIDE:
            width, height = random.integers(4, 12), random.integers(20, 32)
            grey = random.uniform(0.1, 0.7)
            colour = 0.25 * tone + 0.75 * (0.6 * grey + 0.4 * random.uniform(0.05, 0.8, 3))
            picture[top + 32 - height : top + 32, at : at + width] = colour
            at += int(width) + int(random.integers(0, 2))
    return picture * (0.9 + 0.1 * x)[..., None]


SCENES = {
    "studio": (_studio, 1.0),
    "wall": (_wall, 3.0),
    "lights": (_lights, 1.2),
    "outdoors": (_outdoors, 3.0),
    "window": (_window, 3.5),
    "shelves": (_shelves, 3.5),
}
"""What draws a scene, and how far it is out of focus in pixels of the scene."""

assert tuple(SCENES) == BACKGROUNDS


def background(look: Attributes, resolution: int) -> Picture:
    """The scene behind a person, sRGB shares (fields without batch axis)."""
    random = np.random.default_rng([3, int(look.noise_seed)])
    draw, blur = SCENES[BACKGROUNDS[int(look.scene)]]
    tone = np.asarray(look.background, np.float64)
    picture = draw(random, 0.6 * tone.mean() + 0.4 * tone)
    x, _ = _grid()
    picture = picture * (1.0 + 0.3 * float(look.background_gradient) * x)[..., None]
    small = (_blurred(picture, blur) * 255).round().astype(np.uint8)
    large = Image.fromarray(small).resize((resolution, resolution), Image.Resampling.BICUBIC)
    large = large.filter(ImageFilter.GaussianBlur(resolution / SIDE * 0.6))
    return np.asarray(large).astype(np.float32) / 255
