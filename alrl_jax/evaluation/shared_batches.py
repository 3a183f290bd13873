"""Batches of a benchmark that several processes measure, joined by the first of them."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from absl import logging

from alrl_jax.utils.files import write_arrays
from alrl_jax.utils.parts import (
    ALONE,
    Part,
    Share,
    check_no_others,
    explain_lost,
    remove_parts,
    wait_for_parts,
)

FILE = "batches.npz"
B = TypeVar("B")
Arrays = dict[tuple[str, str], list[np.ndarray]]
"""What a batch gave, by group and name; see ``measuring.Collector``."""


class ShareDone(Exception):
    """This process has done its share, which the first one joins with those of the others."""


@dataclasses.dataclass(frozen=True)
class Sharing:
    """Which batches this process measures, and where they meet.

    Attributes:
        share: of this process.
        directory: of the results; exists where there are several processes.
    """

    share: Share = ALONE
    directory: Path | None = None


def measured_batches(
    todo: Sequence[B], measure: Callable[[B], Arrays], sharing: Sharing
) -> list[Arrays]:
    """What every batch gives, in order.

    Args:
        todo: all batches.
        measure: gives the arrays of one.
        sharing: which of them are this process's. Those of a process that dies are measured by the
            first one.

    Raises:
        ShareDone: in all processes but the first, when theirs are measured.
    """
    share, directory = sharing.share, sharing.directory
    if share.alone or directory is None:
        return [measure(batch) for batch in todo]
    if share.is_first:
        check_no_others(directory, share)
    with Part(directory, share) as part:
        found = {i: measure(batch) for i, batch in share.of(enumerate(todo))}
        if not share.is_first:
            write_arrays(part.folder / FILE, _flat(found))
            part.finish({"batches": len(found)})
            raise ShareDone
        folders, lost = wait_for_parts(directory, share)
    if lost:
        logging.warning("%s; the first one measures what is missing", explain_lost(lost))
    for folder in folders:
        found |= _read(folder / FILE)
    remove_parts(folders)
    return [found[i] if i in found else measure(batch) for i, batch in enumerate(todo)]


def _flat(found: dict[int, Arrays]) -> dict[str, np.ndarray]:
    """All arrays under one name each."""
    return {
        f"{i}|{group}|{name}|{j}": array
        for i, arrays in found.items()
        for (group, name), parts in arrays.items()
        for j, array in enumerate(parts)
    }


def _read(path: Path) -> dict[int, Arrays]:
    """Inverse of ``_flat``; empty where there is no such file."""
    found: dict[int, Arrays] = {}
    if path.is_file():
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            for key in stored.files:
                number, group, name, _ = key.split("|")
                arrays = found.setdefault(int(number), {})
                arrays.setdefault((group, name), []).append(stored[key])
    return found
