"""The directory of a run: which configuration it belongs to, and that only one run writes to it."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.utils import buckets
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.files import remove, remove_leftovers, write_json
from alrl_jax.utils.leases import leased

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
OF_THE_MACHINE = ("speed/", "memory/")
"""What the names of metrics begin with that differ from start to start of one run."""

LARGE = ("checkpoints", "damaged_checkpoints", "samples", "profile")
"""What of a run is not fetched from a bucket when it begins: Orbax reads checkpoints there, and the
others are written only."""

MAY_CHANGE = frozenset(
    {
        "num_steps",
        "num_images",
        "max_minutes",
        "steps_per_call",
        "log_every",
        "checkpoint_every",
        "sample_every",
        "keep_checkpoints",
        "parameter_shards",
        "data.path",
        "data.on_device",
        "held_out_every",
        "data.held_out",
        "keep_best",
        "skip_nonfinite",
        "profile_steps",
        "writers",
    }
)
"""Fields that a resumed run may change: they change neither the model nor the order of data."""

_RATE = "updates are of another size, while the averages of the optimiser are kept"

MAY_CHANGE_WITH_EFFECT = {
    "batch_size": "batch t has other faces than in a run that began so, the faces of a step are "
    "drawn by its number as before, and num_images, warmup_images and ema_kimg count in the new "
    "batches",
    "accumulate": "sums are rounded in another order: figures agree to about 1e-5",
    "compute_dtype": "convolutions are rounded otherwise, and the model is exported with the new "
    "type",
    "discriminator.mbstd_blocks": "the discriminator's statistics are over other groups of faces",
    "discriminator.mbstd_group_size": "the discriminator's statistics are over other groups of "
    "faces",
    "optimizer.learning_rate": _RATE,
    "optimizer.discriminator_learning_rate": _RATE,
    "optimizer.generator_learning_rate": _RATE,
    "optimizer.warmup_steps": "rates follow the new warm-up from here on",
    "optimizer.warmup_images": "rates follow the new warm-up from here on",
}
"""Fields that a resumed run may change too, and what that does: it is no longer the run that was
never stopped."""

EARLIER_VERSION = "0.1.0"
EARLIER_FIELDS = frozenset({"requests", "impostors", "disguise", "shares"})
"""Fields of ``swap`` by which the configuration of a run of that version is known."""


@contextlib.contextmanager
def open_workdir(
    workdir: Path,
    config: Mapping[str, Any],
    begun: bool,
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Makes a directory ready for a run and keeps other runs out of it while the context lasts.

    A directory that was made here goes again where the block refuses the run (``UserError``) before
    it trained anything.

    Args:
        workdir: the directory; made if need be.
        config: the resolved configuration, nested, ready for JSON; written to ``config.json``.
        begun: whether there is a checkpoint; a run without one may begin with another
            configuration.
        defaults: a configuration whose values stand for fields that the directory's does not know:
            those that the program got after the run began.

    Raises:
        UserError: if it is not a writable directory, is in use, or belongs to another
            configuration in a field that may not change.
    """
    made = _make_directory(workdir)
    with _lock(workdir), _removed_if_refused(workdir, made):
        buckets.pull(workdir, LARGE)
        stored = read_config(workdir) if begun else None
        config = json.loads(json.dumps(config))
        if stored is not None:
            known = json.loads(json.dumps(defaults or {}))
            for change in check_same_run(workdir, _filled(stored, known), config):
                logging.warning("from this start on, %s", change)
        elif begun:
            raise UserError(
                f"{workdir} has checkpoints but no {CONFIG_FILE}; expected the directory of one "
                "run; use another --workdir"
            )
        if jax.process_index() == 0:
            remove_leftovers(workdir, locked=True)
            if stored != config:
                write_json(workdir / CONFIG_FILE, config)
        yield


def read_config(workdir: Path) -> dict[str, Any] | None:
    """The configuration of a run as nested dictionaries, or None if the run never began.

    Raises:
        UserError: if ``config.json`` cannot be read, or is that of a run of an earlier version.
    """
    path = workdir / CONFIG_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); expected the JSON that training wrote; bring back "
            "a good copy or use another --workdir"
        ) from error
    if not isinstance(stored, dict):
        raise UserError(f"{path} holds {stored!r}; expected a JSON object; use another --workdir")
    swap = stored.get("swap")
    earlier = sorted(EARLIER_FIELDS & swap.keys()) if isinstance(swap, dict) else []
    if earlier:
        raise earlier_run(workdir, f"swap.{earlier[0]} in its {CONFIG_FILE}")
    return stored


