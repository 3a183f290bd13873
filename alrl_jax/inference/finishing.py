"""From swapped faces to a photo: pasted into the target, and marked as generated."""

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from alrl_jax.inference.job import PairFailed, SwappedFace
from alrl_jax.inference.settings import Settings
from alrl_jax.photos.face_photos import FacePhoto, face_shares, paste_faces
from alrl_jax.provenance import image_metadata
from alrl_jax.provenance.encoding import ENCODERS
from alrl_jax.provenance.watermark import codec
from alrl_jax.utils import png
from alrl_jax.utils.files import write_files

Pixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]


@dataclasses.dataclass(frozen=True)
class SwappedPhoto:
    """A target with its faces swapped, and what it says of itself.

    Attributes:
        pixels: RGB or RGBA, as large and as deep as the target.
        icc_profile: colour profile of the pixels.
        fields: provenance, for the file's metadata.
        watermark: record of the mark; see ``codec.mark``.
        mask: share of the generated faces in every pixel, in units of 1 / 255, 0 where the target
            stayed as it was (but for the mark); None where ``Settings.masks`` does not ask for it.
    """

    pixels: Pixels
    icc_profile: bytes | None
    fields: Mapping[str, str]
    watermark: Mapping[str, Any]
    mask: UInt8[np.ndarray, "h w 1"] | None = None

    @property
    def colour_profile(self) -> str | None:
        """What the file has of the target's colour profile; None where the target has none."""
        return None if self.icc_profile is None else png.profile_fault(self.icc_profile) or "kept"

    def encoded(self, name: str) -> bytes:
        """The file of a format (``ENCODERS``), with its provenance.

        Raises:
            NotEncodableError: the format does not take pictures of this size.
        """
        return ENCODERS[name][1](self.pixels, self.fields, self.icc_profile)

    def png(self) -> bytes:
        """The PNG file, with its provenance."""
        return self.encoded("png")

    def mask_png(self, photo_sha256: str) -> bytes | None:
        """The PNG file of the mask, where there is one; its metadata name the photo's file."""
        if self.mask is None:
            return None
        more = {"digitalSourceType": image_metadata.GENERATED_SOURCE_TYPE, "maskOf": photo_sha256}
        return image_metadata.png_bytes(self.mask, {**self.fields, **more})

    def save(self, path: Path) -> None:
        """Writes the PNG file, all at once or not at all."""
        write_files({path: self.png()})


def finish(
    target: FacePhoto,
    swapped: tuple[SwappedFace, ...],
    settings: Settings,
    model_sha256: str,
    check_mark: bool = True,
) -> SwappedPhoto:
    """Pastes swapped faces into their target and marks it.

    Args:
        target: with its photo.
        swapped: what goes into each of its faces.
        settings: how.
        model_sha256: of the model that drew the faces.
        check_mark: whether to see if the mark can be read, which takes longer than marking.

    Raises:
        PairFailed: the model drew numbers that are not finite.
    """
    if not all(face.is_finite for face in swapped):
        raise PairFailed("the model gave numbers that are not finite")
    assert target.photo is not None
    plain = target.photo.colour
    grey = bool((plain == plain[..., :1]).all())  # such a photo gets no coloured face
    faces = [(_grey(f.generated) if grey else f.generated, f.mask) for f in swapped]
    colour = paste_faces(target, faces, settings.paste)
    now = datetime.datetime.now(datetime.UTC)
    marked, record = codec.mark(
        colour, model_sha256, now.date(), wanted=settings.mark, check=check_mark
    )
    fields = image_metadata.metadata(model_sha256, time=now.isoformat(timespec="seconds"))
    pixels = target.photo.with_alpha(marked)
    mask = None
    if settings.masks:
        mask = face_shares(target, [face.mask for face in swapped], settings.paste)
    return SwappedPhoto(pixels, target.photo.icc_profile, fields, record, mask)


def _grey(image: Float[np.ndarray, "r r 3"]) -> Float[np.ndarray, "r r 3"]:
    """An image in shades of grey: its luma, by the weights of ITU-R BT.601."""
    luma = image @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(luma[..., None], 3, axis=-1).astype(np.float32)
