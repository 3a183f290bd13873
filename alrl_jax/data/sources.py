"""Where faces come from: one table."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from alrl_jax.data import folder, shards, tfds_source, world_faces
from alrl_jax.data.records import Layout, Source
from alrl_jax.errors import UserError
from alrl_jax.utils.paths import local_path
from alrl_jax.utils.user_cache import keyed_directory


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of a source; a source ignores what it has no use for.

    Attributes:
        path: directory or data set; None where the source knows a place of its own.
        resolution: side of the square images, in pixels.
        num_identities: number of synthetic people.
        images_per_identity: pictures of each of them.
        split: part of the synthetic key space, or of a TFDS data set.
        seed: number of the synthetic world.
        identities: who is in a photograph of a folder; see ``folder.IDENTITIES``.
        progress: whether to draw progress bars.
    """

    path: Path | None
    resolution: int
    num_identities: int
    images_per_identity: int
    split: str
    seed: int
    identities: str
    progress: bool


def _open_synthetic(request: Request) -> Source:
    """Renders synthetic faces into ``path`` (a cache folder by default) unless they are there."""
    plan = world_faces.synthetic_plan(
        request.resolution,
        request.num_identities,
        request.images_per_identity,
        request.split,
        request.seed,
    )
    directory = request.path or keyed_directory(plan.parameters)
    return shards.prepare(directory, dataclasses.replace(plan, progress=request.progress))


def _open_prepared(request: Request) -> Source:
    """Reads what ``alrl prepare-dataset`` wrote."""
    source = shards.open_shards(_required(request, "a directory that alrl prepare-dataset wrote"))
    if source.layout.resolution != request.resolution:
        raise UserError(
            f"got resolution {request.resolution} for the data set in {request.path}; expected "
            f"{source.layout.resolution}; set resolution to it, or prepare another data set"
        )
    return source


def _open_folder(request: Request) -> Source:
    """Reads a tree of photographs."""
    directory = _required(request, "a directory of photographs")
    return folder.FolderSource(
        directory, request.resolution, request.identities, progress=request.progress
    )


def _open_tfds(request: Request) -> Source:
    """Reads a prepared TensorFlow data set, without TensorFlow."""
    path = _required(request, "NAME, NAME:VERSION or the directory of a prepared TFDS data set")
    return tfds_source.TfdsSource(str(path), request.split, request.resolution, request.progress)


SOURCES: dict[str, Callable[[Request], Source]] = {
    "synthetic": _open_synthetic,
    "prepared": _open_prepared,
    "folder": _open_folder,
    "tfds": _open_tfds,
}
"""Opens each kind of source."""


def open_source(
    name: str,
    path: str | os.PathLike[str] | None,
    resolution: int,
    num_identities: int = 0,
    images_per_identity: int = 0,
    *,
    split: str = "train",
    seed: int = 0,
    identities: str = "image",
    progress: bool = True,
) -> Source:
    """Opens a source of faces; the first time this may take long and shows a progress bar.

    Args:
        name: a row of ``SOURCES``.
        path: where the data lie. None lets "synthetic" use a folder in the user's cache that is
            keyed by all that defines the pictures.
        resolution: side of the square images, in pixels.
        num_identities: number of synthetic people.
        images_per_identity: pictures of each of them.
        split: part of the synthetic key space (``synthetic.SPLITS``), or of a TFDS data set.
        seed: number of the synthetic world.
        identities: in a "folder", whether every "image" or every sub-"folder" is a person.
        progress: whether to draw progress bars.

    Raises:
        UserError: the source cannot be had; the message says what to do.
    """
    if name not in SOURCES:
        raise UserError(f"got data.source={name!r}; expected one of {', '.join(SOURCES)}; pick one")
    request = Request(
        path=None if path is None else Path(local_path(str(path))),
        resolution=resolution,
        num_identities=num_identities,
        images_per_identity=images_per_identity,
        split=split,
        seed=seed,
        identities=identities,
        progress=progress,
    )
    return SOURCES[name](request)


def known_layout(name: str, path: str | os.PathLike[str] | None, resolution: int) -> Layout | None:
    """The layout of a source where it is known before any face is read, else None.

    Args:
        name: a row of ``SOURCES``; the other arguments are those of ``open_source``.
        path: where the data lie.
        resolution: side of the square images, in pixels.

    Raises:
        UserError: the description of a prepared data set is damaged.
    """
    if name == "synthetic":
        return world_faces.synthetic_layout(resolution)
    if name == "prepared" and path is not None:
        description = shards.read_description(Path(local_path(str(path))))
        return None if description is None else Layout.from_json(description["layout"])
    return None


def _required(request: Request, expected: str) -> Path:
    """The path of a source that has no place of its own."""
    if request.path is None:
        raise UserError(f"got data.path=None; expected {expected}; set it")
    return request.path
