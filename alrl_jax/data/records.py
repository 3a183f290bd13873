"""One face on disk and in memory: a fixed layout of bytes, so that reading is a copy.

A record is one element of a structured NumPy array. Its fields and their widths follow from the
``Layout`` of the data set: the resolution and the names of what is known about a face.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from alrl_jax.types import UNLABELLED

FORMAT_VERSION = 1
"""Of the byte layout below; part of every description that is written beside the records."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The fields of a record.

    Attributes:
        resolution: height and width of the images, in pixels.
        identity_factors: names of the columns of the factors that make the person.
        attribute_factors: names of the columns of the other factors.
        landmarks: names of the landmarks.
    """

    resolution: int
    identity_factors: tuple[str, ...] = ()
    attribute_factors: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """Structured type of one record; little endian on every machine."""
        r = self.resolution
        return np.dtype(
            [
                ("image", "u1", (r, r, 3)),
                ("parsing", "u1", (r, r)),
                ("identity", "<i4"),
                ("identity_factors", "<f4", (len(self.identity_factors),)),
                ("attribute_factors", "<f4", (len(self.attribute_factors),)),
                ("pose_degrees", "<f4", (3,)),
                ("landmarks", "<f4", (len(self.landmarks), 2)),
                ("labelled", "?"),
            ]
        )

    def empty(self, n: int) -> np.ndarray:
        """Returns ``n`` black records, ``[n]``, that say that nothing is known about them."""
        records = np.zeros(n, self.dtype)
        records["parsing"] = UNLABELLED
        return records

    def to_json(self) -> dict[str, Any]:
        """Returns what ``from_json`` reads, made of JSON types alone."""
        return {
            "resolution": self.resolution,
            "identity_factors": list(self.identity_factors),
            "attribute_factors": list(self.attribute_factors),
            "landmarks": list(self.landmarks),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Layout":
        """Inverse of ``to_json``; KeyError where a field is missing."""
        return cls(
            resolution=int(values["resolution"]),
            identity_factors=tuple(values["identity_factors"]),
            attribute_factors=tuple(values["attribute_factors"]),
            landmarks=tuple(values["landmarks"]),
        )


@runtime_checkable
class Source(Protocol):
    """Faces by number.

    Attributes:
        layout: fields of the records.
        identities: number of the person in every image, from 0, as the ``identity`` of its record;
            equal numbers are the same person.
        report: file name and reason of everything that was left out.
    """

    layout: Layout
    identities: Int[np.ndarray, " n"]
    report: list[tuple[str, str]]

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One record as ``to_dict`` returns it."""
        ...

    def read(self, indices: Int[np.ndarray, " b"]) -> np.ndarray:
        """The records of these images, structured, ``[b]``."""
        ...


def to_dict(record: np.void, index: int) -> dict[str, Any]:
    """Returns one structured record as a dictionary of arrays, ``index`` among them.

    Images and parsing are uint8 ``[r, r, 3]`` and ``[r, r]``; landmarks are in pixels ``[m, 2]``,
    the pose in degrees ``[3]``; ``identity`` and ``index`` are integers, ``labelled`` is a bool.
    """
    fields: dict[str, Any] = {name: np.array(record[name]) for name in record.dtype.names or ()}
    fields["identity"] = np.int32(record["identity"])
    fields["labelled"] = bool(record["labelled"])
    return fields | {"index": np.int64(index)}


def to_uint8(image: Float[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """Rounds pixels in [-1, 1] to 0..255; what lies outside is clipped."""
    return np.clip(np.rint((image + 1.0) * 127.5), 0, 255).astype(np.uint8)


def to_float(image: UInt8[np.ndarray, "*b h w 3"]) -> Float[np.ndarray, "*b h w 3"]:
    """Maps 0..255 to float32 in [-1, 1]; inverse of ``to_uint8`` up to rounding."""
    return image.astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)
