"""``manifest.csv`` of a run with masks: what training a detector of swaps needs to know of it."""

import contextlib
import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alrl_jax.inference.outputs import LineLog

MANIFEST_FILE = "manifest.csv"
COLUMNS = ("source", "target", "output", "mask", "label", "provenance_id", "marked")
"""Files are relative to the directory of the manifest."""
FAKE = "fake"
"""Label of every output. What sources and targets are, only who took them knows."""


def provenance_id(sidecar: Mapping[str, Any]) -> str:
    """Names a swap: SHA-256 of the model's variables, a colon, SHA-256 of the output file.

    Its first 8 digits are those that the invisible mark carries; the sidecar of the output holds
    both hashes, so that neither needs a list to be checked.
    """
    return f"{sidecar['model']['sha256']}:{sidecar['output']['sha256']}"


def manifest_of(
    directory: Path, masks: bool
) -> contextlib.AbstractContextManager["Manifest | None"]:
    """The manifest of a run in a directory, or of one without masks None; see ``Manifest``."""
    return Manifest(directory) if masks else contextlib.nullcontext()


class Manifest(LineLog):
    """``manifest.csv``, a line as soon as a pair has an output; begun anew by every run.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / MANIFEST_FILE)
        self._row(COLUMNS)

    def write(self, result: Mapping[str, Any], sidecar: Mapping[str, Any]) -> None:
        """Adds a swap.

        Args:
            result: its line in ``results.jsonl``.
            sidecar: what lies beside its output.
        """
        told = {
            **{name: result[name] for name in ("source", "target", "output")},
            "mask": sidecar["mask"]["file"],
            "label": FAKE,
            "provenance_id": provenance_id(sidecar),
            "marked": str(bool(sidecar["watermark"]["marked"])).lower(),
        }
        self._row([told[name] for name in COLUMNS])

    def _row(self, values: list[str] | tuple[str, ...]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        # Names of files are bytes, and need not be UTF-8.
        self.add(text.getvalue().encode("utf-8", errors="surrogateescape"))
