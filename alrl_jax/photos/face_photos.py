"""Photos with those of their faces that are to be swapped."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from alrl_jax.photos.alignment import Alignment, centre_square, crop_face
from alrl_jax.photos.found_face import FaceNotFoundError, FoundFace
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.photos.paste import DeepPixels, PasteOptions, face_share, paste_face
from alrl_jax.photos.photo import Photo, read_photo


@dataclasses.dataclass(frozen=True)
class Face:
    """One face of a photo.

    Attributes:
        alignment: where its crop lies.
        crop: in [-1, 1]; of a source of several pictures one of each.
        found: what was found there; None where nothing was looked for.
        similarity: cosine of its identity and that of the reference that it was taken for; None
            without references.
    """

    alignment: Alignment
    crop: Float[np.ndarray, "r r 3"] | Float[np.ndarray, "k r r 3"]
    found: FoundFace | None = None
    similarity: float | None = None


@dataclasses.dataclass(frozen=True)
class FacePhoto:
    """A photo and the faces of it that count: one of a source, one or more of a target.

    Attributes:
        photo: as it was read; None where only its faces are kept.
        faces: where they lie, and their crops.
        sha256: of the file; "" where it came from memory.
        size: width and height of the upright photo in px.
        pictures: how many its file shows one after another, of which this is the first.
    """

    photo: Photo | None
    faces: tuple[Face, ...]
    sha256: str
    size: tuple[int, int]
    pictures: int = 1

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return sum(f.crop.nbytes for f in self.faces) + (self.photo.nbytes if self.photo else 0)

    def without_photo(self) -> "FacePhoto":
        """The faces alone."""
        return dataclasses.replace(self, photo=None)


def read_faces(
    path: Path, sha256: str, finder: FaceFinder | None, choice: str, resolution: int
) -> FacePhoto:
    """Reads a photo and cuts out the chosen faces.

    Args:
        path: of the photo.
        sha256: of its file.
        finder: what finds faces; None takes the centre square as the one face.
        choice: which of the faces found; see ``landmarks.choose_faces``.
        resolution: side of the crops in px.

    Raises:
        UnreadableImageError: the file gives no image.
        FaceNotFoundError: the photo has no such face.
    """
    photo = read_photo(path)
    return find_faces(photo, path, sha256, finder, choice, resolution)


def find_faces(
    photo: Photo,
    path: Path,
    sha256: str,
    finder: FaceFinder | None,
    choice: str,
    resolution: int,
) -> FacePhoto:
    """Cuts the chosen faces out of a photo; see ``read_faces``.

    Raises:
        FaceNotFoundError: the photo has no such face.
    """
    if finder is None:
        _warn_of_sides(photo, path)
        return cut_faces(photo, [centre_square(photo.seen, resolution)], sha256)
    try:
        found = finder.places(path, photo.seen, choice)
    except FaceNotFoundError as error:
        hint = "crops need --aligned or --aligned_source"
        raise FaceNotFoundError(f"{error}; {hint}") from error
    places = [alignment for _, alignment in found]
    return cut_faces(photo, places, sha256, [face for face, _ in found])


def cut_faces(
    photo: Photo,
    places: list[Alignment],
    sha256: str,
    found: Sequence[FoundFace | None] | None = None,
) -> FacePhoto:
    """A photo with the faces at these places, and what was found there."""
    pairs = zip(places, found or [None] * len(places), strict=True)
    faces = tuple(Face(place, crop_face(photo.seen, place), own) for place, own in pairs)
    height, width = photo.seen.shape[:2]
    return FacePhoto(photo, faces, sha256, (width, height), photo.pictures)


def _warn_of_sides(photo: Photo, path: Path) -> None:
    """Warns, once in a run, of a photo that can hardly be a face crop."""
    height, width = photo.seen.shape[:2]
    if height != width:
        logging.log_first_n(
            logging.WARNING,
            "%s has %dx%d pixels and is taken for a face crop: its centre square counts, wherever "
            "the face is; leave out --aligned to find faces",
            1,
            *(path.name or "a picture", width, height),
        )


def paste_faces(
    target: FacePhoto,
    swapped: list[tuple[Float[np.ndarray, "r r 3"], Float[np.ndarray, "r r 1"]]],
    options: PasteOptions,
) -> DeepPixels:
    """The photo's colours with all its faces swapped; its size and depth are the photo's.

    Where two faces meet, the larger one lies over the other: with shares m and n of theirs, a pixel
    has (1 - m) (1 - n) of the photo, m (1 - n) of the face below and n of the one above.

    Args:
        target: with its photo.
        swapped: generated face and mask of each of its faces.
        options: see ``paste.paste_face``.
    """
    assert target.photo is not None
    colour = target.photo.colour
    pairs = sorted(zip(target.faces, swapped, strict=True), key=lambda pair: _size(pair[0]))
    shares = [_share(target, face, mask, options) for face, (_, mask) in pairs]
    for number, (face, (generated, mask)) in enumerate(pairs):
        room = _room(shares[number], shares[number + 1 :])
        colour = paste_face(colour, face.alignment, face.crop, generated, mask, options, room)
    return colour


Share = UInt8[np.ndarray, "h w 1"]


def _share(
    target: FacePhoto, face: Face, mask: Float[np.ndarray, "r r 1"], options: PasteOptions
) -> Share | None:
    """Share of one face in every pixel, in units of 1 / 255; None where there is one face alone."""
    if len(target.faces) == 1:
        return None
    return face_share(*target.size, face.alignment, mask, options)


def _room(own: Share | None, above: Sequence[Share | None]) -> Float[np.ndarray, "h w 1"] | None:
    """What faces above leave of one; None where none of them meets it."""
    meeting = [
        s for s in above if own is not None and s is not None and ((s > 0) & (own > 0)).any()
    ]
    if not meeting:
        return None
    room = np.ones(meeting[0].shape, np.float32)
    for share in meeting:
        room *= 1 - share.astype(np.float32) / 255
    return room


def _size(face: Face) -> float:
    """Side of a face's crop in the photo, px."""
    return 1 / float(np.linalg.norm(face.alignment.matrix[:2, 0]))


def face_shares(
    target: FacePhoto, masks: list[Float[np.ndarray, "r r 1"]], options: PasteOptions
) -> UInt8[np.ndarray, "h w 1"]:
    """How much of every pixel of a photo comes from the faces that are swapped in it.

    In units of 1 / 255, rounded up; where two faces meet, what neither leaves of the photo.

    Args:
        target: the photo.
        masks: of each of its faces; see ``paste.face_share``.
        options: how they are pasted.
    """
    width, height = target.size
    left = np.full((height, width, 1), 255, np.uint8)
    for face, mask in zip(target.faces, masks, strict=True):
        share = face_share(width, height, face.alignment, mask, options)
        touched = share > 0
        remaining = left[touched].astype(np.uint16) * (255 - share[touched])
        left[touched] = (remaining // 255).astype(np.uint8)
    return 255 - left
