"""The camera: rays through pixels, where points appear, and what lens, sensor and file add."""

import io
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter

from alrl_jax.utils.opening import open_image
from alrl_jax.worlds.humans.anatomy import EYES
from alrl_jax.worlds.humans.body import PIVOT, rotation
from alrl_jax.worlds.humans.sampling import Attributes

HALF = 1.40
"""Half the side of the frame at the depth of the eyes, in decimetres: FFHQ's framing."""

AIM = np.array([0.0, 7.30, 1.0], np.float32)
"""The point of a head that looks ahead which is kept in the middle of the frame."""

SAMPLES = 2
"""Rays along each side of a pixel."""


class Camera(NamedTuple):
    """A camera that looks along -z.

    Attributes:
        eye: its place.
        depth: distance to the plane at which the frame has its size.
    """

    eye: Float[np.ndarray, "3"]
    depth: float


def camera(look: Attributes) -> Camera:
    """The camera of one look (fields without batch axis)."""
    turn = np.deg2rad([float(look.yaw), float(look.pitch), float(look.roll)])
    middle = rotation(turn.astype(np.float32)) @ (AIM - PIVOT) + PIVOT
    depth = float(look.camera_distance)
    eye = np.array([middle[0], middle[1], EYES[2] + depth], np.float32)
    return Camera(eye, depth)


def rays(view: Camera, resolution: int) -> Float[np.ndarray, "n 3"]:
    """Unit directions through ``SAMPLES`` by ``SAMPLES`` places of every pixel, row by row."""
    side = resolution * SAMPLES
    line = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1) * HALF
    x, y = np.meshgrid(line, -line)
    out = np.stack([x, y, np.full_like(x, -view.depth)], axis=-1).reshape(-1, 3)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def project(
    view: Camera, points: Float[np.ndarray, "n 3"], resolution: int
) -> Float[np.ndarray, "n 2"]:
    """Where points appear, x and y in pixels; the centre of the first pixel is (0.5, 0.5)."""
    offset = points - view.eye
    scale = view.depth / (-offset[:, 2] * HALF)
    x, y = 0.5 + 0.5 * offset[:, 0] * scale, 0.5 - 0.5 * offset[:, 1] * scale
    return (np.stack([x, y], axis=1) * resolution).astype(np.float32)


def taken(picture: Float[np.ndarray, "r r 3"], look: Attributes) -> Float[np.ndarray, "r r 3"]:
    """What lens, sensor and file make of sRGB shares: blur, noise, JPEG, 8 bits."""
    resolution = len(picture)
    random = np.random.default_rng([4, int(look.noise_seed)])
    # Averaged pixels have less noise; at 128 px it is a quarter of that at 512 px.
    deviation = float(look.noise) * min(1.0, resolution / 512)
    grain = random.normal(size=picture.shape).astype(np.float32)
    noisy = picture + deviation * grain * (0.4 + 0.6 * np.sqrt(np.clip(picture, 0, 1)))
    image = Image.fromarray((np.clip(noisy, 0, 1) * 255).round().astype(np.uint8))
    radius = float(look.blur) * resolution / 512
    if radius > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    if float(look.jpeg) >= 0.05:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=round(98 - 38 * float(look.jpeg)), subsampling=0)
        with open_image(file.getvalue(), ("JPEG",)) as compressed:
            image = compressed.convert("RGB")
    return np.asarray(image).astype(np.float32) / 255
