"""A directory tree of photographs as a source: nothing but the photos is known."""

import hashlib
import json
import os
import stat
import threading
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Int

from alrl_jax.data.records import Layout, to_dict
from alrl_jax.data.shards import progress_bar
from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import SUFFIXES, UnreadableImageError, read_image
from alrl_jax.photos.file_trees import DirectoryFile, list_images
from alrl_jax.utils.files import write_json
from alrl_jax.utils.user_cache import cache_directory

PERSON_PER = ("image", "folder")
"""What shows a person of its own: every photo, or every sub-folder with all that is in it."""

CHECK_RESOLUTION = 16  # small: the check decodes the whole file, the result is thrown away
THREADS = os.cpu_count() or 1


class FolderSource:
    """Reads photographs; see ``records.Source``. Their order is that of their sorted paths.

    Every file is decoded once before training, and what cannot be read is left out and reported.
    A file that breaks later is reported too, and the next readable one stands in for it.
    """

    def __init__(
        self, directory: Path, resolution: int, person_per: str = "image", progress: bool = True
    ) -> None:
        """Looks through the tree (links to directories are not followed, hidden names are skipped).

        Args:
            directory: root of the tree; jpg, jpeg, png and webp files count, in any case.
            resolution: side of the square images, in pixels.
            person_per: a value of ``PERSON_PER``. With "folder", photos that lie directly in
                ``directory`` show a person of their own each.
            progress: whether to draw a progress bar.

        Raises:
            UserError: no such directory, or no readable image in it, or an unknown ``person_per``.
        """
        if person_per not in PERSON_PER:
            raise UserError(
                f"got identities {person_per!r}; expected {' or '.join(PERSON_PER)}; pick one"
            )
        if not directory.is_dir():
            raise UserError(
                f"got {directory}, which is no directory; expected a tree of photographs; "
                "set data.path"
            )
        self.directory = directory
        self.layout = Layout(resolution)
        self.report: list[tuple[str, str]] = []
        self.names = self._readable(list_images(directory), progress)
        people = [person(name) if person_per == "folder" else name for name in self.names]
        self.identities = np.unique(np.array(people), return_inverse=True)[1].astype(np.int32)
        self._lock = threading.Lock()
        self._pool = futures.ThreadPoolExecutor(THREADS, thread_name_prefix="photos")

    def __len__(self) -> int:
        """Number of readable images."""
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One record as a dictionary."""
        return to_dict(self.read(np.array([index]))[0], index)

    def read(self, indices: Int[np.ndarray, " b"]) -> np.ndarray:
        """The records of these images, structured, ``[b]``."""
        records = self.layout.empty(len(indices))
        records["identity"] = self.identities[indices]
        records["image"] = np.stack(list(self._pool.map(self._image, indices.tolist())))
        return records

    def _image(self, index: int) -> np.ndarray:
        """One image, or the next one that can be read."""
        for offset in range(len(self)):
            name = self.names[(index + offset) % len(self)]
            try:
                return read_image(self.directory / name, self.layout.resolution)
            except UnreadableImageError as error:
                self._report_once(name, str(error))
        raise UserError(
            f"got no readable image any more in {self.directory}; "
            f"expected {len(self)}; restore the files"
        )

    def _report_once(self, name: str, reason: str) -> None:
        """Adds a file that broke after it had been checked."""
        with self._lock:
            if all(name != known for known, _ in self.report):
                self.report.append((name, reason))
                logging.warning(
                    "cannot read %s any more (%s); the next image stands in for it", name, reason
                )

    def _readable(self, names: Sequence[str], progress: bool) -> list[str]:
        """Checks every file and returns the names of the good ones; the others go to the report."""
        reasons = check_images(self.directory, names, progress)
        self.report += [(name, reason) for name in names if (reason := reasons[name]) is not None]
        for name, reason in self.report[:10]:
            logging.warning("skipping %s: %s", name, reason)
        if self.report:
            logging.warning(
                "skipped %d of %d files in %s", len(self.report), len(names), self.directory
            )
        good = [name for name in names if reasons[name] is None]
        if not good:
            first = f" (the first: {self.report[0][0]}: {self.report[0][1]})" if self.report else ""
            raise UserError(
                f"got {self.directory} with {len(names)} image files, none of them readable"
                f"{first}; expected at least one of {', '.join(SUFFIXES)}; "
                "set data.path to a tree of photographs"
            )
        return good


def check_images(
    directory: Path, names: Sequence[str], progress: bool = True
) -> dict[str, str | None]:
    """Decodes every file once and says of each why it cannot be used, or None where it can.

    Results are kept in the user's cache, so that only files whose size or time has changed since
    are decoded again.
    """
    key = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    index_path = cache_directory() / "checked" / f"{key}.json"
    index = _read_index(index_path)
    marks = {name: list(DirectoryFile(str(directory), name).mark) for name in names}
    reasons = {
        name: index[name][1] for name in names if name in index and index[name][0] == marks[name]
    }
    missing = [name for name in names if name not in reasons]
    if missing:
        with futures.ThreadPoolExecutor(THREADS) as pool:
            checked = pool.map(lambda name: _check_image(directory / name), missing)
            with progress_bar(len(missing), f"checking {directory}", progress) as bar:
                for name, reason in zip(missing, checked, strict=True):
                    reasons[name] = reason
                    bar.update()
        index_path.parent.mkdir(parents=True, exist_ok=True)
        write_json(index_path, {name: [marks[name], reasons[name]] for name in names})
    return reasons


def _check_image(path: Path) -> str | None:
    """Why a file cannot be used, or None."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            return "not a regular file"
        read_image(path, CHECK_RESOLUTION)
    except (UnreadableImageError, OSError) as error:
        return str(error)
    return None


def _read_index(path: Path) -> dict[str, Any]:
    """Earlier results; none where the file is missing or broken, as it only saves time."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def person(name: str) -> str:
    """What names the person of a photo: its folder, or the photo itself at the root."""
    folder = name.rpartition("/")[0]
    return folder or name
