"""Photos of pairs, with the faces that count in them; a photo of many pairs is read once.

What is opened is a regular file of a size that photographs have; ``photos.decoding`` guards
against broken ones.
"""

import dataclasses
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from alrl_jax.inference.bounded_cache import BoundedCache
from alrl_jax.inference.job import PairFailed
from alrl_jax.inference.settings import Settings
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.face_photos import FacePhoto, read_faces
from alrl_jax.photos.file_trees import MAX_FILE_BYTES
from alrl_jax.photos.found_face import FaceNotFoundError
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.photos.photo import reading_bytes
from alrl_jax.utils import hashing
from alrl_jax.utils.buckets import fetch

HASHES = 4096
"""Files whose hash is remembered."""
SOURCE_BYTES = 2**27
"""Source faces that are remembered, together."""

_Version = tuple[Path, int, int, int]


@dataclasses.dataclass(frozen=True)
class _File:
    """A file as it was found: its path, and what changes when its content does."""

    name: str
    version: _Version

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.version[0]


class PhotoReader:
    """Reads the photos of pairs, from several threads.

    Args:
        settings: which faces, and whether photos are face crops.
        finder: what finds faces; None where all photos are crops.
        resolution: side of the crops in px.
        refused: files that must not be read, with the reason.
    """

    def __init__(
        self,
        settings: Settings,
        finder: FaceFinder | None,
        resolution: int,
        refused: Mapping[Path, str] | None = None,
    ) -> None:
        self._settings, self._finder, self._resolution = settings, finder, resolution
        self._refused = refused or {}
        self._hashes: BoundedCache[str] = BoundedCache(HASHES)
        crop_bytes = resolution * resolution * 3 * 4
        self._sources: BoundedCache[FacePhoto] = BoundedCache(max(8, SOURCE_BYTES // crop_bytes))

    def sha256(self, name: str, path: Path) -> str:
        """Hash of the content of a file.

        Args:
            name: ``source`` or ``target``, for the message.
            path: of the file.

        Raises:
            PairFailed: it cannot be read, or is not to be.
        """
        file = self._file(name, path)
        return self._hashes.get(file.version, lambda: _hash(file))

    def weight(self, name: str, path: Path) -> int:
        """About what reading a photo takes in memory at its peak, in bytes; see ``reading_bytes``.

        0 for what cannot be read, and for a source that is known already.
        """
        try:
            file = self._file(name, path)
        except PairFailed:  # reading it says why
            return 0
        return 0 if name == "source" and file.version in self._sources else reading_bytes(path)

    def sources(self, paths: Sequence[Path], hashes: Sequence[str]) -> FacePhoto:
        """One face of several pictures of a person, whose mean is swapped in.

        Raises:
            PairFailed: one of them has none.
        """
        read = []
        for path, own in zip(paths, hashes, strict=True):
            try:
                read.append(self.source(path, own))
            except PairFailed as error:
                raise PairFailed(f"{error} ({path.name}, of several to be averaged)") from error
        crops = np.stack([photo.faces[0].crop for photo in read])
        face = dataclasses.replace(read[0].faces[0], crop=crops)
        return dataclasses.replace(read[0], faces=(face,), sha256=hashing.joined_sha256(hashes))

    def source(self, path: Path, sha256: str) -> FacePhoto:
        """The face of a source; its photo is let go.

        Raises:
            PairFailed: there is none.
        """
        file = self._file("source", path)
        return self._sources.get(file.version, lambda: self._read(file, sha256).without_photo())

    def target(self, path: Path, sha256: str, choice: str = "") -> FacePhoto:
        """A target with its faces.

        Args:
            path: of the photo.
            sha256: of its file.
            choice: which faces; what the settings say where it is empty.

        Raises:
            PairFailed: there are none.
        """
        return self._read(self._file("target", path), sha256, choice)

    def _file(self, name: str, path: Path) -> _File:
        if path in self._refused:
            raise PairFailed(f"{name}: {self._refused[path]}")
        fetch(path)
        try:
            status = path.stat()
        except OSError as error:
            raise PairFailed(f"{name}: {error.strerror}") from error
        except ValueError as error:  # a name with a null character in it
            raise PairFailed(f"{name}: {error}") from error
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise PairFailed(f"{name}: not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise PairFailed(f"{name}: {status.st_size} bytes; no photograph has as many")
        return _File(name, (path, status.st_ino, status.st_size, status.st_mtime_ns))

    def _read(self, file: _File, sha256: str, choice: str = "") -> FacePhoto:
        finder = None if self._settings.is_crop(file.name) else self._finder
        choice = choice or self._settings.choice(file.name)
        try:
            photo = read_faces(file.path, sha256, finder, choice, self._resolution)
            _warn_of_pictures(file.path, photo)
            return photo
        except (UnreadableImageError, FaceNotFoundError) as error:
            raise PairFailed(f"{file.name}: {error}") from error
        except MemoryError as error:
            raise PairFailed(f"{file.name}: too large for this machine's memory") from error


def _warn_of_pictures(path: Path, photo: FacePhoto) -> None:
    """Says which picture counts of a file that has several, of the first such files."""
    if photo.pictures > 1:
        logging.log_first_n(
            logging.WARNING,
            "%s: the first of its %d pictures counts; alrl infer-frames swaps in all frames of a "
            "video",
            3,
            *(path.name, photo.pictures),
        )


def open_finder(
    settings: Settings, landmarks_path: Path | None, resolution: int
) -> FaceFinder | None:
    """What finds faces as the settings say; None where all photos are face crops.

    Args:
        settings: of the run.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        resolution: side of the crops in px.

    Raises:
        UserError: it cannot be opened.
    """
    if settings.aligned:
        return None
    return FaceFinder(settings.landmarks_from, landmarks_path, resolution, settings.detector)


def _hash(file: _File) -> str:
    try:
        return hashing.file_sha256(file.path)
    except OSError as error:
        raise PairFailed(f"{file.name}: {error.strerror}") from error
