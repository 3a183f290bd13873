"""Files of the pictures that a model draws, with their provenance: PNG, JPEG and WebP."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from alrl_jax.provenance.image_metadata import png_bytes, xmp_packet

Pixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]
QUALITY = 95
"""Of JPEG and WebP files."""
WEBP_SIDE = 16383
"""Pixels that a WebP file may have along a side."""


class NotEncodableError(ValueError):
    """Pixels that a format does not take; the message says why, in a few words."""


def _jpeg(image: Pixels, fields: Mapping[str, str], icc_profile: bytes | None) -> bytes:
    """8 bits a channel, colours at full resolution, transparent pixels on white."""
    colour, file = _on_white(_in_8_bits(image)), io.BytesIO()
    packet = xmp_packet(fields).encode() if fields else b""
    options = {"quality": QUALITY, "subsampling": 0, "xmp": packet}
    Image.fromarray(colour).save(file, "JPEG", icc_profile=icc_profile, **options)
    return file.getvalue()


def _webp(image: Pixels, fields: Mapping[str, str], icc_profile: bytes | None) -> bytes:
    """8 bits a channel; transparency stays."""
    if max(image.shape[:2]) > WEBP_SIDE:
        raise NotEncodableError(f"WebP takes at most {WEBP_SIDE} pixels a side; take --format=png")
    file, packet = io.BytesIO(), xmp_packet(fields).encode() if fields else b""
    options = {"quality": QUALITY, "method": 4, "xmp": packet, "icc_profile": icc_profile or b""}
    Image.fromarray(_in_8_bits(image)).save(file, "WEBP", **options)
    return file.getvalue()


def _in_8_bits(image: Pixels) -> UInt8[np.ndarray, "h w c"]:
    if image.dtype == np.uint8:
        return image
    return np.rint(image.astype(np.float32) / 257).astype(np.uint8)


def _on_white(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    if image.shape[-1] == 3:
        return image
    opacity = image[..., 3:].astype(np.float32) / 255
    return np.rint(opacity * image[..., :3] + (1 - opacity) * 255).astype(np.uint8)


ENCODERS: dict[str, tuple[str, Callable[[Pixels, Mapping[str, str], bytes | None], bytes]]] = {
    "png": (".png", png_bytes),
    "jpeg": (".jpg", _jpeg),
    "webp": (".webp", _webp),
}
"""By the name of a format: the suffix of its files, and what makes them of colours (with alpha),
provenance fields and a colour profile."""
