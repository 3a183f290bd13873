"""A photograph that is changed and written again: its own pixels, and those that a network sees.

Upright and at its own size. 8 or 16 bits a channel, alpha and an RGB colour profile are kept; grey,
palette and CMYK become RGB, without the profile of what they were.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from alrl_jax.photos.decoding import UnreadableImageError, decoded, num_pictures, to_rgb, upright
from alrl_jax.utils.opening import open_image

_DEEP = ("I;16B", "LA;16B", "RGB;16B", "RGBA;16B")
"""What Pillow calls 16-bit pixels of a PNG; all but the first it would decode to 8 bits."""
_PROFILE_SPACE = slice(16, 20)
_READING, _READING_DEEP = 24, 56
"""Bytes a pixel that reading takes at its peak, of 8 and of 16 bits a channel; measured."""


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        colour: pixels as they are stored, of 8 or 16 bits.
        alpha: opacity at the same depth; None where all is opaque by format.
        seen: 8-bit RGB, transparent pixels on white: what is looked at.
        icc_profile: colour profile of ``colour``; None where there is none.
        pictures: how many the file shows one after another; this is the first of them.
    """

    colour: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w 1"] | UInt16[np.ndarray, "h w 1"] | None
    seen: UInt8[np.ndarray, "h w 3"]
    icc_profile: bytes | None
    pictures: int = 1

    @property
    def nbytes(self) -> int:
        """What its pixels take in memory."""
        arrays = {id(a): a.nbytes for a in (self.colour, self.alpha, self.seen) if a is not None}
        return sum(arrays.values())

    def with_alpha(
        self, colour: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
        """Other colours with this photo's alpha as a fourth channel, where it has one."""
        return colour if self.alpha is None else np.concatenate([colour, self.alpha], axis=-1)


def read_photo(path: Path) -> Photo:
    """Reads a photograph upright, at its own size and depth.

    Raises:
        UnreadableImageError: the file gives no image; the message says why.
    """
    return decoded(path, lambda image: _photo(image, path))


def reading_bytes(path: Path) -> int:
    """About what ``read_photo`` takes in memory at its peak; 0 where there is no image.

    The header alone says so: nothing is decoded.
    """

    def peak(image: Image.Image) -> int:
        deep = _is_deep(image)
        return image.width * image.height * (_READING_DEEP if deep else _READING)

    try:
        return decoded(path, peak)
    except UnreadableImageError:  # reading it says why
        return 0


def _photo(image: Image.Image, path: Path) -> Photo:
    name, deep, pictures = _rawmode(image), _is_deep(image), num_pictures(image)
    image.load()  # before looking for EXIF: a PNG may hold it at its end
    if deep:
        pixels = _deep(image, name, path)
        seen = _on_white(pixels)
    else:
        has_alpha = image.has_transparency_data
        pixels = np.asarray(image.convert("RGBA") if has_alpha else to_rgb(image))
        seen = np.asarray(to_rgb(image)) if has_alpha else pixels
    profile = image.info.get("icc_profile")
    is_rgb = isinstance(profile, bytes) and profile[_PROFILE_SPACE] == b"RGB "
    colour = upright(image, pixels[..., :3])
    alpha = upright(image, pixels[..., 3:]) if pixels.shape[-1] == 4 else None
    same = alpha is None and colour.dtype == np.uint8  # one array, half the memory
    seen = colour if same else upright(image, seen)
    return Photo(colour, alpha, seen, profile if is_rgb else None, pictures)


def _is_deep(image: Image.Image) -> bool:
    """Whether the pixels are read with 16 bits a channel; those of a TIFF are read with 8."""
    return image.format == "PNG" and _rawmode(image) in _DEEP


def _rawmode(image: Image.Image) -> str:
    """How the pixels of a photo that is not loaded yet lie in their file, as Pillow says it."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if len(tiles) == 1 else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _deep(image: Image.Image, name: str, path: Path) -> UInt16[np.ndarray, "h w c"]:
    """RGB or RGBA of 16 bits.

    Pillow unpacks 16-bit colour to its high bytes, and to the low ones where it is made to take the
    other byte order. Grey with alpha is four bytes a pixel, and read as such.
    """
    key = image.info.get("transparency")
    if name == "I;16B":
        grey = np.asarray(image).astype(np.uint16)[..., None]
        return _with_key(np.repeat(grey, 3, axis=-1), key)
    if name == "LA;16B":
        four = _unpacked(path, "RGBA").astype(np.uint16)
        return (four[..., ::2] << 8 | four[..., 1::2])[..., [0, 0, 0, 1]]
    low = _unpacked(path, name.replace("16B", "16L"))
    return _with_key(np.asarray(image).astype(np.uint16) << 8 | low, key)


def _unpacked(path: Path, rawmode: str) -> UInt8[np.ndarray, "h w c"]:
    """The pixels of a PNG as another of Pillow's unpackers gives them."""
    with open_image(path, ("PNG",)) as image:
        image.tile = [image.tile[0]._replace(args=rawmode)]  # type: ignore[attr-defined]
        return np.array(image)


def _with_key(colour: UInt16[np.ndarray, "h w d"], key: Any) -> UInt16[np.ndarray, "h w c"]:
    """With alpha, where one colour stands for transparent pixels."""
    if key is None:
        return colour
    opaque = (colour != np.asarray(key, np.uint16)).any(axis=-1, keepdims=True)
    return np.concatenate([colour, opaque.astype(np.uint16) * np.uint16(65535)], axis=-1)


def _on_white(pixels: UInt16[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """16 bits as 8, transparent pixels on white."""
    colour = pixels[..., :3].astype(np.float32) / 257
    if pixels.shape[-1] == 4:
        opacity = pixels[..., 3:].astype(np.float32) / 65535
        colour = opacity * colour + (1 - opacity) * 255
    return np.rint(colour).clip(0, 255).astype(np.uint8)
