"""Many photos, or a video, for one session: with progress, a way to stop, and files to download.

They go through the same runs as ``alrl infer`` and ``alrl infer-frames``, into a folder of the
session.
"""

import contextlib
import dataclasses
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jax

from alrl_jax.app import pictures
from alrl_jax.app.desk import Asked, Desk
from alrl_jax.app.pictures import Number, Picture
from alrl_jax.app.sessions import Session
from alrl_jax.errors import UserError
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.inference.video.pyav import count_frames
from alrl_jax.inference.video.video_file import VideoSwapping
from alrl_jax.photos.pair_list import PairFiles

MOST_TARGETS = 200
"""Photos of a batch."""
MAX_VIDEO_BYTES = 2**31
"""Of a video file."""
BATCH_ON_CPU, BATCH = 1, 8
"""Faces at a time: on a CPU one, for which the page's own program serves."""
FIRST_TARGET = 100
"""Seed of the first invented target of a batch."""
MIXED = (
    "got targets that are face crops with a source that is none; expected both to be crops, or "
    "neither; tick the source's box as well, or choose an invented one"
)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a queue is.

    Attributes:
        done: photos or frames that are through.
        total: of how many; None where that is not known.
        lines: name, status and reason of those that are through, of a video those that failed.
        files: to download, once it is over.
        stopped: whether a user stopped it.
    """

    done: int
    total: int | None
    lines: tuple[tuple[str, str, str], ...] = ()
    files: tuple[str, ...] = ()
    stopped: bool = False


def add(session: Session, uploaded: list[Path], cropped: bool) -> list[str]:
    """Puts uploaded photos into a session's queue.

    Returns:
        Why some were not taken, a line each.
    """
    room = MOST_TARGETS - len(session.batch)
    refused = []
    for path in uploaded[:room]:
        try:
            number = next(session.numbers)
            session.batch.append(pictures.take_upload(path, session.folder, number, cropped))
        except UserError as error:
            refused.append(str(error))
    for path in uploaded[room:]:
        path.unlink(missing_ok=True)
    if len(uploaded) > room:
        refused.append(
            f"got more than {MOST_TARGETS} photos; expected at most as many; leave some out"
        )
    return refused


def invent(desk: Desk, session: Session, asked: Asked, count: Number) -> None:
    """Puts invented targets into a session's queue.

    Raises:
        UserError: too many, or none.
    """
    wanted = int(count or 0)
    if not 0 < wanted <= MOST_TARGETS - len(session.batch):
        raise UserError(
            f"got {wanted} invented targets beside {len(session.batch)} in the queue; expected 1 "
            f"to {MOST_TARGETS} in all; correct the number"
        )
    opened = desk.shelf.named(asked.model)
    for seed in range(FIRST_TARGET, FIRST_TARGET + wanted):
        session.batch.append(desk.invented(opened, "target", seed, session.folder))


def swap_all(desk: Desk, session: Session, asked: Asked) -> Iterator[Progress]:
    """Swaps the source into every photo of the session's queue, which is empty after that.

    Raises:
        UserError: it cannot be done.
    """
    session.check_agreed()
    opened = desk.shelf.named(asked.model)
    source, targets = _source(session), list(session.batch)
    if not targets:
        raise UserError("got no targets; expected photos in the queue; add some")
    crops = {picture.cropped for picture in targets}
    if len(crops) > 1:
        raise UserError(
            "got face crops and whole photos in one queue; expected one kind; empty it, and swap "
            "one after the other"
        )
    settings = _settings(desk, session, asked, source, crops.pop())
    folder = session.new_folder("batch")
    swapping = Swapping(opened.model, settings, folder)
    pairs = [PairFiles(source.path, target.path) for target in targets]
    session.stop.clear()
    session.batch.clear()
    results = swapping.run(pairs, _batch_size())
    lines: list[tuple[str, str, str]] = []
    yield Progress(0, len(pairs))
    with contextlib.closing(results):  # what is written is whole, and the rest is not begun
        for target, result in zip(targets, results, strict=False):
            why = result["reason"] or result["doubtful"] or ""
            lines.append((target.name, result["status"], why))
            yield Progress(len(lines), len(pairs), tuple(lines))
            if session.stop.is_set():
                break
    stopped = len(lines) < len(pairs)
    files = (str(_zipped(folder)),)
    yield Progress(len(lines), len(pairs), tuple(lines), files, stopped)


def swap_video(desk: Desk, session: Session, asked: Asked, video: Picture) -> Iterator[Progress]:
    """Swaps the source into a video.

    Raises:
        UserError: it cannot be done: no such video, or the extra ``video`` is missing.
    """
    session.check_agreed()
    opened = desk.shelf.named(asked.model)
    source = _source(session)
    settings = _settings(desk, session, asked, source, video.cropped)
    swapping = FrameSwapping(opened.model, settings, source.path)
    folder = session.new_folder("video")
    run = VideoSwapping(swapping, folder, video.path)
    total = count_frames(video.path)
    session.stop.clear()
    results = run.run(_batch_size())
    done, lines = 0, []
    yield Progress(0, total)
    with contextlib.closing(results):
        for result in results:
            done += result["number"] == done
            if result["status"] == "failed" and len(lines) < MOST_TARGETS:
                lines.append((f"frame {result['number']}", "failed", result["reason"] or ""))
            yield Progress(done, total, tuple(lines))
            if session.stop.is_set():
                break
    stopped = session.stop.is_set()
    files = tuple(str(path) for path in sorted(folder.glob("*.*")) if path.stat().st_size)
    yield Progress(done, total, tuple(lines), files, stopped)


def _source(session: Session) -> Picture:
    source = session.chosen.get("source")
    if source is None:
        raise UserError("got no source; expected a photo or an invented person; choose one")
    return source


def _settings(
    desk: Desk, session: Session, asked: Asked, source: Picture, cropped: bool
) -> Settings:
    """The settings of a run; UserError where its photos do not go together."""
    if cropped and not source.cropped:
        raise UserError(MIXED)
    settings = desk.settings(session, asked)
    face = asked.target_face if asked.target_face == pictures.ALL else pictures.LARGEST
    return dataclasses.replace(settings, aligned=cropped, face=face, optimise=0)


def _batch_size() -> int:
    return BATCH_ON_CPU if jax.default_backend() == "cpu" else BATCH


def _zipped(folder: Path) -> Path:
    """All files of a run as one zip beside its folder; the pictures are compressed already."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    shutil.rmtree(folder)
    return path
