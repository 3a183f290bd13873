"""What each user of the page has: a folder of their own, the photos that they chose, a way to stop.

The folders lie in one private folder of the process, which goes when the page ends; a session's
goes when its browser leaves. Their names cannot be guessed: who does not know one finds nothing.
"""

import collections
import dataclasses
import itertools
import secrets
import shutil
import tempfile
import threading
from pathlib import Path

from alrl_jax.app.pictures import Picture
from alrl_jax.app.swaps import Swap
from alrl_jax.errors import UserError
from alrl_jax.inference.bounded_cache import BoundedCache
from alrl_jax.photos.face_photos import FacePhoto
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.utils.locks import locked

PREFIX = "alrl_app_"
MOST_SESSIONS = 64
"""Sessions at a time; of more, the one that was used least recently ends."""
PHOTOS_SEEN = 8
"""Photos of a session whose faces are remembered."""
NOT_AGREED = (
    "got no agreement; expected that everyone in the photos agreed to it; tick the box at the top "
    "of the page"
)


@dataclasses.dataclass
class Session:
    """One user's visit.

    Attributes:
        folder: of this user's files alone, mode 0700.
        agreed: whether the line on consent was accepted.
        chosen: the photos of the page by ``source`` and ``target``.
        seen: photos with their faces, which are not looked for again.
        stop: set when the queue that is at work should end.
        stop_search: set when the optimisation should.
        batch: photos that wait in the batch's queue.
        last: the swap that is shown, its model's name, and what its photos are called.
        numbers: give every file of the session a name of its own.
    """

    folder: Path
    agreed: bool = False
    chosen: dict[str, Picture] = dataclasses.field(default_factory=dict)
    seen: BoundedCache[FacePhoto] = dataclasses.field(
        default_factory=lambda: BoundedCache(PHOTOS_SEEN)
    )
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    stop_search: threading.Event = dataclasses.field(default_factory=threading.Event)
    last: tuple[Swap, str, PairFiles] | None = None
    batch: list[Picture] = dataclasses.field(default_factory=list)
    numbers: "itertools.count[int]" = dataclasses.field(default_factory=itertools.count)

    def check_agreed(self) -> None:
        """UserError before the line on consent was accepted."""
        if not self.agreed:
            raise UserError(NOT_AGREED)

    def new_folder(self, name: str) -> Path:
        """A folder for results, which is not there yet and has no other's name."""
        folder = self.folder / f"{name}_{next(self.numbers)}"
        folder.mkdir(mode=0o700)
        return folder


class Sessions:
    """All sessions, by the key that the browser's page draws for itself.

    Args:
        folder: private to the process; gets a folder for each session.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: collections.OrderedDict[str, Session] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Sessions that have not ended."""
        return len(self._sessions)

    def of(self, key: str) -> Session:
        """The session of a key, begun where there is none."""
        oldest = None
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                folder = self._folder / secrets.token_urlsafe(24)
                folder.mkdir(mode=0o700)
                session = Session(folder)
            self._sessions[key] = session
            if len(self._sessions) > MOST_SESSIONS:
                _, oldest = self._sessions.popitem(last=False)
        if oldest is not None:
            _end(oldest)
        return session

    def end(self, key: str) -> None:
        """Ends a session: what is at work stops, and its files go."""
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is not None:
            _end(session)


def _end(session: Session) -> None:
    session.stop.set()
    session.stop_search.set()
    shutil.rmtree(session.folder, ignore_errors=True)


def make_folder() -> Path:
    """A folder that is the user's alone (0700), for all that a page writes.

    What pages that were killed have left is removed: a page that runs holds its folder with a lock
    (``utils.locks.locked``).
    """
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    for folder in made.parent.glob(f"{PREFIX}*"):
        if folder != made and folder.owner() == made.owner():
            remove_left(folder)
    return made


def remove_left(folder: Path) -> None:
    """Removes a page's folder, but not that of a page that runs."""
    try:
        with locked(folder, "folder"):
            shutil.rmtree(folder, ignore_errors=True)
    except (UserError, OSError):  # it is held, or gone
        return
