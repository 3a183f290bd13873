"""Where faces come from: one table."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.data import folder, shards, tfds_source, world_faces
from alrl_jax.data.records import Layout, Source
from alrl_jax.data.request import DataRequest
from alrl_jax.data.true_swaps import TrueSwaps, true_swaps
from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.photos.file_trees import list_images
from alrl_jax.utils import buckets
from alrl_jax.utils.user_cache import keyed_directory
from alrl_jax.worlds import WORLDS

Facts = dict[str, Any]


def _unknown_layout(request: DataRequest) -> Layout | None:
    return None


def _no_facts(request: DataRequest) -> Facts:
    return {}


@dataclasses.dataclass(frozen=True)
class SourceKind:
    """A kind of data.

    Attributes:
        open: opens it; the first time this may take long.
        layout: the fields of its records where they are known before any face is read, else None.
        facts: what is known of it before it is read, beside its name; see ``data_entry``.
        world: entry of ``WORLDS`` where a world draws the faces, which then knows true swaps.
    """

    open: Callable[[DataRequest], Source]
    layout: Callable[[DataRequest], Layout | None] = _unknown_layout
    facts: Callable[[DataRequest], Facts] = _no_facts
    world: str | None = None


def world_source(world: str) -> SourceKind:
    """The faces of a world, rendered once into shards.

    Args:
        world: entry of ``WORLDS``.
    """

    def open_world(request: DataRequest) -> Source:
        """Renders faces into ``path`` (a cache folder by default) unless they are there."""
        plan = world_faces.world_plan(request, WORLDS[world])
        return shards.prepare(request.directory or keyed_directory(plan.parameters), plan)

    def facts(request: DataRequest) -> Facts:
        count = request.num_identities * request.images_per_identity
        return {"name": request.source, "images": count, "people": request.num_identities}

    return SourceKind(
        open_world,
        layout=lambda request: world_faces.world_layout(request.resolution, WORLDS[world]),
        facts=facts,
        world=world,
    )


def _open_prepared(request: DataRequest) -> Source:
    """Reads what ``alrl prepare-dataset`` wrote."""
    source = shards.open_shards(_required(request, "a directory that alrl prepare-dataset wrote"))
    if source.layout.resolution != request.resolution:
        raise UserError(
            f"got resolution {request.resolution} for the data set in {request.path}; expected "
            f"{source.layout.resolution}; set resolution to it, or prepare another data set"
        )
    return source


def _prepared_layout(request: DataRequest) -> Layout | None:
    if request.directory is None:
        return None
    buckets.fetch(request.directory / shards.DESCRIPTION)
    description = shards.read_description(request.directory)
    return None if description is None else Layout.from_json(description["layout"])


def _prepared_facts(request: DataRequest) -> Facts:
    if request.directory is None:
        return {}
    text = (request.directory / shards.DESCRIPTION).read_text(encoding="utf-8")
    parameters = json.loads(text)["parameters"]
    people = np.load(request.directory / shards.IDENTITIES, allow_pickle=False)
    names = ("kind", "split", "parser")
    known = {name: parameters[name] for name in names if name in parameters}
    return known | {"images": len(people), "people": len(np.unique(people))}


def _open_folder(request: DataRequest) -> Source:
    """Reads a tree of photographs."""
    directory = _required(request, "a directory of photographs")
    return folder.FolderSource(
        directory, request.resolution, request.person_per, progress=request.progress
    )


def _folder_facts(request: DataRequest) -> Facts:
    if request.directory is None:
        return {}
    return {"split": None, "images": len(list_images(request.directory))}


def _open_tfds(request: DataRequest) -> Source:
    """Reads a prepared TensorFlow data set, without TensorFlow."""
    path = _required(request, "NAME, NAME:VERSION or the directory of a prepared TFDS data set")
    return tfds_source.TfdsSource(str(path), request.split, request.resolution, request.progress)


SOURCES: dict[str, SourceKind] = {
    "synthetic": world_source("primitives"),
    "humans": world_source("humans"),
    "prepared": SourceKind(_open_prepared, _prepared_layout, _prepared_facts),
    "folder": SourceKind(_open_folder, facts=_folder_facts),
    "tfds": SourceKind(_open_tfds),
}
"""Kinds of data by the name that ``data.source`` gives."""


def open_source(request: DataRequest) -> Source:
    """Opens a source of faces; the first time this may take long and shows a progress bar.

    Raises:
        UserError: the source cannot be had; the message says what to do.
    """
    return _kind(request).open(request)


def known_layout(request: DataRequest) -> Layout | None:
    """The layout of a source where it is known before any face is read, else None.

    Raises:
        UserError: there is no such source, or the description of a prepared data set is damaged.
    """
    return _kind(request).layout(request)


def open_true_swaps(request: DataRequest) -> TrueSwaps:
    """The true swaps of the records that ``open_source`` gives for the same request.

    Raises:
        UserError: no world draws these faces.
    """
    world = _kind(dataclasses.replace(request, true_swaps=True)).world
    assert world is not None
    return true_swaps(request, WORLDS[world])


def _kind(request: DataRequest) -> SourceKind:
    """The entry of the table that a request names, if it can give what is asked."""
    if request.source not in SOURCES:
        raise UserError(
            f"config: data.source is {request.source!r}; "
            f"{did_you_mean(request.source, SOURCES)}expected one of {tuple(SOURCES)}"
        )
    kind = SOURCES[request.source]
    worlds = tuple(name for name, other in SOURCES.items() if other.world is not None)
    if request.cover_share and kind.world is None:
        raise UserError(
            f"config: data.cover_share is {request.cover_share} with data.source {request.source}; "
            f"expected 0, or one of {worlds}, as nothing can be drawn over other faces"
        )
    if request.true_swaps and kind.world is None:
        raise UserError(
            f"config: data.true_swaps is True with data.source {request.source}; expected one of "
            f"{worlds}, as the true swap of other faces is not known"
        )
    return kind


def _required(request: DataRequest, expected: str) -> Path:
    """The path of a source that has no place of its own."""
    if request.directory is None:
        raise UserError(f"got data.path=None; expected {expected}; set it")
    return buckets.pull(request.directory)
