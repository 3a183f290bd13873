"""All people of a video, each replaced by a source of its own; what fails can be hidden.

The video is read twice: once to find all faces and whose they are, once to swap them. So a face is
known in a frame in which the detector lost it, and no person is decided before all was seen.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.inference.command import BAR
from alrl_jax.inference.doubts import FACE_SHARE
from alrl_jax.inference.engine import Engine, pools
from alrl_jax.inference.finishing import SwappedPhoto
from alrl_jax.inference.job import Job, PairFailed, SwappedFace, fault, timed
from alrl_jax.inference.person_sources import MapEntry, PersonSources
from alrl_jax.inference.photo_reader import PhotoReader, open_finder
from alrl_jax.inference.protocols import FaceSampler, Swapper, resolution_of
from alrl_jax.inference.pseudonyms import Pseudonyms
from alrl_jax.inference.references import BATCH, embed, usual_similarity
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.video.frames import KEPT, Frame, FramePixels, FrameSwapping
from alrl_jax.inference.video.one_euro import OneEuro
from alrl_jax.inference.video.person_tracks import (
    Look,
    Planned,
    Seen,
    is_cut,
    meeting,
    people_of,
    plan,
    summary,
    tracks_of,
)
from alrl_jax.inference.video.tracking import SMOOTHING, Thumbnail, thumbnail
from alrl_jax.photos.alignment import Alignment, five_points
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.face_photos import Face, FacePhoto, cut_faces
from alrl_jax.photos.found_face import FaceNotFoundError, FoundFace
from alrl_jax.photos.hiding import Box, hide, hide_all, with_hidden
from alrl_jax.photos.landmarks import place
from alrl_jax.photos.photo import Photo
from alrl_jax.utils import hashing
from alrl_jax.utils.parts import ALONE, Share

INVENTED = "invented"
"""Stands for the source in results: no face of anybody was put in."""
MAPPED = "mapped"
"""Stands for the sources of ``--map``; the record of a video says which."""
LEAST_REPLACED = 0.3
"""Share of the middle of a crop that has to come from the generated face."""
LOST = "a face was found just before or after, and may be here"
NOT_LOOKED = "no face could be looked for"

R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class _Sight:
    """A frame as the first pass sees it: faces with their crops, and those without a place."""

    seconds: float
    thumbnail: Thumbnail | None
    faces: list[Face]
    unplaced: list[tuple[FoundFace, str]]
    problem: str | None = None
    cut: bool = False


class PeopleSwapping(FrameSwapping):
    """A model and settings for the people of videos.

    Args:
        model: a swapper that draws faces from seeds.
        settings: ``face`` is ``all``.
        pseudonyms: who stands for whom; None where people whom no entry of ``mapped`` names stay as
            they are.
        output: directory of the outputs, by which results name the source.
        on_failure: of ``command.ON_FAILURE``.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        smoothing: of landmarks over time; None for none.
        mapped: who goes into people of whom there are pictures.

    Raises:
        UserError: frames are face crops, what finds the faces cannot be opened, or a photo of the
            map has no face.
    """

    noun = "frame"
    """What is swapped, in words."""
    kept = KEPT
    """What becomes of one without a face to swap, in words."""

    def __init__(
        self,
        model: Swapper,
        settings: Settings,
        pseudonyms: Pseudonyms | None,
        output: Path,
        on_failure: str,
        landmarks_path: Path | None = None,
        smoothing: OneEuro | None = SMOOTHING,
        mapped: Sequence[MapEntry] = (),
    ) -> None:
        if settings.aligned or not isinstance(model, FaceSampler):
            raise UserError(
                "got --face=all with --aligned, or with a model that draws no faces from seeds; "
                "expected frames in which faces are looked for; leave one of them out"
            )
        self.model, self.settings = model, settings
        self.source_path = output / (MAPPED if mapped else INVENTED)
        self.model_sha256 = hashing.variables_sha256(model.variables)
        self.smoothing, self._on_failure = smoothing, on_failure
        self._first: int | None = None
        self._resolution = resolution_of(model)
        self._finder = open_finder(settings, landmarks_path, self._resolution)
        self._least = usual_similarity(model)
        reader = PhotoReader(settings, self._finder, self._resolution)
        self._sources = PersonSources(model, self._least, pseudonyms, mapped, reader)
        side = (self._resolution, self._resolution)
        self.source = FacePhoto(None, (), self._sources.sha256, side)
        self._plan: dict[int, list[Planned]] = {}
        self._unplaced: dict[int, list[tuple[FoundFace, str]]] = {}
        self._problems: dict[int, str] = {}
        self._looked, self._others = 0, set[int]()
        self._summary: dict[str, Any] = {}

    @property
    def recipe(self) -> dict[str, Any]:
        """What outputs depend on beside the settings of photos."""
        return super().recipe | {"on_failure": self._on_failure}

    @property
    def hides(self) -> bool:
        """Whether nothing of a frame that failed may be seen."""
        return self._on_failure != "keep"

    def record(self) -> dict[str, Any]:
        """What the sidecar of a video says of its people."""
        return dict(self._summary)

    def look_ahead(self, frames: Callable[[], Iterable[Frame]], batch_size: int) -> None:
        """Finds all faces of a video, and whose they are.

        Raises:
            UserError: the pseudonyms cannot be written, or the map names somebody who is not here.
        """
        engine = Engine(self.model, self.settings, batch_size)
        sights, vectors, waiting = [], list[np.ndarray](), list[Face]()
        before: Thumbnail | None = None
        with pools(1) as (pool,):
            seen = engine.staged(self._sight, frames(), pool, lambda frame: frame.weigh())
            for sight in tqdm(seen, "look for faces", unit="image", bar_format=BAR):
                waiting += sight.faces
                while len(waiting) >= BATCH:
                    vectors += [*embed(self.model, waiting[:BATCH]).astype(np.float16)]
                    waiting = waiting[BATCH:]
                found = [face.found for face in sight.faces if face.found is not None]
                cut = sight.thumbnail is not None and is_cut(before, sight.thumbnail)
                before = before if sight.thumbnail is None else sight.thumbnail
                # Of a frame nothing is kept that is as large as a picture.
                less = dataclasses.replace(sight, faces=[], thumbnail=None, cut=cut)
                sights.append((less, found))
        if waiting:
            vectors += [*embed(self.model, waiting).astype(np.float16)]
        self._decide(sights, vectors)

    def _decide(
        self, sights: list[tuple[_Sight, list[FoundFace]]], vectors: list[np.ndarray]
    ) -> None:
        """Tracks, people and their sources, once all frames were seen."""
        looks, following = [], iter(vectors)
        for number, (sight, found) in enumerate(sights):
            faces = [Seen(number, face, next(following)) for face in found]
            looks.append(Look(sight.seconds, sight.cut, faces))
        tracks = tracks_of(looks, self._least)
        self._sources.decide(people_of(tracks), meeting(tracks))
        planned = plan(looks, tracks, self.smoothing, self.hides)
        kept = {n: [p for p in own if self._replaces(p.person)] for n, own in planned.items()}
        self._plan = {n: own for n, own in kept.items() if own}
        self._others = {n for n, own in kept.items() if not own}
        self._unplaced = {n: s.unplaced for n, (s, _) in enumerate(sights) if s.unplaced}
        self._problems = {n: s.problem for n, (s, _) in enumerate(sights) if s.problem}
        self._looked = len(sights)
        more = {"mapped": self._sources.mapped} if self._sources.mapped and not self.hides else {}
        self._summary = {"people": {**summary(tracks), **more}}
        swapped = (n for n, own in self._plan.items() if any(p.kind != "margin" for p in own))
        self._first = min(swapped, default=None)

    def _replaces(self, person: int) -> bool:
        """Whether a person has a source."""
        return self._sources.key(person) is not None

    def _sight(self, frame: Frame) -> _Sight:
        """Reads a frame and finds the faces in it, with their crops."""
        try:
            photo, _ = frame.read()
            found, problem = self._faces_of(frame, photo)
            faces, unplaced = list[Face](), list[tuple[FoundFace, str]]()
            for face in found:
                try:
                    five = None if face.points is None else five_points(face.points)
                    own = dataclasses.replace(face, points=five)
                    where = place(own, photo.seen, self._resolution)
                    faces += cut_faces(photo, [where], "", [own]).faces
                except (FaceNotFoundError, ValueError) as error:
                    unplaced.append((face, str(error)))
            return _Sight(frame.seconds, thumbnail(photo.seen), faces, unplaced, problem)
        except (PairFailed, UnreadableImageError) as error:
            reason = str(error)
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the run
            reason = fault(error)
        return _Sight(frame.seconds, None, [], [], reason)

    def _faces_of(self, frame: Frame, photo: Photo) -> tuple[list[FoundFace], str | None]:
        """The faces of a frame, or why none can be looked for."""
        try:
            return (
                [] if self._finder is None else self._finder.faces(frame.path, photo.seen)
            ), None
        except FaceNotFoundError as error:
            return [], str(error)

    def run(
        self,
        frames: Iterable[Frame],
        ended: Callable[[Job], Job],
        done: Callable[[Job], R],
        batch_size: int,
        share: Share = ALONE,
    ) -> Iterator[R]:
        """What ``done`` makes of every frame, in order; see ``FrameSwapping.run``.

        ``look_ahead`` comes first: a frame that it has not seen fails.
        """
        engine = Engine(self.model, self.settings, batch_size)
        own = share.of(frames)
        yield from engine.run(
            own, lambda frame: ended(self._prepared(frame)), done, lambda frame: frame.weigh()
        )

    def _prepared(self, frame: Frame) -> Job:
        """The job of a frame, with the crops of its faces and who goes into each."""
        seconds: dict[str, float] = {}
        job = Job(frame.number, self.files(frame.path), seconds=seconds)
        photo: Photo | None = None
        try:
            with timed(seconds, "read"):
                photo, sha256 = frame.read()
                return self._planned(job, photo, sha256)
        except (PairFailed, UnreadableImageError) as error:
            reason = str(error)
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the run
            reason = fault(error)
        target = None if photo is None else cut_faces(photo, [], "")
        reason = reason.removeprefix("frame: ").removeprefix(f"{self.noun}: ")
        return job.ended("failed", f"{self.noun}: {reason}", target=target)

    def _planned(self, job: Job, photo: Photo, sha256: str) -> Job:
        if job.number >= self._looked or job.number in self._problems:
            raise PairFailed(self._problems.get(job.number, NOT_LOOKED))
        places, hidden = self._places(job.number, photo)
        notes = [{"box": [round(e, 1) for e in face.box], "reason": why} for face, why in hidden]
        if hidden and self.hides and (self._on_failure == "withhold" or not places):
            raise PairFailed(f"a face is not replaced: {hidden[0][1]}")
        if not places:
            target = cut_faces(photo, [], sha256)
            reason = f"{self._nobody(job.number)}; {self.kept}"
            return dataclasses.replace(job, target=target, status="skipped", reason=reason)
        if self.hides:
            photo = with_hidden(photo, [face_box(face) for face, _ in hidden])
        found, where = [p.face for p, _ in places], [alignment for _, alignment in places]
        target = cut_faces(photo, where, sha256, found)
        facts = {"hidden": notes} if hidden and self.hides else {}
        source = self._source([p.person for p, _ in places], where, notes)
        return dataclasses.replace(job, source=source, target=target, facts=facts)

    def _places(
        self, number: int, photo: Photo
    ) -> tuple[list[tuple[Planned, Alignment]], list[tuple[FoundFace, str]]]:
        """The faces of a frame that are swapped, and those that cannot be, with the reason."""
        places, hidden = [], list(self._unplaced.get(number, []))
        for own in self._plan.get(number, []):
            if own.kind == "margin":
                hidden.append((own.face, LOST))
                continue
            try:
                places.append((own, place(own.face, photo.seen, self._resolution)))
            except FaceNotFoundError as error:
                hidden.append((own.face, str(error)))
        return places, hidden

    def _source(self, people: list[int], where: list[Alignment], notes: list[Any]) -> FacePhoto:
        """The invented faces for those of a frame; its hash names all on which the frame hangs."""
        keys = [self._sources.key(person) for person in people]
        faces = tuple(self._sources.face(person) for person in people)
        matrices = [alignment.matrix.tolist() for alignment in where]
        text = json.dumps([self._sources.sha256, keys, matrices, notes])
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return dataclasses.replace(self.source, faces=faces, sha256=sha256)

    def _nobody(self, number: int) -> str:
        """Why nothing is swapped in a frame that was looked at."""
        return "no face of the map" if number in self._others else "no face found"

    def check_replaced(self, job: Job) -> None:
        """PairFailed where the model drew hardly any face, and nothing of it may be seen."""
        if self.hides and not all(map(replaced, job.swapped)):
            raise PairFailed("a face is not replaced: the model sees hardly a face there")

    def swapped_frame(self, job: Job) -> SwappedPhoto:
        """The frame with its faces swapped.

        Raises:
            PairFailed: the model drew numbers that are not finite, or hardly any face.
        """
        self.check_replaced(job)
        return super().swapped_frame(job)

    def outcome(self, job: Job) -> Job:
        """A swapped frame at its end: failed where a face of it had to be hidden."""
        hidden = job.facts.get("hidden")
        if not hidden:
            return super().outcome(job)
        facts = {**job.facts, "action": "blurred"}
        return job.ended("failed", f"{len(hidden)} faces: {hidden[0]['reason']}", facts=facts)

    def hidden(self, job: Job, pixels: FramePixels | None) -> tuple[Job, FramePixels | None]:
        """A frame that is not swapped, with what may be seen of it; None where it has no pixels."""
        if job.status != "failed" or not self.hides:
            return job, pixels
        known = [p.face for p in self._plan.get(job.number, [])]
        known += [face for face, _ in self._unplaced.get(job.number, [])]
        looked = job.number < self._looked and job.number not in self._problems
        faces = [{"box": [round(e, 1) for e in f.box], "reason": job.reason} for f in known]
        blurs = self._on_failure == "blur" and pixels is not None
        action = "blurred" if blurs else "withheld"
        job = dataclasses.replace(job, facts={"hidden": faces, "action": action})
        if pixels is None:
            return job, None
        if not blurs:
            return job, np.zeros_like(pixels)
        if looked and known:
            return job, hide(pixels, [face_box(face) for face in known])
        return job, hide_all(pixels)


def replaced(face: SwappedFace) -> bool:
    """Whether so much of a face comes from the generator that the original is not seen."""
    side = face.mask.shape[0]
    edge = round(side * (1 - FACE_SHARE) / 2)
    middle = face.mask[edge : side - edge, edge : side - edge]
    return float(middle.mean()) >= LEAST_REPLACED


def face_box(face: FoundFace) -> Box:
    """What a face takes up: its box, and the middle of its crop, as five landmarks span less."""
    corners = np.array(face.box, np.float64).reshape(2, 2)
    try:
        alignment = face.alignment(2)
        middle = np.array([[1 - FACE_SHARE, 1 + FACE_SHARE], [1.0, 1.0], [1.0, 1.0]])
        ends = (np.linalg.inv(alignment.matrix) @ middle)[:2].T
        half = np.linalg.norm(ends[1] - ends[0]) / 2
        centre = ends.mean(axis=0)
        corners = np.concatenate([corners, [centre - half, centre + half]])
    except (ValueError, np.linalg.LinAlgError):  # no landmarks of a face: the box is all there is
        pass
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
