"""Images of an evaluation as 8-bit arrays, and inside pages that hold all they show."""

import base64

import numpy as np
from jaxtyping import Float, UInt8


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
    """A PNG file inside a page."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def grid(columns: list[Float[np.ndarray, "n h w _"]], gap: int = 2) -> UInt8[np.ndarray, "y x 3"]:
    """One image of many: pairs from top to bottom, columns side by side, white gaps between."""
    lines = []
    for i in range(len(columns[0])):
        images = [to_bytes(column[i]) for column in columns]
        margin = ((0, gap), (0, gap), (0, 0))
        cells = [np.pad(image, margin, constant_values=255) for image in images]
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines, axis=0)
