"""Swaps of one source into the frames of a video, along the track of a face."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8, UInt16

from alrl_jax.errors import UserError
from alrl_jax.inference import doubts
from alrl_jax.inference.engine import Engine, pools
from alrl_jax.inference.finishing import SwappedPhoto, finish
from alrl_jax.inference.job import Job, PairFailed, fault, timed
from alrl_jax.inference.photo_reader import PhotoReader, open_finder
from alrl_jax.inference.protocols import Swapper, resolution_of
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.video.one_euro import OneEuro
from alrl_jax.inference.video.tracking import SMOOTHING, FaceTrack, Sighting, thumbnail
from alrl_jax.photos.alignment import Alignment, centre_square
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.face_photos import FacePhoto, cut_faces
from alrl_jax.photos.found_face import DetectorFailedError, FaceNotFoundError, FoundFace
from alrl_jax.photos.landmarks import place
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.photos.photo import Photo
from alrl_jax.utils import hashing
from alrl_jax.utils.parts import ALONE, Share

KEPT = "the frame stays as it is"
"""Ends the reason of a frame without the face."""
_FRAME = "frame: "

R = TypeVar("R")
FramePixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame that can be read.

    Attributes:
        number: from 0.
        seconds: when it is shown.
        path: by which a landmark file knows it.
        read: gives the photo and the SHA-256 of its file; raises PairFailed.
        weigh: bytes that reading it takes, about.
    """

    number: int
    seconds: float
    path: Path
    read: Callable[[], tuple[Photo, str]]
    weigh: Callable[[], int]


@dataclasses.dataclass(frozen=True)
class _Placed:
    """A frame with the place of its face.

    Attributes:
        job: of the frame; failed where it could not be read, or not be looked at.
        photo: None where it could not be read.
        sha256: of its file.
        alignment: None where the face is not in it.
        found: the face, its landmarks smoothed; None where none was looked for.
        reason: why it is not.
    """

    job: Job
    photo: Photo | None = None
    sha256: str = ""
    alignment: Alignment | None = None
    found: FoundFace | None = None
    reason: str | None = None

    @property
    def nbytes(self) -> int:
        """What its photo holds in memory."""
        return 0 if self.photo is None else self.photo.nbytes


