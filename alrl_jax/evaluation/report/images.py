"""Images of an evaluation as 8-bit arrays, and inside pages that hold all they show."""

import base64
import io
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from alrl_jax.utils.opening import open_image

PAGE_BYTES = 4_500_000
"""What images may take of a page, which has 6 MB at most."""
SMALLER = (512, 384, 256, 192, 128, 96)
"""Longer sides to try, in pixels, where images are too large for a page."""
_QUALITY = 88


def to_bytes(values: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image in [-1, 1] (3 channels) or a mask in [0, 1] (1 channel) as 8-bit RGB."""
    if values.shape[-1] == 1:
        values = np.repeat(values, 3, axis=-1) * 2 - 1
    scaled = (np.asarray(values, np.float32) + 1) * 127.5
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def from_bytes(values: UInt8[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b h w 3"]:
    """8-bit images as float32 in [-1, 1]."""
    return values.astype(np.float32) / np.float32(127.5) - np.float32(1)


def data_uri(content: bytes) -> str:
    """A PNG or JPEG file inside a page."""
    kind = "jpeg" if content.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def fitted(images: Mapping[str, bytes], limit: int = PAGE_BYTES) -> dict[str, bytes]:
    """The same images where they fit into a page, else smaller ones as JPEG.

    Args:
        images: PNG files by name.
        limit: bytes that all may take together, written in base64.
    """
    found = dict(images)
    for side in SMALLER:
        if sum(map(len, found.values())) * 4 / 3 <= limit:
            break
        found = {name: _smaller(content, side) for name, content in images.items()}
    return found


def _smaller(content: bytes, side: int) -> bytes:
    with open_image(content) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def grid(columns: list[Float[np.ndarray, "n h w _"]], gap: int = 2) -> UInt8[np.ndarray, "y x 3"]:
    """One image of many: pairs from top to bottom, columns side by side, white gaps between."""
    lines = []
    for i in range(len(columns[0])):
        images = [to_bytes(column[i]) for column in columns]
        margin = ((0, gap), (0, gap), (0, 0))
        cells = [np.pad(image, margin, constant_values=255) for image in images]
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines, axis=0)
