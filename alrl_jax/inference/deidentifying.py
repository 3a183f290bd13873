"""Runs that give each person a source: ``--deidentify``, ``--map``, and ``--face=all`` invented."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from alrl_jax.errors import UserError
from alrl_jax.inference.person_sources import read_map
from alrl_jax.inference.protocols import Swapper
from alrl_jax.inference.pseudonyms import Pseudonyms
from alrl_jax.inference.references import usual_similarity
from alrl_jax.inference.samples import SAMPLE, read_seed
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.video.one_euro import OneEuro
from alrl_jax.inference.video.people import PeopleSwapping
from alrl_jax.utils import hashing

P = TypeVar("P", bound=PeopleSwapping)


def of_people(values: Any, settings: Settings) -> bool:
    """Whether each person gets a source of its own.

    Args:
        values: the flags.
        settings: that they ask for.
    """
    invented = (values.source or "").startswith(SAMPLE) and settings.face == "all"
    return bool(values.map) or values.deidentify or (invented and not settings.aligned)


def people_settings(values: Any, settings: Settings) -> Settings:
    """The settings of such a run, and of any other as they are.

    Raises:
        UserError: flags that need invented people without them, or that go against each other.
    """
    if values.deidentify:
        settings = deidentifying(values, settings)
    elif values.map:
        settings = _mapping(values, settings)
    named = []
    if values.on_failure and not values.deidentify:
        named.append(f"--on_failure={values.on_failure}")
    people = settings.face == "all" and (values.source or "").startswith(SAMPLE)
    if values.pseudonyms is not None and not people:
        named.append("--pseudonyms")
    if named:
        raise UserError(
            f"got {' and '.join(named)} without invented people; expected --deidentify, or for "
            "--pseudonyms --face=all, with --source=sample:SEED; add it"
        )
    return settings


def deidentifying(values: Any, settings: Settings) -> Settings:
    """The settings of a run in which no original face may be seen: every face, no fine detail.

    Args:
        values: the flags.
        settings: what else they ask for.

    Raises:
        UserError: a flag would leave something of the original face, or name a source.
    """
    named = [text for text in values.map if not text.partition("=")[2].startswith(SAMPLE)]
    faults = {
        f"--source={values.source}": not (values.source or "").startswith(SAMPLE),
        f"--map={','.join(named)}": bool(named),
        "--identity_from=target": settings.identity_from == "target",
        "--aligned": settings.aligned,
        "--selector": settings.selector is not None,
        f"--face={settings.face}": settings.face not in ("largest", "all"),
        f"--detail={settings.paste.detail:g}": settings.paste.detail > 0,
        "--groups=identity=target": settings.groups.get("identity") == "target",
        "--masks": bool(values.masks),
    }
    wrong = [flag for flag, bad in faults.items() if bad]
    if wrong:
        raise UserError(
            f"got --deidentify with {', '.join(wrong)}; expected an invented source "
            "(--source=sample:SEED) and nothing that keeps the original face; correct it"
        )
    return dataclasses.replace(settings, face="all")


def _mapping(values: Any, settings: Settings) -> Settings:
    """The settings of a run with ``--map``: all faces are looked at."""
    source = values.source
    faults = {
        f"--source={source}": source is not None and not source.startswith(SAMPLE),
        "--aligned": settings.aligned,
        f"--face={settings.face}": settings.face not in ("largest", "all"),
    }
    wrong = [flag for flag, bad in faults.items() if bad]
    if wrong:
        raise UserError(
            f"got --map with {', '.join(wrong)}; expected photos in which faces are looked for, "
            "and sample:SEED or no --source for all other people; correct it"
        )
    return dataclasses.replace(settings, face="all")


def open_people(
    kind: type[P],
    model: Swapper,
    values: Any,
    settings: Settings,
    landmarks_path: Path | None,
    smoothing: OneEuro | None,
) -> P:
    """The people of a run, with their sources.

    Args:
        kind: class of a video's people, or of an album's.
        model: a swapper.
        values: the flags.
        settings: of ``people_settings``.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        smoothing: of landmarks over time; None for none.

    Raises:
        UserError: see ``PeopleSwapping``, ``read_map`` and ``Pseudonyms``.
    """
    pseudonyms = None
    if values.source is not None:
        path = None if values.pseudonyms is None else Path(values.pseudonyms)
        sha256, least = hashing.variables_sha256(model.variables), usual_similarity(model)
        pseudonyms = Pseudonyms(read_seed(values.source), sha256, path, least)
    on_failure = (values.on_failure or "blur") if values.deidentify else "keep"
    output, mapped = Path(values.output), read_map(values.map)
    return kind(model, settings, pseudonyms, output, on_failure, landmarks_path, smoothing, mapped)
