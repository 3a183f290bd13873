"""``results.jsonl`` and the manifest of a run, whether one process makes it or several share it."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alrl_jax.inference.manifest import manifest_of
from alrl_jax.inference.outputs import MASKS, RESULTS_FILE, LineLog, ResultsLog
from alrl_jax.utils.files import remove_leftovers
from alrl_jax.utils.parts import Part, Share, read_lines, remove_parts, wait_for_parts

_OF_MANIFEST = ("model", "output", "mask", "watermark")
"""What of a sidecar the manifest needs."""


class RunResults:
    """What is said of the pairs of a run.

    Attributes:
        all: the lines of all processes, in order, once the first of several has put them together.
        lost: numbers of processes that did not come to an end.
    """

    def __init__(self, directory: Path, masks: bool, share: Share) -> None:
        self._directory, self._masks, self._share = directory, masks, share
        self._files = contextlib.ExitStack()
        self.all: list[dict[str, Any]] | None = None
        self.lost: list[int] = []

    def __enter__(self) -> "RunResults":
        if self._share.alone:
            self._log = self._files.enter_context(ResultsLog(self._directory))
            self._manifest = self._files.enter_context(manifest_of(self._directory, self._masks))
        else:
            self._part = self._files.enter_context(Part(self._directory, self._share))
            self._lines = self._files.enter_context(LineLog(self._part.folder / RESULTS_FILE))
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def write(self, result: Mapping[str, Any], sidecar: Mapping[str, Any] | None) -> None:
        """Adds a pair.

        Args:
            result: its line.
            sidecar: what lies beside its output, where it has one.
        """
        if self._share.alone:
            self._log.write(result)
            if self._manifest is not None and sidecar is not None:
                self._manifest.write(result, sidecar)
            return
        known = None if sidecar is None else {name: sidecar.get(name) for name in _OF_MANIFEST}
        entry = {"result": dict(result), "sidecar": known}
        self._lines.add((json.dumps(entry, allow_nan=False) + "\n").encode())

    def finish(self) -> None:
        """Ends a process's share; the first waits for the others and puts all together."""
        if self._share.alone:
            return
        self._lines.close()
        self._part.finish({"process": self._share.index})
        if self._share.is_first:
            folders, self.lost = wait_for_parts(self._directory, self._share)
            self.all = list(self._joined(folders))
            for folder in (self._directory, self._directory / MASKS):
                remove_leftovers(folder, locked=True)
            self._part.close()
            remove_parts(folders)

    def _joined(self, folders: list[Path]) -> Iterator[dict[str, Any]]:
        """The lines of all processes, each written as it comes."""
        found = [entry for folder in folders for entry in read_lines(folder / RESULTS_FILE)]
        with (
            ResultsLog(self._directory) as log,
            manifest_of(self._directory, self._masks) as manifest,
        ):
            for entry in sorted(found, key=lambda entry: entry["result"]["number"]):
                log.write(entry["result"])
                if manifest is not None and entry["sidecar"] is not None:
                    manifest.write(entry["result"], entry["sidecar"])
                yield entry["result"]
