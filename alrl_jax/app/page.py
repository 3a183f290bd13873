"""What happens on the page: from its controls to the desk, and back as HTML."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from absl import logging

from alrl_jax.app import layout, pictures, queues, showing
from alrl_jax.app.desk import FIRST_SEEDS, Asked, Desk, reason_of, streamed
from alrl_jax.app.layout import GROUP_SLOTS, OWN
from alrl_jax.app.models import NEUTRAL
from alrl_jax.app.pictures import Number
from alrl_jax.app.queues import Progress
from alrl_jax.app.sessions import Session, Sessions
from alrl_jax.app.swaps import Swap
from alrl_jax.errors import UserError
from alrl_jax.inference.settings import FACES
from alrl_jax.provenance import image_metadata

WAITING = "Tick the box at the top of the page; then the swap appears here."
T = TypeVar("T")
EVERY_SECONDS = 0.3
"""Between two reports of a video's progress."""


class Page:
    """The page's handlers; each gets the browser's request, which says whose session it is.

    Args:
        desk: does the work.
        sessions: of all users.
    """

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        self.desk, self.sessions = desk, sessions

    def session(self, request: gr.Request) -> Session:
        """The session of the browser that asks."""
        return self.sessions.of(str(request.session_hash))

    def begin(self, request: gr.Request) -> list[Any]:
        """What a new page shows: two invented people, whom nothing was done with yet."""
        session = self.session(request)
        for side in FACES:
            self._tried(lambda side=side: self.desk.invent(session, side, FIRST_SEEDS[side]))
        refused = self.desk.shelf.first.groups_refused(self.desk.shelf.first.model.selectors[0])
        shown = [self._shown(session, side) for side in FACES]
        return [*shown, showing.note(WAITING), self._refused(refused)]

    def end(self, request: gr.Request) -> None:
        """The browser left."""
        self.sessions.end(str(request.session_hash))

    def agree(self, ticked: bool, request: gr.Request) -> Any:
        """The line on consent was accepted, once and for all of this visit."""
        session = self.session(request)
        session.agreed = session.agreed or bool(ticked)
        return gr.update(visible=not session.agreed)

    def upload(self, side: str) -> Callable[..., Any]:
        """What takes an upload for a side."""

        def taken(uploaded: str | None, cropped: bool, request: gr.Request) -> list[Any]:
            session = self.session(request)
            if uploaded is None:
                return [None, gr.skip(), gr.skip(), gr.skip()]
            path = Path(uploaded)
            why = self._tried(lambda: self.desk.upload(session, side, path, bool(cropped)))
            return [None, *self._side(session, side, why), self._detail(session)]

        return taken

    def invent(self, side: str) -> Callable[..., Any]:
        """What takes an invented person for a side."""

        def invented(seed: Number, model: str, request: gr.Request) -> list[Any]:
            session = self.session(request)
            why = self._tried(lambda: self.desk.invent(session, side, seed, model))
            return [*self._side(session, side, why), self._detail(session)]

        return invented

    def say_cropped(self, side: str) -> Callable[..., Any]:
        """What takes the upload of a side for a face crop, or for none."""

        def said(cropped: bool, request: gr.Request) -> list[Any]:
            session = self.session(request)
            why = self._tried(lambda: self.desk.say_cropped(session, side, bool(cropped)))
            return self._side(session, side, why)

        return said

    def _side(self, session: Session, side: str, why: str | None) -> list[Any]:
        """The picture of a side, and the choice of its faces."""
        if why is not None:
            return [self._shown(session, side, why), gr.skip()]
        photo = self.desk.faces(session, side, session.chosen[side], self.desk.shelf.first)
        choices = pictures.face_choices(photo, several=side == "target")
        return [self._shown(session, side), gr.update(choices=choices, value=choices[0][1])]

    def _shown(self, session: Session, side: str, why: str | None = None) -> str:
        """The picture of a side, and why another one was not taken."""
        said = "" if why is None else showing.reason(why)
        picture = session.chosen.get(side)
        if picture is None:
            return said
        photo = self.desk.faces(session, side, picture, self.desk.shelf.first)
        fields = image_metadata.read_metadata(picture.path) if picture.invented else None
        return showing.chosen(photo, picture.name, side, fields) + said

    @staticmethod
    def _detail(session: Session) -> Any:
        """The target's fine detail: none of it under an invented face, as the command does."""
        source = session.chosen.get("source")
        return gr.update(value=0.0 if source is None or source.invented else 1.0)

    @staticmethod
    def _tried(work: Callable[[], Any]) -> str | None:
        """Why some work failed, in one line; None where it did not."""
        return _attempted(work)[1]

    def asked(self, values: tuple[Any, ...], optimise: Number = 0) -> Asked:
        """What the controls say, in the order of ``_inputs``."""
        model, selector, identity, pose, blend, colour, feather, detail, *rest = values
        (source_face, target_face), slots = rest[:2], rest[2:]
        opened = self.desk.shelf.named(model)
        return Asked(
            model=opened.name,
            selector=selector or None,
            identity_from=str(identity),
            pose_from=str(pose),
            groups=dict(zip(opened.groups, map(str, slots), strict=False)),
            blend=str(blend),
            colour_match=bool(colour),
            feather=float(feather),
            detail=float(detail),
            optimise=int(optimise or 0),
            source_face=str(source_face),
            target_face=str(target_face),
        )

    def swap(self, request: gr.Request, *values: Any) -> list[Any]:
        """The swap that the controls ask for."""
        session = self.session(request)
        if not session.agreed:
            return [showing.note(WAITING), "", "", ""]

        def work() -> list[Any]:
            asked = self.asked(values)
            return self._result(self.desk.swap(session, asked), asked)

        shown, why = _attempted(work)
        return shown or _failed(why)

    def _result(self, made: Swap, asked: Asked) -> list[Any]:
        opened = self.desk.shelf.named(asked.model)
        refused = opened.groups_refused(asked.selector or opened.model.selectors[0])
        return [
            showing.result(made),
            showing.parts(made),
            showing.gates(made.gates, refused),
            showing.provenance(made),
        ]

    def refine(self, request: gr.Request, steps: Number, *values: Any) -> Iterator[list[Any]]:
        """The swap with its codes refined; the face is shown as it comes."""
        session = self.session(request)
        quiet = [gr.skip()] * 3

        def work() -> Iterator[list[Any]]:
            yield [showing.note("the search is being made ready"), *quiet]
            asked = self.asked(values, steps)
            sha256 = self.desk.shelf.named(asked.model).sha256
            made: list[Swap] = []

            def search(put: Callable[[tuple[int, np.ndarray]], None]) -> None:
                made.append(self.desk.swap(session, asked, lambda n, face: put((n, face))))

            for step, face in streamed(search):
                yield [showing.preview(face, step, asked.optimise, sha256), *quiet]
            yield self._result(made[0], asked)

        yield from _whole(work, _failed)

    def compare(self, request: gr.Request, *values: Any) -> Iterator[str]:
        """The swaps of all selections, as they come."""
        session, swaps = self.session(request), {}

        def work() -> Iterator[str]:
            yield showing.note("the first fixed rule compiles a program of its own")
            asked = self.asked(values)
            own = self.desk.shelf.named(asked.model).model.selectors[0]
            for name, made in self.desk.compare(session, asked):
                swaps[name] = made
                yield showing.comparison(swaps, own)

        def failed(why: str) -> str:
            return showing.comparison(swaps, "") + showing.reason(why)

        yield from _whole(work, failed)

    def save(self, request: gr.Request) -> list[Any]:
        """Files to download, and why there are none."""
        session = self.session(request)
        files, why = _attempted(lambda: self.desk.save(session))
        said = "" if why is None else showing.reason(why)
        return [gr.update(value=files, visible=files is not None), said]

    def stop_search(self, request: gr.Request) -> None:
        """Ends the optimisation."""
        self.session(request).stop_search.set()

    def stop(self, request: gr.Request) -> None:
        """Ends the queue that is at work."""
        self.session(request).stop.set()

    def change_model(self, model: str) -> list[Any]:
        """The controls of another model."""
        opened = self.desk.shelf.named(model)
        selector = gr.update(choices=layout.selections(opened), value=OWN)
        return [selector, *self._groups(model, OWN)]

    def change_selector(self, model: str, selector: str) -> list[Any]:
        """The groups' controls under another selection."""
        return self._groups(model, selector)

    def _groups(self, model: str, selector: str) -> list[Any]:
        opened = self.desk.shelf.named(model)
        refused = opened.groups_refused(selector or opened.model.selectors[0])
        slots = [layout.group_slot(opened, selector, n) for n in range(GROUP_SLOTS)]
        reset = {} if refused is None else {"value": NEUTRAL}
        return [self._refused(refused), *(gr.update(**slot, **reset) for slot in slots)]

    @staticmethod
    def _refused(refused: str | None) -> str:
        return "" if refused is None else showing.note(f"{refused}.")

    def add(self, uploaded: list[str] | None, cropped: bool, request: gr.Request) -> list[Any]:
        """Photos for the batch's queue."""
        session = self.session(request)
        refused = queues.add(session, [Path(path) for path in uploaded or []], bool(cropped))
        return [None, self._waiting(session, refused)]

    def add_invented(self, request: gr.Request, count: Number, *values: Any) -> str:
        """Invented targets for the batch's queue."""
        session = self.session(request)
        why = self._tried(lambda: queues.invent(self.desk, session, self.asked(values), count))
        return self._waiting(session, [] if why is None else [why])

    def empty(self, request: gr.Request) -> str:
        """Takes all photos out of the batch's queue."""
        session = self.session(request)
        session.batch.clear()
        return self._waiting(session, [])

    @staticmethod
    def _waiting(session: Session, refused: list[str]) -> str:
        count = len(session.batch)
        names = ", ".join(picture.name for picture in session.batch[:5])
        more = f" and {count - 5} more" if count > 5 else ""
        words = f"{count} in the queue: {names}{more}" if count else "the queue is empty"
        return showing.note(words) + "".join(map(showing.reason, refused))

    def batch(self, request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """Swaps the queue."""
        session = self.session(request)

        def work() -> Iterator[Progress]:
            yield from queues.swap_all(self.desk, session, self.asked(values))

        for progress in self._reported(work, "photos swapped"):
            yield [*progress[:3], self._waiting(session, [])]

    def video(
        self, request: gr.Request, uploaded: str | None, cropped: bool, *values: Any
    ) -> Iterator[list[Any]]:
        """Swaps a video."""
        session = self.session(request)

        def work() -> Iterator[Progress]:
            if uploaded is None:
                raise UserError("got no video; expected a file; choose one")
            path, number = Path(uploaded), next(session.numbers)
            video = pictures.take_upload(
                path, session.folder, number, bool(cropped), queues.MAX_VIDEO_BYTES
            )
            yield from queues.swap_video(self.desk, session, self.asked(values), video)

        last = time.monotonic() - EVERY_SECONDS
        for progress in self._reported(work, "frames through"):
            if progress[3] or time.monotonic() - last >= EVERY_SECONDS:
                last = time.monotonic()
                yield [None, *progress[:3], showing.player(progress[3])]

    @staticmethod
    def _reported(work: Callable[[], Iterator[Progress]], words: str) -> Iterator[list[Any]]:
        """Progress, lines and files of a queue as the page shows them; last the files' paths."""
        hidden = gr.update(value=None, visible=False)

        def shown() -> Iterator[list[Any]]:
            for progress in work():
                over = bool(progress.files)
                end = "stopped, " if progress.stopped else "done, " if over else ""
                files = gr.update(value=list(progress.files), visible=True) if over else hidden
                bar = showing.progress(progress.done, progress.total, f"{end}{words}")
                yield [bar, showing.listed(progress.lines), files, list(progress.files)]

        yield from _whole(shown, lambda why: [showing.reason(why), "", hidden, ["failed"]])


def _attempted(work: Callable[[], T]) -> tuple[T | None, str | None]:
    """What some work gives, or why it failed, in one line."""
    try:
        return work(), None
    except Exception as error:  # whatever it is, the page goes on
        return None, _reason(error)


def _whole(work: Callable[[], Iterator[T]], failed: Callable[[str], T]) -> Iterator[T]:
    """What some work gives, one after another, and last what is shown where it failed."""
    try:
        yield from work()
    except Exception as error:  # whatever it is, the page goes on
        yield failed(_reason(error))


def _failed(why: str | None) -> list[Any]:
    """What is shown in place of a swap."""
    return [showing.reason(why or "nothing was swapped"), "", "", ""]


def _reason(error: Exception) -> str:
    """One line for the page; what is no user's mistake goes into the log too."""
    if not isinstance(error, UserError):
        logging.error("the page: %s: %s", type(error).__name__, error)
    return reason_of(error)
