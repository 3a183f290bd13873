"""Swaps for programs: pairs from an iterator, photos back, in order."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from alrl_jax.errors import UserError
from alrl_jax.inference import doubts
from alrl_jax.inference.engine import Engine
from alrl_jax.inference.finishing import SwappedPhoto, finish
from alrl_jax.inference.job import Job, PairFailed, fault, timed
from alrl_jax.inference.photo_reader import PhotoReader, open_finder
from alrl_jax.inference.protocols import Swapper, resolution_of
from alrl_jax.inference.settings import DEFAULTS, FACES, Settings
from alrl_jax.loading import load_swapper
from alrl_jax.photos.decoding import MIN_SIDE
from alrl_jax.photos.face_photos import FacePhoto, find_faces
from alrl_jax.photos.found_face import FaceNotFoundError
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.photos.photo import Photo
from alrl_jax.utils import hashing

PhotoLike = Path | str | UInt8[np.ndarray, "_ _ 3"]
"""A photo file, or upright RGB pixels."""


@dataclasses.dataclass(frozen=True)
class StreamResult:
    """What became of one pair.

    Attributes:
        number: of the pair, from 0.
        photo: the target with its faces swapped; None where that failed.
        reason: why it failed; None where it did not.
        seconds: by stage (``read``, ``swap``, ``write``).
        facts: ``gates``, ``identity_similarity``, ``faces`` and ``doubtful``; see ``doubts.facts``.
    """

    number: int
    photo: SwappedPhoto | None
    reason: str | None
    seconds: Mapping[str, float]
    facts: Mapping[str, Any]


def swap_stream(
    pairs: Iterable[tuple[PhotoLike, PhotoLike]],
    model: Swapper | str | Path,
    settings: Settings = DEFAULTS,
    landmarks_path: Path | None = None,
    batch_size: int = 16,
) -> Iterator[StreamResult]:
    """Swaps pairs as they come, for as long as there are any; gives results in their order.

    Reading, device and pasting overlap. Pairs are taken when results are asked for, in the thread
    that asks, a bounded way ahead (``Engine.most_under_way``, fewer where photos are large). A
    pair that cannot be swapped gives a result with a reason, and the next ones go on. Outputs are
    marked as those of the command are.

    Args:
        pairs: (source, target) each: a path, or RGB pixels of 8 bits, upright. Pixels need
            ``settings.aligned`` or a detector, as a landmark file knows photos by their paths.
        model: what ``alrl_jax.load`` gives for a swapper, or its directory.
        settings: whose pose and identity, how faces are found and pasted.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        batch_size: faces at a time.

    Raises:
        UserError: no swapper, or what finds the faces cannot be opened.
    """
    swapper = load_swapper(str(model)) if isinstance(model, str | Path) else model
    resolution = resolution_of(swapper)
    finder = open_finder(settings, landmarks_path, resolution)
    stream = _Stream(settings, finder, resolution, hashing.variables_sha256(swapper.variables))
    engine = Engine(swapper, settings, batch_size)
    return engine.run(enumerate(pairs), stream.prepare, stream.finish, stream.weigh)


class _Stream:
    """The two ends of a stream."""

    def __init__(
        self, settings: Settings, finder: FaceFinder | None, resolution: int, model_sha256: str
    ) -> None:
        self._settings, self._finder, self._resolution = settings, finder, resolution
        self._model_sha256 = model_sha256
        self._reader = PhotoReader(settings, finder, resolution)

    def weigh(self, numbered: tuple[int, Any]) -> int:
        """Bytes that reading a pair takes, about; 0 of what is no pair."""
        pair = numbered[1]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            return 0
        return max(self._weight(name, photo) for name, photo in zip(FACES, pair, strict=True))

    def _weight(self, name: str, photo: Any) -> int:
        if isinstance(photo, str | Path):
            return self._reader.weight(name, Path(photo))
        return photo.nbytes if isinstance(photo, np.ndarray) else 0

    def prepare(self, numbered: tuple[int, Any]) -> Job:
        """Reads a pair and finds its faces."""
        number, pair = numbered
        seconds: dict[str, float] = {}
        job = Job(number, seconds=seconds)
        try:
            with timed(seconds, "read"):
                if not isinstance(pair, tuple | list) or len(pair) != 2:
                    raise PairFailed(f"{type(pair).__name__}, not a pair (source, target)")
                source, target = self._photo("source", pair[0]), self._photo("target", pair[1])
        except PairFailed as error:
            return job.ended("failed", str(error))
        except UserError:
            raise
        except Exception as error:  # one bad photo must not end the stream
            return job.ended("failed", fault(error))
        return dataclasses.replace(job, source=source, target=target)

    def _photo(self, name: str, photo: Any) -> FacePhoto:
        if isinstance(photo, str | Path):
            path = Path(photo)
            sha256 = self._reader.sha256(name, path)
            return getattr(self._reader, name)(path, sha256)
        pixels = _pixels(name, photo)
        finder = None if self._settings.is_crop(name) else self._finder
        choice = self._settings.choice(name)
        photo = Photo(pixels, None, pixels, None)
        try:
            found = find_faces(photo, Path(), "", finder, choice, self._resolution)
        except FaceNotFoundError as error:
            raise PairFailed(f"{name}: {error}") from error
        return found.without_photo() if name == "source" else found

    def finish(self, job: Job) -> StreamResult:
        """Pastes the faces back."""
        if job.status:
            return StreamResult(job.number, None, job.reason, job.seconds, {})
        assert job.target is not None
        seconds = dict(job.seconds)
        try:
            with timed(seconds, "write"):
                photo = finish(job.target, job.swapped, self._settings, self._model_sha256)
                facts = doubts.facts(job, self._settings)
        except PairFailed as error:
            return StreamResult(job.number, None, str(error), seconds, {})
        except UserError:
            raise
        except Exception as error:  # one bad photo must not end the stream
            return StreamResult(job.number, None, fault(error), seconds, {})
        return StreamResult(job.number, photo, None, seconds, facts)


def _pixels(name: str, photo: Any) -> UInt8[np.ndarray, "h w 3"]:
    """PairFailed for anything but RGB pixels of 8 bits."""
    array = np.asarray(photo)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise PairFailed(
            f"{name}: array {list(array.shape)} of {array.dtype}; expected [h, w, 3] of uint8"
        )
    if min(array.shape[:2]) < MIN_SIDE:
        raise PairFailed(
            f"{name}: {array.shape[1]}x{array.shape[0]} pixels; expected at least "
            f"{MIN_SIDE}x{MIN_SIDE}"
        )
    return array
