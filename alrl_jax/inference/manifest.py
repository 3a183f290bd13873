"""``manifest.csv`` of a run with masks: what the training of a detector of swaps needs."""

import contextlib
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.inference.outputs import MANIFEST_FILE, MASKS, LineLog, mask_name
from alrl_jax.utils.files import atomic_write
from alrl_jax.utils.printing import no_formula

COLUMNS = ("source", "target", "output", "mask", "label", "provenance_id", "marked")
"""Files are relative to the directory of the manifest."""
VIDEO_COLUMNS = (*COLUMNS[:3], "frame", *COLUMNS[3:])
"""Of the manifest of a video, which has a line for each of its frames."""
FAKE = "fake"
"""Label of every output. Sources and targets have none: only their owners know what they are."""
UNTOUCHED = "untouched"
"""Label of a video's frame in which nothing was swapped."""


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
    """``manifest.csv``, a line as soon as a pair has an output; every run starts it afresh.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / MANIFEST_FILE)
        self.add(_line(COLUMNS))

    def write(self, result: Mapping[str, Any], sidecar: Mapping[str, Any]) -> None:
        """Adds a swap.

        Args:
            result: its line in ``results.jsonl``.
            sidecar: what lies beside its output.
        """
        cells = {
            **{name: result[name] for name in ("source", "target", "output")},
            "mask": sidecar["mask"]["file"],
            "label": FAKE,
            "provenance_id": provenance_id(sidecar),
            "marked": _boolean(sidecar["watermark"]["marked"]),
        }
        self.add(_line([cells[name] for name in COLUMNS]))


def write_video_manifest(
    directory: Path, files: Mapping[str, str], sidecar: Mapping[str, Any]
) -> None:
    """Writes the manifest of one video, all at once or not at all.

    Args:
        directory: of the outputs.
        files: ``source``, ``target`` and ``output``, relative to the directory.
        sidecar: what lies beside the video.

    Raises:
        OSError: it cannot be written.
    """
    swapped = {n for first, last in sidecar["mask"]["swapped"] for n in range(first, last + 1)}
    video = {**files, "provenance_id": provenance_id(sidecar)}
    with atomic_write(directory / MANIFEST_FILE) as temporary, temporary.open("wb") as file:
        file.write(_line(VIDEO_COLUMNS))
        for number in range(sum(sidecar["frames"].values())):
            cells = video | {
                "frame": str(number),
                "mask": f"{MASKS}/{files['output']}/{mask_name(number)}",
                "label": FAKE if number in swapped else UNTOUCHED,
                "marked": _boolean(number in swapped and sidecar["watermark"]["marked"]),
            }
            file.write(_line([cells[name] for name in VIDEO_COLUMNS]))


def _boolean(value: Any) -> str:
    return str(bool(value)).lower()


def _line(values: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([no_formula(value) for value in values])
    # Names of files are bytes, and need not be UTF-8.
    return text.getvalue().encode("utf-8", errors="surrogateescape")