class FrameSwapping:
    """A model, a source and settings for videos.

    Args:
        model: a swapper.
        settings: ``face`` names one face.
        source: the photo of the face to put in.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        smoothing: of landmarks over time; None for none.

    Raises:
        UserError: all faces are asked for, the source cannot be used, or what finds the faces
            cannot be opened.
    """

    def __init__(
        self,
        model: Swapper,
        settings: Settings,
        source: Path,
        landmarks_path: Path | None = None,
        smoothing: OneEuro | None = SMOOTHING,
    ) -> None:
        if settings.face == "all" or "," in settings.face:
            raise UserError(
                f"got --face={settings.face}; expected one face to follow; name it by a number"
            )
        self.model, self.settings, self.source_path = model, settings, source
        self.model_sha256 = hashing.variables_sha256(model.variables)
        self.smoothing = smoothing
        self._first: int | None = None
        self._resolution = resolution_of(model)
        self._finder = open_finder(settings, landmarks_path, self._resolution)
        reader = PhotoReader(settings, self._finder, self._resolution)
        try:
            self.source = reader.source(source, reader.sha256("source", source))
        except PairFailed as error:
            raise UserError(
                f"got --source={source} ({error}); expected a photo with a face; take another"
            ) from error

    @property
    def recipe(self) -> dict[str, Any]:
        """What outputs depend on beside the settings of photos."""
        smoothing = self.smoothing
        return {"smoothing": None if smoothing is None else dataclasses.asdict(smoothing)}

    @property
    def hides(self) -> bool:
        """Whether nothing of a frame that failed may be seen."""
        return False

    def record(self) -> dict[str, Any]:
        """What the sidecar of a video says beside its frames."""
        return {}

    def look_ahead(self, frames: Callable[[], Iterable[Frame]], batch_size: int) -> None:
        """Sees all frames before the first is swapped, where that is needed.

        Args:
            frames: gives them all.
            batch_size: faces at a time.
        """

    def outcome(self, job: Job) -> Job:
        """A swapped frame at its end."""
        return job.ended("done")

    def hidden(self, job: Job, pixels: FramePixels | None) -> tuple[Job, FramePixels | None]:
        """A frame that is not swapped, with what may be seen of it; None where it has no pixels."""
        return job, pixels

    def files(self, frame: Path) -> PairFiles:
        """The files of a frame."""
        return PairFiles(self.source_path, frame)

    def run(
        self,
        frames: Iterable[Frame],
        ended: Callable[[Job], Job],
        done: Callable[[Job], R],
        batch_size: int,
        share: Share = ALONE,
    ) -> Iterator[R]:
        """What ``done`` makes of every frame, in order.

        Args:
            frames: taken one by one, in the thread that asks for the results.
            ended: sees a frame with its place before it is swapped, and may end it; in a thread.
            done: gets the frame swapped, ended, or without its face (``skipped``, with its
                photo); in a thread.
            batch_size: faces at a time.
            share: which of the frames are this process's. All are looked at, as where the face is
                in one depends on those before.
        """
        engine = Engine(self.model, self.settings, batch_size)
        track = FaceTrack(self.settings.face, self.smoothing)
        self._first = None
        with pools(1) as (pool,):
            seen = engine.staged(self._look, frames, pool, lambda frame: frame.weigh())
            placed = (self._place(track, *sighted) for sighted in seen)
            own, weigh = share.of(placed), lambda item: item.nbytes
            yield from engine.run(own, lambda item: ended(self._cut(item)), done, weigh)

    def swapped_frame(self, job: Job) -> SwappedPhoto:
        """The frame with its face swapped; the mark of the first such frame alone is read again.

        Raises:
            PairFailed: the model drew numbers that are not finite.
        """
        assert job.target is not None
        first = job.number == self._first
        try:
            return finish(job.target, job.swapped, self.settings, self.model_sha256, first)
        except Exception:
            if first:  # the next frame that gets a place is the first, then
                self._first = None
            raise

    def _look(self, frame: Frame) -> tuple[_Placed, Sighting | None]:
        """Reads a frame and finds the faces in it."""
        seconds: dict[str, float] = {}
        job = Job(frame.number, self.files(frame.path), seconds=seconds)
        placed = _Placed(job)
        try:
            with timed(seconds, "read"):
                photo, sha256 = frame.read()
                placed = _Placed(job, photo, sha256)
                faces, problem = self._faces(frame.path, photo)
                sighting = Sighting(faces, thumbnail(photo.seen), frame.seconds, problem)
        except (PairFailed, UnreadableImageError, DetectorFailedError) as error:
            reason = str(error).removeprefix(_FRAME)
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the run
            reason = fault(error)
        else:
            return placed, sighting
        return dataclasses.replace(placed, job=job.ended("failed", _FRAME + reason)), None

    def _faces(self, path: Path, photo: Photo) -> tuple[list[FoundFace], str | None]:
        """The faces in a frame, or why none can be looked for."""
        if self._finder is None:
            return [], None
        try:
            return self._finder.faces(path, photo.seen), None
        except DetectorFailedError:
            raise
        except FaceNotFoundError as error:
            return [], str(error)

    def _place(self, track: FaceTrack, placed: _Placed, sighting: Sighting | None) -> _Placed:
        """Where the followed face lies; called frame by frame, in order."""
        placed = self._placed(track, placed, sighting)
        if placed.alignment is not None and self._first is None:
            self._first = placed.job.number
        return placed

    def _placed(self, track: FaceTrack, placed: _Placed, sighting: Sighting | None) -> _Placed:
        photo = placed.photo
        if photo is None or sighting is None:
            return placed
        if self._finder is None:
            square = centre_square(photo.seen, self._resolution)
            return dataclasses.replace(placed, alignment=square)
        try:
            found = track.follow(sighting)
            alignment = place(found, photo.seen, self._resolution)
        except FaceNotFoundError as error:
            return dataclasses.replace(placed, reason=f"{error}; {KEPT}")
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the run
            job = placed.job.ended("failed", _FRAME + fault(error))
            return dataclasses.replace(placed, job=job)
        return dataclasses.replace(placed, alignment=alignment, found=found)

    def _cut(self, placed: _Placed) -> Job:
        """The job of a frame, with the crop of its face."""
        job, photo = placed.job, placed.photo
        if photo is None:
            return job
        target: FacePhoto = cut_faces(photo, [], placed.sha256)
        if job.status:
            return dataclasses.replace(job, target=target)
        if placed.alignment is None:
            return dataclasses.replace(job, target=target, status="skipped", reason=placed.reason)
        try:
            cut = cut_faces(photo, [placed.alignment], placed.sha256, [placed.found])
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the run
            return job.ended("failed", _FRAME + fault(error), target=target)
        return dataclasses.replace(job, source=self.source, target=cut)


def with_facts(job: Job, settings: Settings) -> Job:
    """The job of a swapped frame with what was measured."""
    return dataclasses.replace(job, facts={**job.facts, **doubts.facts(job, settings)})
