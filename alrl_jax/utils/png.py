"""Writing PNG files of 8 and of 16 bits a channel; Pillow writes colour of 8 bits alone.

Source: Portable Network Graphics specification, third edition (W3C).
"""

import io
import struct
import zlib

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image
from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
_UP = b"\x02"
"""The filter that stores the difference to the row above."""


def profile_fault(icc_profile: bytes | None) -> str | None:
    """Why a colour profile is left out, or None where it is written."""
    if icc_profile is None or len(icc_profile) < MAX_TEXT_CHUNK:
        return None
    return f"left out: {len(icc_profile)} bytes; readers of PNG take fewer than {MAX_TEXT_CHUNK}"


def encode(
    pixels: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    info: PngInfo | None = None,
    icc_profile: bytes | None = None,
) -> bytes:
    """The bytes of a PNG file of the pixels' own depth.

    Args:
        pixels: 1 channel (grey), 3, or 4 with alpha (not premultiplied) as the last.
        info: text chunks.
        icc_profile: colour profile; left out where ``profile_fault`` says so.
    """
    if profile_fault(icc_profile):
        icc_profile = None
    if pixels.dtype == np.uint16:
        return _encode_deep(pixels, info, icc_profile)
    file = io.BytesIO()
    pillow = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(pillow).save(file, format="PNG", pnginfo=info, icc_profile=icc_profile)
    return file.getvalue()


def _encode_deep(
    pixels: UInt16[np.ndarray, "h w c"], info: PngInfo | None, icc_profile: bytes | None
) -> bytes:
    height, width, channels = pixels.shape
    head = struct.pack(">2I5B", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = [_SIGNATURE, _chunk(b"IHDR", head)]
    if icc_profile:
        parts.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile)))
    parts += [_chunk(name, data) for name, data, *_ in (info.chunks if info else [])]
    packer, packed = zlib.compressobj(), []
    above = np.zeros(width * channels * 2, np.uint8)
    for row in pixels:
        bytes_ = np.frombuffer(row.astype(">u2").tobytes(), np.uint8)
        packed.append(packer.compress(_UP + (bytes_ - above).tobytes()))
        above = bytes_
    packed.append(packer.flush())
    return b"".join([*parts, _chunk(b"IDAT", b"".join(packed)), _chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
