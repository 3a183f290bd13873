"""Reading photographs as they come: whatever Pillow can make of their files, as square RGB.

JPEG, PNG, WebP, AVIF, GIF and TIFF; HEIC (what phones write) where the extra ``heif`` is installed.
What the files are turned into: 16-bit grey is scaled to 8 bits; grey, palette and CMYK become
RGB; transparent pixels lie on white; of several pictures the first one
counts; EXIF orientation is
honoured. Embedded colour profiles are not applied. The file's content decides what it is, not its
name. Photos of absurd size are refused before they are decoded, and so is text or a profile that
grows beyond what Pillow allows.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.utils.opening import OddFileError, open_image, open_regular

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp"),
    *(".avif", ".gif", ".heic", ".heif", ".tif", ".tiff"),
)
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF")
"""Of Pillow; JPEG covers MPO, what phones write into .jpg."""
HEIF = "HEIF"
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What a HEIC file begins with, after its length and ``ftyp``."""
NO_HEIF = "a HEIC file; reading it needs pip install 'alrl_jax[heif]'"
UNKNOWN = "not a JPEG, PNG or WebP file, nor AVIF, GIF, HEIC or TIFF"
MIN_SIDE = 16
"""Pixels; no face can be seen in anything smaller."""

MAX_SIDE = 2**16 - 1
"""Pixels; only PNG allows longer sides, and no camera has them."""
MAX_PIXELS = 2**27
"""Pixels of a whole photo; the largest cameras have somewhat more than 100 million."""

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
"""What turns stored pixels upright, by EXIF orientation."""
_ORIENTATION = 0x0112


Decoded = TypeVar("Decoded")


class UnreadableImageError(ValueError):
    """A file that cannot be used; the message is the reason, in a few words."""


def read_image(
    photo: Path | bytes, resolution: int, *, cut: bool = True
) -> UInt8[np.ndarray, "r r 3"]:
    """Reads a photograph of any size, or the content of its file, as ``resolution`` pixels square.

    The centre square is cut out and resized with antialiasing (Lanczos), then turned upright.
    Without ``cut`` the photo has to be square, as those that come with masks are.

    Raises:
        UnreadableImageError: the file gives no image; the message says why.
    """

    def decode(image: Image.Image) -> np.ndarray:
        if not cut:
            _expect_square(image)
        return _square(image, resolution)

    return decoded(photo, decode)


def read_mask(mask: Path | bytes, resolution: int) -> Bool[np.ndarray, "r r"]:
    """Reads a square black and white image file of any size: True where it is not black.

    Resized without interpolation (the nearest pixel), so that no new values come up.

    Raises:
        UnreadableImageError: the file gives no mask; the message says why.
    """
    return decoded(mask, lambda image: _mask(image, resolution))


def read_pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Reads a photograph upright and at its own size.

    Raises:
        UnreadableImageError: the file gives no image; the message says why.
    """
    return decoded(path, _whole)


def decoded(file: Path | bytes, decode: Callable[[Image.Image], Decoded]) -> Decoded:
    """Opens a file and decodes it.

    Raises:
        UnreadableImageError: the file cannot be decoded; the message says why.
    """
    try:
        with open_image(file, _formats(file)) as image:
            _check_size(image)
            return decode(image)
    except (UnreadableImageError, UserError):
        raise
    # Broken files make decoders raise nearly anything (struct.error, IndexError, SyntaxError, ...).
    except Exception as error:
        raise UnreadableImageError(_reason(error, file)) from error


def num_pictures(image: Image.Image) -> int:
    """How many pictures an opened file shows one after another, such as an animation's frames."""
    # Those beside the photo in a phone's JPEG are no frames: depth, brightness, a smaller copy.
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def _formats(file: Path | bytes) -> list[str]:
    """The formats that a file may have; UnreadableImageError for HEIC without its reader."""
    if isinstance(file, bytes):
        head = file[:12]
    else:
        with open_regular(file) as stream:
            head = stream.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC_BRANDS:
        return _known_formats()
    if not _opens_heif():
        # Files of that brand may be AVIF.
        if head[8:12] in (b"mif1", b"msf1"):
            return _known_formats()
        raise UnreadableImageError(NO_HEIF)
    return [*_known_formats(), HEIF]


@functools.cache
def _known_formats() -> list[str]:
    """``FORMATS`` that this Pillow has been built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@functools.cache
def _opens_heif() -> bool:
    """Lets Pillow open HEIC files; False where the extra is not installed."""
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener()
    return True


def _check_size(image: Image.Image) -> None:
    """UnreadableImageError for what is too small or too large, or has pixels of 32 bits."""
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"too many pixels: {width}x{height}; expected at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS} in all"
        )
    if min(width, height) < MIN_SIDE:
        raise UnreadableImageError(
            f"{width}x{height} pixels; expected at least {MIN_SIDE}x{MIN_SIDE}"
        )
    if image.mode == "F" or (image.format == "TIFF" and image.mode == "I"):
        raise UnreadableImageError("32 bits a channel; expected 8 or 16")


def _expect_square(image: Image.Image) -> None:
    """UnreadableImageError for anything else: masks fit whole images only."""
    if image.width != image.height:
        raise UnreadableImageError(f"{image.width}x{image.height} pixels; expected a square")


def _whole(image: Image.Image) -> np.ndarray:
    """Decodes an opened image at its own size."""
    image.load()  # before looking for EXIF: a PNG may hold it at its end
    return upright(image, np.asarray(to_rgb(image)))


def _square(image: Image.Image, resolution: int) -> np.ndarray:
    """Decodes an opened image as a square."""
    image.draft("RGB", (2 * resolution, 2 * resolution))  # JPEG decoders can shrink as they decode
    image.load()
    return upright(image, np.asarray(square(image, resolution)))


def _mask(image: Image.Image, resolution: int) -> np.ndarray:
    """Decodes an opened image as a mask."""
    _expect_square(image)
    image.load()
    # Grey keeps its depth: what turns 16 bits into 8 would lose the darkest values. Of what has
    # transparency the colours count, as if they could be seen.
    plain = image.mode in ("1", "L", "RGB") or image.mode.startswith("I")
    image = image if plain else image.convert("RGBA").convert("RGB")
    image = image.resize((resolution, resolution), Image.Resampling.NEAREST)
    channels = np.moveaxis(np.asarray(image).reshape(resolution, resolution, -1), -1, 0)
    return functools.reduce(np.maximum, channels) != 0


def upright(image: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """Turns pixels (h w ...) of an image that is loaded as its EXIF orientation asks."""
    return np.array(_UPRIGHT.get(_orientation(image), lambda same: same)(pixels), order="C")


def square(image: Image.Image, resolution: int) -> Image.Image:
    """Cuts out the centre square, as RGB, and resizes it to ``resolution`` with antialiasing."""
    image = to_rgb(image)
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize(
        (resolution, resolution),
        Image.Resampling.LANCZOS,
        box=(left, top, left + side, top + side),
        reducing_gap=3.0,
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts any mode to RGB; transparent pixels lie on white."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion would clip
        values = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) where there is none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a photo with a broken EXIF block is still a photo
        return 1


def _reason(error: Exception, file: Path | bytes) -> str:
    """One line without the path, which the report names already."""
    if isinstance(error, OddFileError):
        return str(error.strerror)
    if isinstance(error, Image.UnidentifiedImageError):
        size = len(file) if isinstance(file, bytes) else file.stat().st_size
        return UNKNOWN if size else "empty file"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too many pixels: {error}"
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
