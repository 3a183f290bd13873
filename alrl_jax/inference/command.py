"""What the commands that swap faces share: flags, settings, and the summary."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from alrl_jax.errors import UserError
from alrl_jax.inference.samples import SAMPLE
from alrl_jax.inference.settings import FACES, Settings
from alrl_jax.photos.finder.views import DetectorOptions
from alrl_jax.photos.found_face import check_choice
from alrl_jax.photos.landmarks import (
    DEFAULT_OPTIONS,
    DEFAULT_SOURCE,
    LANDMARK_SOURCES,
    default_source,
)
from alrl_jax.photos.paste import BLENDS, PasteOptions
from alrl_jax.utils import command_line, hashing
from alrl_jax.utils.printing import say

SOME_FAILED = 3
"""Exit status of a run that finished, but not for all."""
STATUSES = ("done", "skipped", "failed")
DOUBTFUL = "doubtful"
"""Key of a result that the program has reason to doubt; see ``doubts``."""
PRINTED_FAILURES = 20
"""Failures that are printed one by one; ``results.jsonl`` has them all."""
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
"""The progress bar: always images a second, and the time left."""


class Tally:
    """What became of the pairs or frames of a run, and the exit status that follows from it."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []

    def add(self, result: Mapping[str, Any], which: str) -> None:
        """Takes note of a line of ``results.jsonl``.

        Args:
            result: the line.
            which: what it is about, for the screen.
        """
        self.counts[result["status"]] += 1
        doubtful = result.get("doubtful") is not None
        self.counts[DOUBTFUL] += doubtful
        if (doubtful or result["status"] == "failed") and len(self.failures) < PRINTED_FAILURES:
            reason = f"doubtful: {result['doubtful']}" if doubtful else result["reason"]
            self.failures.append(f"  {which}: {reason}")

    def status(self, strict: bool) -> int:
        """``SOME_FAILED`` if some failed or, where that counts, are doubtful."""
        bad = self.counts["failed"] + (self.counts[DOUBTFUL] if strict else 0)
        return SOME_FAILED if bad else 0


def print_summary(counts: Mapping[str, int], failures: list[str], results: Path) -> None:
    """Prints how a run went.

    Args:
        counts: by status, and how many of them are doubtful.
        failures: lines about the first ones that failed or are doubtful.
        results: the file that lists all.
    """
    summary = ", ".join(f"{counts[name]} {name}" for name in STATUSES if counts.get(name))
    doubtful = counts.get(DOUBTFUL, 0)
    summary += f" ({doubtful} of them {DOUBTFUL})" if doubtful else ""
    more = counts.get("failed", 0) + doubtful - len(failures)
    lines = [f"{summary}: {results}", *failures, *([f"  and {more} more"] if more else [])]
    for line in lines:
        say(line)


def read_settings(values: Any, landmarks_path: Path | None) -> Settings:
    """The settings that the flags ask for.

    Raises:
        UserError: a choice of faces is unknown, the landmark file is missing, or a detector is
            given options that it does not take.
    """
    if landmarks_path is not None and (values.aligned or not landmarks_path.is_file()):
        raise UserError(
            f"got --landmarks_path={landmarks_path}; expected a file, and no --aligned; correct it"
        )
    invented = (values.source or "").startswith(SAMPLE)
    detail = values.detail if values.detail is not None else (0.0 if invented else 1.0)
    source = values.landmarks_from or (DEFAULT_SOURCE if values.aligned else default_source())
    return Settings(
        pose_from=values.pose_from,
        identity_from=values.identity_from,
        aligned=values.aligned,
        aligned_source=values.aligned_source,
        landmarks_from=source,
        detector=_read_options(values, source),
        landmarks_sha256=None if landmarks_path is None else hashing.file_sha256(landmarks_path),
        face=check_choice("face", values.face, several=True),
        source_face=check_choice("source_face", values.source_face, several=False),
        paste=PasteOptions(values.blend, values.colour_match, values.feather, detail),
        mark=values.mark,
        groups=_read_groups(values.groups),
        selector=values.selector,
    )


