"""The best state of a run by what it measures on held-out faces, kept beside the newest ones.

``WORKDIR/best`` is a work directory of its own, with one checkpoint: ``alrl evaluate``,
``alrl package-model`` and the like read it as they read any other.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from absl import logging

from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.storage.checkpoint import Checkpointer, wait_for_all
from alrl_jax.storage.workdir import CONFIG_FILE
from alrl_jax.utils.files import remove, write_files, write_json

PyTree = Any

DIRECTORY = "best"
FILE = "best.json"
BETTER = {"identity_similarity": 1.0, "target_similarity": -1.0, "reconstruction_psnr": 1.0}
"""Figures of ``held_out/...`` by which a state can be the best: 1 where higher is better."""
_COPIED = (CONFIG_FILE, "origin.json")


def check_best(name: str) -> None:
    """Raises UserError unless a figure is one that a state can be the best by; "" is none."""
    if name and name not in BETTER:
        raise UserError(
            f"config: keep_best is {name!r}; {did_you_mean(name, BETTER)}expected one of "
            f"{tuple(BETTER)}, or '' to keep the newest alone"
        )


class Best:
    """Saves a state whenever it is better than all before; use it as a context manager."""

    def __init__(self, workdir: Path, name: str, first: int) -> None:
        """Goes on from what ``workdir/best`` says.

        Args:
            workdir: of the run.
            name: an entry of ``BETTER``, or "" to keep nothing.
            first: finished updates. A best state of a later step is forgotten: it will be trained
                again.
        """
        self._workdir, self._name = workdir, name
        self._checkpointer: Checkpointer | None = None
        self._value: float | None = None
        if not name:
            return
        directory = workdir / DIRECTORY
        found = _read(directory / FILE)
        if found.get("name") == name and found.get("step", first + 1) <= first:
            self._value = found["value"]
        wait_for_all(f"best read at {first}")
        if self._value is None and jax.process_index() == 0:
            remove(directory)
            directory.mkdir()
        wait_for_all(f"best ready at {first}")
        self._checkpointer = Checkpointer(directory, keep=1)

    def __enter__(self) -> "Best":
        return self

    def __exit__(self, *error: object) -> None:
        if self._checkpointer is not None:
            self._checkpointer.close()

    def consider(
        self, step: int, values: Mapping[str, float], state: PyTree, metadata: dict[str, Any]
    ) -> None:
        """Saves a state if what was measured of it is better than all before.

        Args:
            step: finished updates.
            values: figures of the line, which has none of ours where nothing was measured.
            state: as ``Checkpointer.save`` takes it, as is the next.
            metadata: of a checkpoint.
        """
        value = values.get(f"held_out/{self._name}")
        if self._checkpointer is None or value is None:
            return
        sign = BETTER[self._name]
        if self._value is not None and sign * value <= sign * self._value:
            return
        self._checkpointer.save(step, state, metadata)
        self._checkpointer.wait()
        self._value = value
        if jax.process_index() == 0:
            for name in _COPIED:
                if (self._workdir / name).exists():
                    content = (self._workdir / name).read_bytes()
                    write_files({self._workdir / DIRECTORY / name: content})
            found = {"name": self._name, "value": value, "step": step}
            write_json(self._workdir / DIRECTORY / FILE, found)
        logging.info("best so far: held_out/%s %.4g at step %d", self._name, value, step)


def _read(path: Path) -> dict[str, Any]:
    """What the file says; nothing where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
