"""Makes the items of a forensics set: each whole or not at all, in any order, by any process."""

import collections
import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from alrl_jax.errors import UserError
from alrl_jax.inference.engine import Engine
from alrl_jax.inference.forensics.faces import Faces
from alrl_jax.inference.forensics.plan import Choices, Item, draw_item
from alrl_jax.inference.forensics.processing import COMPRESSIONS, cut, difference, window_of
from alrl_jax.inference.job import PairFailed, SwappedFace, fault
from alrl_jax.inference.photo_reader import PhotoReader, open_finder
from alrl_jax.inference.protocols import Swapper, resolution_of
from alrl_jax.inference.settings import Settings
from alrl_jax.photos.face_photos import FacePhoto, face_shares, paste_faces
from alrl_jax.provenance import image_metadata
from alrl_jax.provenance.watermark import codec
from alrl_jax.utils import hashing
from alrl_jax.utils.files import json_text, write_files
from alrl_jax.utils.opening import read_json

ITEMS, IMAGES, MASKS, DIFFERENCES = "items", "images", "masks", "masks_compressed"
"""Folders of a set: records of items, pictures, and masks before and after compression."""
FAKE, REAL = "fake", "real"
MARKS = ("none", "all")
"""Whether pictures carry mark and metadata: none of them, or all, the real ones as well."""


@dataclasses.dataclass(frozen=True)
class _Ready:
    """An item with its faces."""

    item: Item
    source: FacePhoto
    target: FacePhoto