def _read_options(values: Any, source: str) -> DetectorOptions:
    """UserError for options out of range, or of a detector that has none."""
    try:
        angles = tuple(float(angle) for angle in values.detector_angles)
        if not angles or not np.isfinite(angles).all():
            raise ValueError
    except ValueError:
        raise UserError(
            f"got --detector_angles={','.join(values.detector_angles)}; expected degrees with "
            "commas between them, such as 0,90,180,270; correct them"
        ) from None
    options = DetectorOptions(values.min_confidence, angles, values.min_face)
    if options != DEFAULT_OPTIONS and source != DEFAULT_SOURCE:
        raise UserError(
            "got --min_confidence, --detector_angles or --min_face with faces from "
            f"{source}; expected them with --landmarks_from={DEFAULT_SOURCE}; drop them"
        )
    return options


def _read_groups(texts: Sequence[str]) -> dict[str, str]:
    """Faces by attribute group, of the flag ``--groups``."""
    groups: dict[str, str] = {}
    for text in texts:
        name, _, face = text.strip().partition("=")
        if not name or face not in FACES or name in groups:
            raise UserError(
                f"got --groups={','.join(texts)}; expected NAME=source or NAME=target, each name "
                "once, with commas between, such as --groups=expression=source,light=target"
            )
        groups[name] = face
    return groups


def define_flags() -> None:
    """Defines the flags that every such command has."""
    command_line.DEFINE_path(
        "model", None, "Model or work directory, or embedded/NAME.", required=True, bucket="read"
    )
    command_line.DEFINE_path(
        "output", None, "Directory of the results.", required=True, bucket="written"
    )
    flags.DEFINE_enum("pose_from", "target", FACES, "Whose pose the result has.")
    flags.DEFINE_enum("identity_from", "source", FACES, "Whose identity the result has.")
    flags.DEFINE_list("groups", [], "Attribute groups by face: expression=source,light=target.")
    flags.DEFINE_string("selector", None, "Rule that selects codes, in place of the model's own.")
    flags.DEFINE_boolean("aligned", False, "Photos are face crops; look for no face in them.")
    flags.DEFINE_boolean("aligned_source", False, "Only the sources are face crops.")
    finders = list(LANDMARK_SOURCES)
    flags.DEFINE_enum(
        "landmarks_from", None, finders, f"What finds faces; default {DEFAULT_SOURCE}."
    )
    options = DEFAULT_OPTIONS
    flags.DEFINE_float(
        "min_confidence", options.min_confidence, "Of a face, the least that counts.", 0.01, 0.99
    )
    angles = [f"{angle:g}" for angle in options.angles]
    flags.DEFINE_list(
        "detector_angles", angles, "Degrees by which photos are turned to find faces."
    )
    flags.DEFINE_float(
        "min_face", options.min_face, "Smallest face, over the photo's longer side.", 0.001, 1.0
    )
    command_line.DEFINE_path("landmarks_path", None, "Landmark file, or the detector's model.")
    flags.DEFINE_string("face", "largest", "Faces of the target: largest, all, or a number from 0.")
    flags.DEFINE_string("source_face", "largest", "Face of the source: largest, or a number.")
    flags.DEFINE_enum("blend", "feather", list(BLENDS), "How the swapped face is joined in.")
    flags.DEFINE_boolean("colour_match", False, "Give it the colours of the original face.")
    flags.DEFINE_float(
        "feather", 0.0, "Soft edge added to the mask, share of the crop's side.", 0.0, 0.5
    )
    flags.DEFINE_float(
        "detail",
        None,
        "Share of the target's fine detail that stays; default 1, and 0 under invented faces.",
        0.0,
        1.0,
    )
    flags.DEFINE_boolean("mark", True, "Put an invisible mark into outputs from 256 px on.")
    flags.DEFINE_boolean("strict", False, "End with status 3 if a result is doubtful.")
    flags.DEFINE_integer("batch_size", 16, "Pairs swapped at a time.", lower_bound=1)
