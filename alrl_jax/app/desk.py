"""What the page asks for, done for one session at a time: nothing here knows of browsers."""

import dataclasses
import functools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from alrl_jax.app import pictures
from alrl_jax.app.models import NEUTRAL, Opened, Shelf
from alrl_jax.app.pictures import Number, Picture
from alrl_jax.app.sessions import Session
from alrl_jax.app.swaps import Swap, side_by_side, swap
from alrl_jax.errors import UserError
from alrl_jax.inference.finishing import finish
from alrl_jax.inference.job import Job, fault
from alrl_jax.inference.outputs import OutputFolder, output_name
from alrl_jax.inference.settings import FACES, Settings
from alrl_jax.photos.face_photos import FacePhoto
from alrl_jax.photos.landmarks import default_source
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.photos.paste import BLENDS, PasteOptions

MOST_STEPS = 400
"""Of the optimisation, which one user must not hold up all others with."""
FIRST_SEEDS = {"source": 1, "target": 2}
"""Of the people that the page begins with."""
NOTHING = "got no {side}; expected a photo or an invented person; choose one"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the page's controls say.

    Attributes:
        model: by its name.
        selector: which selection; None for the model's own.
        identity_from: whose identity, of ``FACES``.
        pose_from: whose pose.
        groups: what each attribute group's control says: one of ``FACES``, or ``NEUTRAL``.
        blend: how the face is joined in.
        colour_match: whether it gets the colours of the original face.
        feather: soft edge, share of the crop's side.
        detail: share of the target's fine detail that stays.
        optimise: steps that refine the codes.
        source_face: which face of the source.
        target_face: which faces of the target.
    """

    model: str
    selector: str | None = None
    identity_from: str = "source"
    pose_from: str = "target"
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    blend: str = "feather"
    colour_match: bool = False
    feather: float = 0.0
    detail: float = 1.0
    optimise: int = 0
    source_face: str = pictures.LARGEST
    target_face: str = pictures.LARGEST


class Desk:
    """All that the page can do.

    One face is drawn at a time, and one pair swapped: who asks while the programs are compiled
    waits for them, and does not compile them again.

    Args:
        shelf: the models.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._drawing, self._swapping = threading.Lock(), threading.Lock()

    def upload(self, session: Session, side: str, uploaded: Path, cropped: bool) -> FacePhoto:
        """Takes an uploaded photo for one of ``FACES``; the one before stays if it is none.

        Raises:
            UserError: it is no photo, or has no face.
        """
        number = next(session.numbers)
        picture = pictures.take_upload(uploaded, session.folder, number, cropped)
        return self._take(session, side, picture)

    def say_cropped(self, session: Session, side: str, cropped: bool) -> None:
        """Takes the photo of a side for a face crop, or for none; as it was, if that fails.

        Raises:
            UserError: no face is found in the photo.
        """
        picture = session.chosen.get(side)
        if picture is None or picture.invented:
            return
        picture = dataclasses.replace(picture, cropped=cropped)
        self.faces(session, side, picture, self.shelf.first)
        session.chosen[side] = picture

    def invent(
        self, session: Session, side: str, seed: Number, model: str | None = None
    ) -> FacePhoto:
        """Takes a person who does not exist for one of ``FACES``.

        Raises:
            UserError: the seed is none.
        """
        opened = self.shelf.first if model is None else self.shelf.named(model)
        return self._take(session, side, self.invented(opened, side, seed, session.folder))

    def invented(self, opened: Opened, side: str, seed: Number, folder: Path) -> Picture:
        """The photo of a person who does not exist."""
        with self._drawing:
            return self._invented(opened, side, seed, folder)

    @staticmethod
    def _invented(opened: Opened, side: str, seed: Number, folder: Path) -> Picture:
        if side == "source":
            return pictures.invent_source(opened.model, seed, folder)
        return pictures.invent_target(opened.model, opened.sha256, seed, folder)

    def _take(self, session: Session, side: str, picture: Picture) -> FacePhoto:
        try:
            read = self.faces(session, side, picture, self.shelf.first)
        except UserError:
            picture.path.unlink(missing_ok=True)
            raise
        session.chosen[side] = picture
        return read

    def faces(self, session: Session, side: str, picture: Picture, opened: Opened) -> FacePhoto:
        """A photo with all its faces, which are looked for once.

        Raises:
            UserError: it is no photo, or has no face.
        """
        finder = None if picture.cropped else opened.finder
        read = functools.partial(pictures.read_all_faces, picture, finder, opened.resolution, side)
        return session.seen.get((picture.path, picture.cropped, opened.resolution), read)

    def settings(self, session: Session, asked: Asked) -> Settings:
        """The settings of the command that would do what the page does.

        Raises:
            UserError: the model does not know what is asked for, or it is out of range.
        """
        opened = self.shelf.named(asked.model)
        crops = {side: session.chosen[side].cropped for side in FACES if side in session.chosen}
        refused = opened.groups_refused(asked.selector or opened.model.selectors[0])
        groups = {n: f for n, f in asked.groups.items() if f != NEUTRAL and n in opened.groups}
        if groups and refused:
            raise UserError(f"{refused}; expected them left to the model; set them back")
        checked = _checked(asked)
        settings = Settings(
            pose_from=asked.pose_from,
            identity_from=asked.identity_from,
            aligned=all(crops.get(side, False) for side in FACES),
            aligned_source=crops.get("source", False),
            landmarks_from=default_source(),
            face=asked.target_face,
            source_face=asked.source_face,
            paste=checked,
            groups=groups,
            selector=asked.selector,
            optimise=int(asked.optimise),
        )
        opened.model.asked(**settings.asked())
        return settings

    def pair(self, session: Session, asked: Asked, opened: Opened) -> Job:
        """The pair that was chosen, with the faces that count.

        Raises:
            UserError: there is none.
        """
        found = {}
        for side, choice in zip(FACES, (asked.source_face, asked.target_face), strict=True):
            if side not in session.chosen:
                raise UserError(NOTHING.format(side=side))
            photo = self.faces(session, side, session.chosen[side], opened)
            found[side] = pictures.choose(photo, choice)
        source, target = (session.chosen[side].path for side in FACES)
        return Job(0, PairFiles(source, target), found["source"], found["target"])

    def swap(
        self,
        session: Session,
        asked: Asked,
        watch: Callable[[int, np.ndarray], None] | None = None,
    ) -> Swap:
        """Swaps what was chosen.

        Args:
            session: whose line on consent was accepted.
            asked: what the controls say.
            watch: sees the optimisation at work; the session's ``stop_search`` ends it.

        Raises:
            UserError: it cannot be done, or was stopped.
        """
        session.check_agreed()
        opened = self.shelf.named(asked.model)
        settings = self.settings(session, asked)
        job = self.pair(session, asked, opened)
        session.stop_search.clear()

        def seen(step: int, images: Any) -> None:
            if session.stop_search.is_set():
                raise UserError(f"stopped after {step} of {settings.optimise} steps")
            if watch is not None:
                watch(step, np.asarray(images[0]))

        with self._swapping:
            made = swap(opened, job, settings, self._doubted(session), seen)
        source, target = (Path(session.chosen[side].name.replace("/", "_")) for side in FACES)
        session.last = made, asked.model, PairFiles(source, target)
        return made

    @staticmethod
    def _doubted(session: Session) -> list[str]:
        """Sides whose crop may hold no face, as a user says that it is one."""
        return [n for n, p in session.chosen.items() if p.cropped and not p.invented]

    def compare(self, session: Session, asked: Asked) -> Iterator[tuple[str, Swap]]:
        """The pair under every selection of the model; see ``swaps.side_by_side``.

        Raises:
            UserError: it cannot be done.
        """
        session.check_agreed()
        opened = self.shelf.named(asked.model)
        plain = dataclasses.replace(asked, groups={}, selector=None, optimise=0)
        settings, job = self.settings(session, plain), self.pair(session, plain, opened)
        yield from side_by_side(opened, job, settings)

    def save(self, session: Session) -> list[str]:
        """Writes the swap that is shown as the command would: the photo, and the JSON beside it.

        Returns:
            The paths of both, in the session's folder.

        Raises:
            UserError: nothing was swapped yet.
        """
        if session.last is None:
            raise UserError("got no swap; expected one to write; swap first")
        made, model, called = session.last
        opened = self.shelf.named(model)
        name = output_name(next(session.numbers), called)
        assert made.job.target is not None
        photo = finish(made.job.target, made.job.swapped, made.settings, opened.sha256)
        # The settings of the command know of crops on the source's side, or on both.
        more = {"target_is_crop": all(face.found is None for _, face in made.job.places)}
        folder = OutputFolder(session.folder, opened.model.kind, opened.sha256, made.settings, more)
        folder.write(name, made.job, photo)
        return [str(session.folder / name), str(folder.sidecar(name))]

    def warm_up(self) -> None:
        """Compiles what the first swap needs, before anyone asks for it."""
        opened, model = self.shelf.first, self.shelf.first.model
        with self._drawing:
            model.sample_face(0)
            if model.samples_are_rendered:
                pictures.scene(0)
        with self._swapping:
            side = opened.resolution
            crops = opened.on_device({n: np.zeros((1, side, side, 3), np.float32) for n in FACES})
            output = model.swap(crops["source"], crops["target"], **Settings().asked())
            model.embed(crops["source"])
            model.embed(output.image)


