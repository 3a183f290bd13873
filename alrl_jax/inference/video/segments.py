"""Segments of a video that are finished: a run that was stopped goes on behind them.

Every segment has an encoder of its own, so that a video of segments that several runs made is that
of one run. They lie in a hidden folder beside the output, which goes with its end.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.utils import hashing
from alrl_jax.utils.files import json_text, remove, write_files
from alrl_jax.utils.opening import read_json

FRAMES = 250
"""Frames of a segment."""
RECIPE_FILE = "recipe.json"
MASKS = "masks"


class Segments:
    """The finished segments of one output.

    Args:
        folder: hidden, beside the output.
        recipe: all that the output depends on; segments of another one go.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        self.folder = folder
        self._recipe = json.loads(json_text(dict(recipe) | {"segment": FRAMES}))
        self._count = 0
        self._watermark: dict[str, Any] | None = None

    def open(self) -> None:
        """Finds the segments that an earlier run finished, from the first without a gap."""
        self._count, self._watermark = 0, None
        try:
            same = read_json(self.folder / RECIPE_FILE) == self._recipe
        except (OSError, ValueError):
            same = False
        if not same:
            remove(self.folder)
            return
        while (record := self._whole(self._count)) is not None:
            self._count, self._watermark = self._count + 1, record["watermark"]

    def _whole(self, number: int) -> dict[str, Any] | None:
        """The record of a segment whose packets are there."""
        packets, record = self._paths(number)
        try:
            found = read_json(record)
            whole = found["sha256"] == hashing.file_sha256(packets)
            return found if whole and len(found["results"]) == FRAMES else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"{number:06d}.packets", self.folder / f"{number:06d}.json"

    @property
    def masks(self) -> Path:
        """Folder of the masks."""
        return self.folder / MASKS

    @property
    def frames(self) -> int:
        """Number of frames in finished segments."""
        return FRAMES * self._count

    @property
    def watermark(self) -> dict[str, Any] | None:
        """What the last of them says of the mark."""
        return self._watermark

    def results(self) -> Iterator[dict[str, Any]]:
        """The lines of all frames in segments that are finished now."""
        for number in range(self._count):
            yield from read_json(self._paths(number)[1])["results"]

    def add(
        self,
        packets: bytes,
        results: Sequence[Mapping[str, Any]],
        watermark: Mapping[str, Any] | None,
    ) -> None:
        """Keeps a segment.

        Args:
            packets: of ``encoding.packed``.
            results: the lines of its frames.
            watermark: what is known of the mark.

        Raises:
            UserError: it cannot be written.
        """
        place, beside = self._paths(self._count)
        record = {
            "sha256": hashlib.sha256(packets).hexdigest(),
            "results": [dict(line) for line in results],
            "watermark": None if watermark is None else dict(watermark),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            recipe = {self.folder / RECIPE_FILE: json_text(self._recipe).encode()}
            write_files({**recipe, place: packets, beside: json_text(record).encode()})
        except OSError as error:
            raise UserError(
                f"got {place} ({error.strerror}); expected a file that can be written; make room "
                "and start again: finished segments stay"
            ) from error
        self._count, self._watermark = self._count + 1, record["watermark"]

    def blocks(self) -> Iterator[bytes]:
        """The packets of every segment, in order."""
        for number in range(self._count):
            yield self._paths(number)[0].read_bytes()

    def leave(self) -> None:
        """Keeps what is finished for a later run; nothing where nothing is."""
        if not self._count:
            self.remove()

    def remove(self) -> None:
        """Removes all."""
        remove(self.folder)
        self._count = 0