class Maker:
    """A model that makes the items of a set.

    Args:
        model: a swapper.
        settings: how faces are found.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        faces: the people.
        splits: people by split.
        pictures: of every person.
        choices: what items are drawn from.
        output: directory of the set.
        batch_size: faces at a time.
        day: of the marks; None where pictures carry none.
        recipe_sha256: names the set.

    Raises:
        UserError: what finds the faces cannot be opened.
    """

    def __init__(
        self,
        model: Swapper,
        settings: Settings,
        landmarks_path: Path | None,
        faces: Faces,
        splits: Mapping[str, Sequence[str]],
        pictures: Mapping[str, Sequence[str]],
        choices: Choices,
        output: Path,
        batch_size: int,
        day: datetime.date | None,
        recipe_sha256: str,
    ) -> None:
        self._model, self._settings, self._faces = model, settings, faces
        self._splits, self._pictures, self._choices = splits, pictures, choices
        self._output, self._batch_size, self._day = output, batch_size, day
        self._recipe, self._sha256 = recipe_sha256, hashing.variables_sha256(model.variables)
        resolution = resolution_of(model)
        finder = open_finder(settings, landmarks_path, resolution)
        self._reader = PhotoReader(settings, finder, resolution)
        self._engines: dict[str, Engine] = {}

    def run(self, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Makes items that are not there yet; gives the record of each, ``rows`` without a fault.

        Raises:
            UserError: something cannot be written.
        """
        for start in range(0, len(numbers), self._batch_size):
            chunk = numbers[start : start + self._batch_size]
            known = {number: finished(self._output, number, self._recipe) for number in chunk}
            todo = [number for number, record in known.items() if record is None]
            made = {record["item"]: record for record in self._made(todo)}
            yield from (known[number] or made[number] for number in chunk)

    def _made(self, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        items = [draw_item(n, self._splits, self._pictures, self._choices) for n in numbers]
        self._faces.make([one for item in items for one in (item.source, item.target)])
        ready = collections.defaultdict[str, list[_Ready]](list)
        for item in items:
            try:
                ready[f"{item.method} {item.group}"].append(self._read(item))
            except PairFailed as error:
                yield self._write(item, {}, [], str(error))
            except UserError:
                raise
            except Exception as error:  # one bad photo must not end the run
                yield self._write(item, {}, [], fault(error))
        for name, group in ready.items():
            places = [(one.source.faces[0], one.target.faces[0]) for one in group]
            swapped = self._engine(name, group[0].item).swap(places)
            for one, face in zip(group, swapped, strict=True):
                yield self._finished(one, face)

    def _engine(self, name: str, item: Item) -> Engine:
        """The engine of a method: one program each."""
        if name not in self._engines:
            settings = dataclasses.replace(self._settings, **item.asked())
            self._engines[name] = Engine(self._model, settings, self._batch_size)
        return self._engines[name]

    def _read(self, item: Item) -> _Ready:
        paths = {"source": self._faces.path(*item.source), "target": self._faces.path(*item.target)}
        hashes = {name: self._reader.sha256(name, path) for name, path in paths.items()}
        source = self._reader.source(paths["source"], hashes["source"])
        target = self._reader.target(paths["target"], hashes["target"])
        return _Ready(item, source, target)

    def _finished(self, ready: _Ready, face: SwappedFace) -> dict[str, Any]:
        try:
            pictures, box, marked = self._drawn(ready, face)
            files = self._files(ready.item, pictures)
            rows = self._rows(ready, files, box, marked)
        except PairFailed as error:
            return self._write(ready.item, {}, [], str(error))
        except UserError:
            raise
        except Exception as error:  # one bad photo must not end the run
            return self._write(ready.item, {}, [], fault(error))
        return self._write(ready.item, files, rows, None)

    def _drawn(
        self, ready: _Ready, face: SwappedFace
    ) -> tuple[dict[str, UInt8[np.ndarray, "s s c"]], list[float], bool]:
        """The pictures and masks of an item, what is shown, and whether all carry the mark."""
        if not face.is_finite:
            raise PairFailed("the model gave numbers that are not finite")
        item, target = ready.item, ready.target
        assert target.photo is not None
        photo = dataclasses.replace(target.photo, colour=target.photo.seen, alpha=None)
        plain = dataclasses.replace(target, photo=photo)
        swapped: list[tuple[Float[np.ndarray, "r r 3"], Float[np.ndarray, "r r 1"]]]
        swapped = [(face.generated, face.mask)]
        fake = paste_faces(plain, swapped, item.paste)
        share = face_shares(plain, [face.mask], item.paste)
        box = window_of(target.faces[0].alignment, target.size, item.processing)
        size = item.processing.size
        whole = {FAKE: np.asarray(fake, np.uint8), REAL: photo.seen, MASKS: share}
        shown = {name: cut(image, box, size) for name, image in whole.items()}
        if not shown[MASKS].any():
            raise PairFailed("nothing of the generated face is in what is shown")
        marked = False
        if self._day is not None:
            for name in (FAKE, REAL):
                shown[name], record = codec.mark(shown[name], self._sha256, self._day, True, False)
                marked = record["marked"]
        compress = COMPRESSIONS[item.processing.compression]
        shown |= {name: compress(shown[name]) for name in (FAKE, REAL)}
        shown[DIFFERENCES] = difference(shown[FAKE], shown[REAL])
        return shown, [round(edge, 2) for edge in box], marked

    def _files(
        self, item: Item, pictures: Mapping[str, UInt8[np.ndarray, "s s c"]]
    ) -> dict[str, bytes]:
        """Contents of the files of an item, by name."""
        # Real pictures say the same as fakes: the manifest alone tells them apart.
        fields = {} if self._day is None else image_metadata.metadata(self._sha256)
        return {
            name: image_metadata.png_bytes(pictures[kind], fields)
            for kind, name in names_of(item).items()
        }

    def _rows(
        self, ready: _Ready, files: Mapping[str, bytes], box: list[float], marked: bool
    ) -> list[dict[str, Any]]:
        """The rows of the manifest: the item's two pictures, in the order of their names."""
        item, names = ready.item, names_of(ready.item)
        common = {
            "item": item.number,
            "split": item.split,
            "target_person": item.target[0],
            "target": "/".join(item.target),
            "size": item.processing.size,
            "compression": item.processing.compression,
            "window": json.dumps(box),
            "marked": marked,
        }
        swap = {
            "method": item.method,
            "group": item.group,
            "source_person": item.source[0],
            "source": "/".join(item.source),
            "blend": item.paste.blend,
            "feather": item.paste.feather,
            "colour_match": item.paste.colour_match,
            "detail": item.paste.detail,
            "mask": names[MASKS],
            "mask_compressed": names[DIFFERENCES],
            "provenance_id": f"{self._sha256}:{_sha256(files[names[FAKE]])}",
        }
        rows = []
        for label, other in ((FAKE, REAL), (REAL, FAKE)):
            own = swap if label == FAKE else dict.fromkeys(swap, "")
            sha256 = _sha256(files[names[label]])
            file = {"file": names[label], "label": label, "counterpart": names[other]}
            rows.append({**file, **common, **own, "sha256": sha256})
        return sorted(rows, key=lambda row: row["file"])

    def _write(
        self, item: Item, files: Mapping[str, bytes], rows: list[dict[str, Any]], reason: str | None
    ) -> dict[str, Any]:
        """Writes an item, its record last."""
        record = {"item": item.number, "recipe": self._recipe, "reason": reason, "rows": rows}
        path = record_path(self._output, item.number)
        contents = {self._output / name: content for name, content in files.items()}
        try:
            for folder in {place.parent for place in [*contents, path]}:
                folder.mkdir(parents=True, exist_ok=True)
            write_files({**contents, path: json_text(record).encode()})
        except OSError as error:
            raise UserError(
                f"got --output={self._output} ({error.strerror}); expected a directory that can be "
                "written; make room and start again: what is finished stays"
            ) from error
        return record


def names_of(item: Item) -> dict[str, str]:
    """Files of an item: the names of its two pictures do not tell which is the fake."""
    stem = f"{item.split}/{item.number:07d}"
    slots = ("a", "b") if item.fake_first else ("b", "a")
    return {
        FAKE: f"{IMAGES}/{stem}_{slots[0]}.png",
        REAL: f"{IMAGES}/{stem}_{slots[1]}.png",
        MASKS: f"{MASKS}/{stem}.png",
        DIFFERENCES: f"{DIFFERENCES}/{stem}.png",
    }


def record_path(output: Path, number: int) -> Path:
    """Where the record of an item lies; a thousand in a folder."""
    return output / ITEMS / f"{number // 1000:04d}" / f"{number:07d}.json"


def finished(output: Path, number: int, recipe_sha256: str) -> dict[str, Any] | None:
    """The record of an item that was made whole by this recipe; else None."""
    try:
        record = read_json(record_path(output, number))
        if record["recipe"] != recipe_sha256 or record["item"] != number:
            return None
        for row in record["rows"]:
            if hashing.file_sha256(output / row["file"]) != row["sha256"]:
                return None
            if row["mask"] and not (output / row["mask"]).is_file():
                return None
            if row["mask_compressed"] and not (output / row["mask_compressed"]).is_file():
                return None
        return record
    except (OSError, ValueError, KeyError, TypeError):  # none, or half of one
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
