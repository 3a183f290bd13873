"""Opens files that may come from strangers: regular files alone, of bounded size, of known formats.

A pipe would be waited for, a device has no end, and what Pillow opens without a list of formats it
may hand to a program of the machine (an EPS named ``photo.jpg`` goes to Ghostscript). So every
image is opened here.
"""

import contextlib
import errno
import io
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from alrl_jax.utils.buckets import fetch

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")  # JPEG covers MPO, what phones write into .jpg
MAX_JSON_BYTES = 2**26
"""Of a JSON file: far more than any that is written here."""
MAX_SCANS = 100
"""Scans of a JPEG; progressive ones have about ten."""
MAX_SCANNED_PIXELS = 2**31
"""Pixels of a JPEG times its scans: what decoding costs, as each scan goes through all of them."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7\x01]", re.DOTALL)
"""Where something else than coded pixels begins in a JPEG."""
_SCAN, _END = 0xDA, 0xD9


class OddFileError(OSError):
    """No regular file, or larger than any of its kind."""


def open_regular(path: Path, most: int | None = None) -> io.BufferedReader:
    """Opens a regular file to be read, without ever waiting for one that is not.

    Args:
        path: of the file; links are followed, and what mirrors an address is fetched.
        most: bytes that it may have; None for any number.

    Raises:
        OddFileError: a pipe, a device, a folder; or too large.
        OSError: it cannot be opened.
    """
    fetch(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OddFileError(errno.EINVAL, "not a regular file", str(path))
        if most is not None and found.st_size > most:
            reason = f"{found.st_size} bytes; expected at most {most}"
            raise OddFileError(errno.EFBIG, reason, str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_json(path: Path, most: int = MAX_JSON_BYTES) -> Any:
    """What a JSON file of UTF-8 text holds.

    Raises:
        OSError: it cannot be opened; see ``open_regular``.
        ValueError: no JSON, deeper than Python can read, or with numbers that JSON does not know
            (NaN, infinity).
    """
    with open_regular(path, most) as file:
        return parse_json(file.read())


def parse_json(text: bytes | str) -> Any:
    """See ``read_json``."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no number in JSON")


@contextlib.contextmanager
def open_image(
    file: Path | bytes, formats: list[str] | tuple[str, ...] = IMAGE_FORMATS
) -> Iterator[Image.Image]:
    """An image file, opened and not decoded yet.

    Args:
        file: its path, or its content.
        formats: as Pillow calls them; no other decoder is asked.

    Raises:
        OSError: no regular file, or none of these formats.
        ValueError: a JPEG of so many scans that decoding it would take minutes.
    """
    stream = io.BytesIO(file) if isinstance(file, bytes) else open_regular(file)
    with stream, Image.open(stream, formats=formats) as image:
        if image.format in ("JPEG", "MPO"):
            _check_scans(image, stream)
        yield image


def _check_scans(image: Image.Image, stream: io.BufferedIOBase) -> None:
    """ValueError for more scans than an encoder writes; the stream is left where it was."""
    place = stream.tell()
    stream.seek(0)
    most = min(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, image.width * image.height))
    scans = count_scans(stream.read(), most + 1)
    stream.seek(place)
    if scans > most:
        raise ValueError(
            f"a JPEG of {image.width}x{image.height} pixels in more than {most} scans; expected "
            "about ten"
        )


def count_scans(jpeg: bytes, most: int) -> int:
    """Scans of the first image in a JPEG file; no further than ``most``."""
    place, scans = 2, 0
    while scans < most and (found := _MARKER.search(jpeg, place)):
        marker, place = jpeg[found.start() + 1], found.end()
        if marker == _END:
            break
        scans += marker == _SCAN
        place += int.from_bytes(jpeg[place : place + 2], "big")
    return scans
