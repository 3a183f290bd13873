"""Image files of every kind that a folder of photographs may hold."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 48


def image() -> Image.Image:
    """Left half red, right half blue, a green stripe at the top."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2] = 255, 0, 0
    pixels[:, SIDE // 2 :] = 0, 0, 255
    pixels[: SIDE // 4] = 0, 255, 0
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _transparent() -> bytes:
    shown = image().convert("RGBA")
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[SIDE // 2 :] = 0
    shown.putalpha(Image.fromarray(alpha))
    return encoded(shown, "PNG")


def _deep_grey() -> bytes:
    ramp = np.linspace(0, 65535, SIDE).astype(np.uint16)
    return encoded(Image.fromarray(np.tile(ramp, (SIDE, 1))), "PNG")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# Where each pass of an interlaced PNG starts and how far it steps: x, y, right, down.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def deep_png(pixels: np.ndarray, colour_type: int, interlaced: bool = False) -> bytes:
    """A PNG of 16 bits a channel, rows unfiltered; h w c as the colour type has it."""
    height, width = pixels.shape[:2]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = (pixels[y::down, x::right] for x, y, right, down in passes)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in parts for row in part)
    head = struct.pack(">2I5B", width, height, 16, colour_type, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _deep_rgb() -> bytes:
    """Orange, of 16 bits a channel, which Pillow reads but does not write."""
    return deep_png(np.full((SIDE, SIDE, 3), (0xFFFF, 0x8000, 0), np.uint16), 2)


def _claiming(width: int, height: int) -> bytes:
    """A small PNG that claims to have so many pixels."""
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + body + _chunk(b"IEND", b"")


def _with_chunk(chunk: bytes) -> bytes:
    plain = encoded(image(), "PNG")
    return plain[:33] + chunk + plain[33:]  # after the header


def _with_text(size: int) -> bytes:
    """A PNG whose compressed comment grows without bounds."""
    return _with_chunk(_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size))))


def _with_profile(size: int) -> bytes:
    """A PNG whose compressed colour profile does."""
    return _with_chunk(_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(size))))


def _frames(kind: str) -> bytes:
    rest = [Image.new("RGB", (SIDE, SIDE), color) for color in ("black", "white")]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(image(), kind, save_all=True, append_images=rest, duration=50, **options)


def _many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    jpeg = encoded(image(), "JPEG", quality=95, progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


def _oriented(kind: str) -> bytes:
    """A photo that was taken with the camera on its side (EXIF 6)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image().transpose(Image.Transpose.ROTATE_90), kind, exif=exif, quality=95)


READABLE: dict[str, Callable[[], bytes]] = {
    "plain.png": lambda: encoded(image(), "PNG"),
    "plain.jpg": lambda: encoded(image(), "JPEG", quality=95),
    "UPPER.JPEG": lambda: encoded(image(), "JPEG", quality=95),
    "progressive.jpg": lambda: encoded(image(), "JPEG", quality=95, progressive=True),
    "plain.webp": lambda: encoded(image(), "WEBP", lossless=True),
    "palette.png": lambda: encoded(image().quantize(8), "PNG"),
    "cmyk.jpg": lambda: encoded(image().convert("CMYK"), "JPEG", quality=95),
    "animated.png": lambda: _frames("PNG"),
    "animated.webp": lambda: _frames("WEBP"),
    "plain.avif": lambda: encoded(image(), "AVIF", quality=95),
    "animated.gif": lambda: _frames("GIF"),
    "plain.tiff": lambda: encoded(image(), "TIFF"),
    "cmyk.tif": lambda: encoded(image().convert("CMYK"), "TIFF", compression="tiff_lzw"),
    "oriented.avif": lambda: _oriented("AVIF"),
    "png_named.jpg": lambda: encoded(image(), "PNG"),
    "oriented.jpg": lambda: _oriented("JPEG"),
    "oriented.webp": lambda: _oriented("WEBP"),
    "oriented.png": lambda: _oriented("PNG"),
    "multi_picture.jpg": lambda: encoded(
        image(), "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))]
    ),
    "broken_exif.jpg": lambda: encoded(
        image(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0"
    ),
}
"""Files that show ``image()``."""

OTHER_READABLE: dict[str, Callable[[], bytes]] = {
    "grey.jpg": lambda: encoded(image().convert("L"), "JPEG", quality=95),
    "grey_alpha.png": lambda: encoded(image().convert("LA"), "PNG"),
    "bilevel.png": lambda: encoded(image().convert("1"), "PNG"),
    "transparent.png": _transparent,
    "palette_transparent.png": lambda: encoded(image().quantize(8), "PNG", transparency=0),
    "deep_grey.png": _deep_grey,
    "deep_rgb.png": _deep_rgb,
}
"""Files that can be read and show something else."""

BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (lambda: b"", "empty file"),
    "text.png": (
        lambda: b"I am not a photo",
        "not a JPEG, PNG or WebP file, nor AVIF, GIF, HEIC or TIFF",
    ),
    "bmp_named.jpg": (
        lambda: encoded(image(), "BMP"),
        "not a JPEG, PNG or WebP file, nor AVIF, GIF, HEIC or TIFF",
    ),
    "truncated.jpg": (lambda: READABLE["plain.jpg"]()[:600], "(?i)truncated"),
    "truncated.png": (lambda: READABLE["plain.png"]()[:-40], "(?i)truncated"),
    "truncated.webp": (lambda: READABLE["plain.webp"]()[:-20], "."),
    "header_only.png": (lambda: READABLE["plain.png"]()[:20], "."),
    "flipped_bits.png": (
        lambda: bytes(b ^ (0xFF if i == 60 else 0) for i, b in enumerate(READABLE["plain.png"]())),
        ".",
    ),
    "truncated.gif": (lambda: READABLE["animated.gif"]()[:60], "."),
    "truncated.tif": (lambda: READABLE["cmyk.tif"]()[:-200], "."),
    "float.tif": (
        lambda: encoded(Image.fromarray(np.zeros((SIDE, SIDE), np.float32)), "TIFF"),
        "32 bits a channel",
    ),
    "one_pixel.png": (lambda: encoded(Image.new("RGB", (1, 1)), "PNG"), "1x1 pixels"),
    "sliver.png": (lambda: encoded(Image.new("RGB", (400, 3)), "PNG"), "400x3 pixels"),
    "bomb.png": (lambda: _claiming(20000, 20000), "too many pixels"),
    "large.png": (lambda: _claiming(9000, 15000), "too many pixels"),
    "absurd.png": (lambda: _claiming(16, 80000), "too many pixels: 16x80000"),
    "many_scans.jpg": (lambda: _many_scans(150), "more than 100 scans"),
    "text_bomb.png": (lambda: _with_text(2**22), "(?i)large|memory"),
    "profile_bomb.png": (lambda: _with_profile(2**22), "(?i)large|data"),
}
"""Files that cannot be used, and what is said about them."""


def write_zoo(directory: Path) -> None:
    """Writes all of them into one folder."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in (READABLE | OTHER_READABLE).items():
        (directory / name).write_bytes(make())
    for name, (make, _) in BROKEN.items():
        (directory / name).write_bytes(make())
