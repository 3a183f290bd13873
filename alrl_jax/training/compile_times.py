"""How long the programs of a run took to compile, kept for the next start."""

import contextlib
import json
from pathlib import Path

import jax

from alrl_jax.utils.files import write_json

FILE = "compile_seconds.json"


class CompileTimes:
    """Seconds by program, in ``workdir/compile_seconds.json``; what cannot be read is not known."""

    def __init__(self, workdir: Path) -> None:
        """Reads what an earlier start noted."""
        self._path = workdir / FILE
        self._seconds: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                self._seconds = {name: float(value) for name, value in found.items()}

    def last(self, what: str) -> str:
        """What a program took last time, to be put behind a line; empty where it is not known."""
        known = self._seconds.get(what)
        return "" if known is None else f" (last time it took {known:.1f} s)"

    def note(self, what: str, seconds: float) -> None:
        """Notes what a program took."""
        self._seconds[what] = round(seconds, 1)
        if jax.process_index() == 0:
            with contextlib.suppress(OSError):  # a full disk ends a run when it saves
                write_json(self._path, self._seconds)