def _checked(asked: Asked) -> PasteOptions:
    """How the face is joined in; UserError for what the page's own controls cannot say."""
    ranges = {
        "feather": (asked.feather, 0.5),
        "detail": (asked.detail, 1.0),
        "optimise": (asked.optimise, MOST_STEPS),
    }
    for name, (value, most) in ranges.items():
        if not 0 <= value <= most:
            raise UserError(f"got {name} {value}; expected 0 to {most}; correct it")
    if asked.blend not in BLENDS:
        raise UserError(f"got blend {asked.blend!r}; expected one of {list(BLENDS)}; choose one")
    return PasteOptions(asked.blend, asked.colour_match, asked.feather, asked.detail)


def streamed(work: Callable[[Callable[[T], None]], None]) -> Iterator[T]:
    """What a function that reports as it goes puts out, one after another.

    Args:
        work: runs in a thread of its own; gets what it calls with every report.

    Raises:
        Exception: what the work raised, after its reports.
    """
    reports: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    threading.Thread(target=_report, args=(work, reports), daemon=True).start()
    while True:
        more, report = reports.get()
        if more:
            yield report
        elif report is None:
            return
        else:
            raise report


def _report(work: Callable[[Callable[[T], None]], None], reports: Any) -> None:
    """Does the work, and puts its end behind its reports."""
    try:
        work(lambda report: reports.put((True, report)))
        reports.put((False, None))
    except Exception as error:
        reports.put((False, error))


def reason_of(error: Exception) -> str:
    """One line for the page about what went wrong."""
    return str(error) if isinstance(error, UserError) else f"a fault of the program: {fault(error)}"
