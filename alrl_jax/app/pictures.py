"""The photos that a user of the page chooses: uploads, as untrusted as everywhere, and inventions.

An upload keeps nothing of its name but for the screen. It is opened as every photo is: regular
files of bounded size, of known formats, checked before they are decoded.
"""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from alrl_jax.errors import UserError
from alrl_jax.inference.protocols import FaceSampler
from alrl_jax.inference.samples import SAMPLE, read_seed, write_sample
from alrl_jax.photos.alignment import centre_square
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.face_photos import Face, FacePhoto, cut_faces
from alrl_jax.photos.file_trees import MAX_FILE_BYTES
from alrl_jax.photos.found_face import FaceNotFoundError
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.photos.photo import read_photo
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing
from alrl_jax.utils.opening import open_regular
from alrl_jax.utils.printing import one_line
from alrl_jax.worlds import primitives

Number = float | int | None
"""What a page's number field gives."""
LARGEST, ALL = "largest", "all"
SCENE_SEED = 20261201
"""Seeds the sampled targets of the procedural world."""
SCENE_SIDE = 256
"""Side of a sampled target in px: the least that gets the invisible mark."""
LONGEST_NAME = 60


@dataclasses.dataclass(frozen=True)
class Picture:
    """A photo that was chosen.

    Attributes:
        path: in the session's folder.
        name: for the screen.
        cropped: it is a face crop, in which no face is looked for.
        invented: nobody is in it.
    """

    path: Path
    name: str
    cropped: bool
    invented: bool = False


def take_upload(
    uploaded: Path, folder: Path, number: int, cropped: bool, most: int = MAX_FILE_BYTES
) -> Picture:
    """Moves an uploaded file into a session's folder.

    Args:
        uploaded: where the server left it.
        folder: of the session.
        number: that no other file of the session has.
        cropped: see ``Picture``.
        most: bytes that it may have.

    Raises:
        UserError: no regular file, empty, or too large; it is removed.
    """
    name = one_line(uploaded.name, LONGEST_NAME)
    path = folder / f"upload_{number}{_suffix(uploaded)}"
    try:
        with open_regular(uploaded, most) as file:
            empty = not file.read(1)
        if empty:
            raise OSError(0, "empty file")
        shutil.move(uploaded, path)
    except OSError as error:
        uploaded.unlink(missing_ok=True)
        raise UserError(
            f"got {name} ({error.strerror}); expected a file that can be read; choose another"
        ) from None
    return Picture(path, name, cropped)


def _suffix(path: Path) -> str:
    """A file name's end, where it is plain: what FFmpeg and people go by."""
    end = path.suffix.lower()
    return end if end.isascii() and end[1:].isalnum() and len(end) <= 6 else ""


def invent_source(model: FaceSampler, seed: Number, folder: Path) -> Picture:
    """A person who does not exist, as ``--source=sample:SEED`` draws one.

    Raises:
        UserError: no seed.
    """
    number = read_seed(_named(seed))
    path = write_sample(model, f"{SAMPLE}{number}", folder)
    return Picture(path, f"invented person {number}", cropped=True, invented=True)


def invent_target(model: FaceSampler, model_sha256: str, seed: Number, folder: Path) -> Picture:
    """A picture of a person who does not exist, in some pose, light and mood.

    A model of the procedural world gets a rendered one; other models draw it themselves.

    Raises:
        UserError: no seed.
    """
    number = read_seed(_named(seed))
    path = folder / f"target_{number}.png"
    if model.samples_are_rendered:
        pixels, kind = scene(number), image_metadata.RENDERED_SOURCE_TYPE
    else:
        pixels, kind = model.sample_face(number), image_metadata.GENERATED_SOURCE_TYPE
    content = image_metadata.png_bytes(
        to_bytes(np.asarray(pixels)), image_metadata.metadata(model_sha256, kind)
    )
    path.write_bytes(content)
    return Picture(path, f"invented target {number}", cropped=True, invented=True)


def scene(seed: int) -> Float[np.ndarray, "r r 3"]:
    """A face of the procedural world, every factor of which is drawn; equal seeds, equal faces."""
    people, looks = jax.random.split(
        jax.random.fold_in(jax.random.key(SCENE_SEED), np.uint32(seed))
    )
    identities = primitives.sample_identities(people, 1)
    attributes = primitives.sample_attributes(looks, 1)
    return np.asarray(primitives.render(identities, attributes, SCENE_SIDE).image[0])


def _named(seed: Number) -> str:
    """A seed as flags name it; a number field of a page may be empty or give fractions."""
    whole = seed is not None and float(seed).is_integer()
    return f"{SAMPLE}{int(seed) if whole and seed is not None else seed}"


def to_bytes(pixels: Float[np.ndarray, "h w c"]) -> np.ndarray:
    """Pixels in [-1, 1] as 8 bits."""
    return np.rint((np.clip(pixels, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def read_all_faces(
    picture: Picture, finder: FaceFinder | None, resolution: int, side: str
) -> FacePhoto:
    """A photo with all its faces, from left to right.

    Args:
        picture: which.
        finder: what finds faces; None of a crop, whose centre square is the face.
        resolution: side of the crops in px.
        side: ``source`` or ``target``, for the message.

    Raises:
        UserError: the file gives no image, or there is no face in it.
    """
    try:
        photo = read_photo(picture.path)
        sha256 = hashing.file_sha256(picture.path)
        if finder is None:
            return cut_faces(photo, [centre_square(photo.seen, resolution)], sha256)
        found = finder.places(picture.path, photo.seen, ALL)
    except (UnreadableImageError, FaceNotFoundError, OSError) as error:
        hint = "; or tick that it is a face crop" if isinstance(error, FaceNotFoundError) else ""
        reason = one_line(str(error))
        raise UserError(
            f"got the {side} {picture.name} ({reason}); expected a photo with a face; choose "
            f"another{hint}"
        ) from error
    except MemoryError as error:
        raise UserError(
            f"got the {side} {picture.name}, too large for this machine's memory; expected a "
            "smaller photo; scale it down"
        ) from error
    return cut_faces(photo, [where for _, where in found], sha256, [face for face, _ in found])


def choose(photo: FacePhoto, choice: str) -> FacePhoto:
    """A photo with the faces that count: ``largest``, ``all``, or one by its number from 0.

    Raises:
        UserError: there is none of that number.
    """
    if choice == ALL:
        return photo
    if choice == LARGEST:
        return dataclasses.replace(photo, faces=(max(photo.faces, key=_area),))
    number = int(choice) if choice.isascii() and choice.isdigit() else len(photo.faces)
    if number >= len(photo.faces):
        raise UserError(
            f"got face {choice} of {len(photo.faces)}; expected one that is there; choose again"
        )
    return dataclasses.replace(photo, faces=(photo.faces[number],))


def _area(face: Face) -> float:
    return 0.0 if face.found is None else face.found.area


def face_choices(photo: FacePhoto, several: bool) -> list[tuple[str, str]]:
    """The faces that a user can choose from: words for the screen, and what they mean."""
    count = len(photo.faces)
    if count == 1:
        return [("the only one", LARGEST)]
    numbered = [(f"number {n + 1} from the left", str(n)) for n in range(count)]
    return [("the largest", LARGEST), *([("all", ALL)] if several else []), *numbered]