def earlier_run(workdir: Path, sign: str) -> UserError:
    """The error about a run of an earlier version, whose checkpoints this one cannot read.

    Args:
        workdir: directory of the run.
        sign: what it is known by.
    """
    return UserError(
        f"got {workdir}, the work directory of a run of version {EARLIER_VERSION} ({sign}); "
        "expected one of this version; train again with another --workdir, or package it with "
        f"{EARLIER_VERSION} (tools.package_model): its model directories open here"
    )


def check_same_run(
    workdir: Path, stored: Mapping[str, Any], config: Mapping[str, Any]
) -> list[str]:
    """Compares the configuration of a directory with that of the run that wants to go on in it.

    Returns:
        A line for every change that may be and has an effect, with what it does.

    Raises:
        UserError: naming every field that differs, both values and the remedy.
    """
    old, new = dict(_flatten(stored)), dict(_flatten(config))
    differing = [
        name
        for name in sorted(old.keys() | new.keys())
        if name not in MAY_CHANGE
        and name not in MAY_CHANGE_WITH_EFFECT
        and not _same(old.get(name, _ABSENT), new.get(name, _ABSENT))
    ]
    if differing:
        faults = "; ".join(
            f"{name} is {_shown(new, name)} but this run began with {_shown(old, name)}"
            for name in differing
        )
        raise UserError(f"{workdir}: {faults}; use the old values or another --workdir")
    return [
        f"{name} is {_shown(new, name)}, not {_shown(old, name)}: {effect}"
        for name, effect in MAY_CHANGE_WITH_EFFECT.items()
        if name in old.keys() | new.keys()
        and not _same(old.get(name, _ABSENT), new.get(name, _ABSENT))
    ]


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, with defaults for what is not among them."""
    filled = {**defaults, **values}
    for key, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(filled[key], Mapping):
            filled[key] = _filled(filled[key], default)
    return filled


_ABSENT = object()


def _same(old: Any, new: Any) -> bool:
    """Whether two values are the same; a weight of 0, like a path of "", may be left out."""
    if _ABSENT in (old, new):
        return not (new if old is _ABSENT else old)
    return old == new


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "absent"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _make_directory(workdir: Path) -> list[Path]:
    """Makes it and its parents; returns those that were missing, the innermost first."""
    if address_of(workdir) is not None:
        begun = buckets.listing(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        return [] if begun else [workdir]
    try:
        missing = [path for path in (workdir, *workdir.parents) if not path.exists()]
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".lock").touch()
    except OSError as error:
        raise UserError(
            f"workdir {workdir} cannot be used ({error.strerror}); expected a directory that can "
            "be written; use another --workdir"
        ) from error
    return missing


@contextlib.contextmanager
def _removed_if_refused(workdir: Path, made: list[Path]) -> Iterator[None]:
    """Removes directories that were made for a run that a user's mistake ends before it trains."""
    try:
        yield
    except UserError:
        # The log is opened when training begins: from then on there is something to keep.
        if made and jax.process_index() == 0 and not (workdir / METRICS_FILE).exists():
            with contextlib.suppress(UserError):  # of the bucket that refused the run
                remove(workdir)
            with contextlib.suppress(OSError):  # somebody else has put something there since
                for parent in made[1:]:
                    parent.rmdir()
        raise


@contextlib.contextmanager
def _lock(workdir: Path) -> Iterator[None]:
    """An advisory lock that ends with the process, or in a bucket soon after it."""
    if jax.process_index() != 0:
        yield
        return
    if address_of(workdir) is not None:
        with leased(workdir, "--workdir"):
            yield
        return
    with (workdir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"workdir {workdir} is in use by another run; expected one at a time; wait for "
                "it to end or use another --workdir"
            ) from error
        except OSError as error:
            raise UserError(
                f"workdir {workdir} is on a disk where files cannot be locked ({error.strerror}); "
                "expected one that keeps a second run out; use another --workdir"
            ) from error
        yield


def read_metrics(workdir: Path) -> list[dict[str, int | float]]:
    """All lines of a run's ``metrics.jsonl``, in order; none if there is no such file.

    Lines that cannot be read, as a killed run leaves the last one, are left out.
    """
    path = Path(workdir) / METRICS_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if step_of(line) is not None]


def step_of(line: str) -> int | None:
    """The step of a line of ``metrics.jsonl``; None where it is no such line."""
    try:
        values = json.loads(line)
        step = values["step"]
        plain = all(type(value) in (int, float) for value in values.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return step if plain and type(step) is int else None
