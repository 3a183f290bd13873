"""Photographs of a data set as records: decoded once, by as many processes as one likes."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from alrl_jax.data.prepare.celebamask import celebamask_album, is_celebamask
from alrl_jax.data.prepare.layouts import Album, Photo, Wish, ffhq_album, folder_album, is_ffhq
from alrl_jax.data.records import Layout
from alrl_jax.data.shard_files import Fault, progress_bar
from alrl_jax.data.shards import Plan
from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import UnreadableImageError, read_image, read_mask
from alrl_jax.photos.file_trees import Tree

LAYOUTS: dict[str, Callable[[Tree, Wish], Album]] = {
    "celebamask": celebamask_album,
    "ffhq": ffhq_album,
    "folder": folder_album,
}
"""What finds the photographs of each kind of data set."""


def recognise(tree: Tree, wish: Wish) -> str:
    """The layout that the names in a tree have: an entry of ``LAYOUTS``."""
    if is_celebamask(tree, wish.source):
        return "celebamask"
    return "ffhq" if is_ffhq(tree, wish.source) else "folder"


@dataclasses.dataclass(frozen=True)
class PhotoMaker:
    """Makes records of photographs; what cannot be read is left out.

    Attributes:
        photos: photographs from number ``first`` on.
        people: person number of each photo.
        resolution: side of the records' images.
        first: number of the first photograph.
    """

    photos: Sequence[Photo]
    people: Int[np.ndarray, " n"]
    resolution: int
    first: int = 0

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, list[Fault]]:
        """The records start..stop that can be made, and why others, or their masks, cannot."""
        records = Layout(self.resolution).empty(stop - start)
        faults: list[Fault] = []
        made = 0
        for number in range(start, stop):
            photo = self.photos[number - self.first]
            try:
                image = read_image(photo.file.read(), self.resolution, cut=not photo.masks)
            except UnreadableImageError as error:
                faults.append(Fault(photo.file.name, str(error), number))
                continue
            record = records[made : made + 1]
            record["image"] = image
            record["identity"] = self.people[number - self.first]
            faults += _label(record, photo)
            made += 1
        return records[:made], faults

    def part(self, start: int, stop: int) -> "PhotoMaker":
        """What makes the records start..stop and no others."""
        here = slice(start - self.first, stop - self.first)
        return PhotoMaker(self.photos[here], self.people[here], self.resolution, start)


def _label(record: np.ndarray, photo: Photo) -> list[Fault]:
    """Paints the masks of a photograph into its record ``[1]``; without all of them, none."""
    if not photo.masks:
        return []
    parsing = np.zeros_like(record["parsing"])
    side = parsing.shape[-1]
    for label, file in photo.masks:
        try:
            parsing[:, read_mask(file.read(), side)] = label
        except UnreadableImageError as error:
            return [Fault(file.name, f"{error}; so {photo.file.name} is unlabelled")]
    record["parsing"] = parsing
    record["pose_degrees"] = np.nan
    record["labelled"] = True
    return []


def photo_plan(
    layout: str,
    album: Album,
    resolution: int,
    wish: Wish,
    limit: int | None,
    workers: int,
    progress: bool = True,
) -> Plan:
    """Plans a prepared data set of an album's first ``limit`` photographs.

    Raises:
        UserError: none of them can be read.
    """
    photos, people = album.photos[:limit], album.people[:limit]
    people = np.unique(people, return_inverse=True)[1].astype(np.int32)
    _expect_one_readable(photos, album, wish)
    parameters = {
        "kind": layout,
        "resolution": resolution,
        "split": wish.split,
        "num_images": len(photos),
        "num_identities": len(np.unique(people)),
        "files": _fingerprint(photos, people, progress),
    }
    return Plan(
        parameters,
        Layout(resolution),
        people,
        PhotoMaker(photos, people, resolution),
        report=album.faults,
        progress=progress,
        chunks_per_shard=4,
        workers=workers,
    )


def _expect_one_readable(photos: Sequence[Photo], album: Album, wish: Wish) -> None:
    """UserError where there is nothing to prepare."""
    first = album.faults[0] if album.faults else None
    for photo in photos:
        try:
            read_image(photo.file.read(), 16)
            return
        except UnreadableImageError as error:
            first = first or (photo.file.name, str(error))
    which = f" (the first: {first[0]}: {first[1]})" if first else ""
    raise UserError(
        f"got {wish.source} with {len(photos)} image files, none of them readable{which}; "
        "expected photographs (JPEG, PNG, WebP); name the directory or the zip that holds them"
    )


def _fingerprint(photos: Sequence[Photo], people: Int[np.ndarray, " n"], progress: bool) -> str:
    """Hash of names, sizes and times, or checksums, of all files, and of their people."""
    digest = hashlib.sha256(people.tobytes())
    with progress_bar(len(photos), "looking at files", progress) as bar:
        for photo in photos:
            files = [(0, photo.file), *photo.masks]
            marks = [[label, file.name, *file.mark] for label, file in files]
            digest.update(json.dumps(marks).encode())
            bar.update()
    return digest.hexdigest()
