"""The directory of a run's outputs: photos, the JSON file beside each, and ``results.jsonl``."""

import contextlib
import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.inference.finishing import SwappedPhoto
from alrl_jax.inference.job import STAGES, Job
from alrl_jax.inference.settings import FACES, Settings
from alrl_jax.photos.face_photos import FacePhoto
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import addresses, buckets, hashing, version
from alrl_jax.utils.files import json_text, remove, remove_leftovers, temporary_name, write_files
from alrl_jax.utils.locks import locked
from alrl_jax.utils.opening import read_json
from alrl_jax.utils.parts import ALONE, Share, check_no_others

T = TypeVar("T")
L = TypeVar("L", bound="LineLog")

RESULTS_FILE = "results.jsonl"
SECONDS_BETWEEN_PUTS = 10.0
"""Of a file of lines to a bucket."""
MASKS = "masks"
"""Folder of the masks; each has the name of its output, of a video a folder of masks."""
MANIFEST_FILE = "manifest.csv"
"""Of a run with masks; see ``manifest``."""
FACTS = (
    "gates",
    "identity_similarity",
    "identity_similarity_by",
    "faces",
    "notes",
    "optimised",
    "doubtful",
)
"""What results and sidecars say of a swap; see ``doubts.facts``."""
HIDING = ("action", "hidden")
"""What results say of a frame with faces that had to be hidden: how, which, and why."""


def output_name(number: int, files: PairFiles, suffix: str = ".png") -> str:
    """Name of a pair's output: its number (from 0) makes it unique, the stems make it readable."""
    source, target = (
        re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem)[:60] for path in (files.source, files.target)
    )
    return f"{number:06d}_{source}_to_{target}{suffix}"


def make_output(path: str) -> Path:
    """The output directory, made where it is missing.

    Raises:
        UserError: it cannot be a directory, or nothing can be written there.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        probe = temporary_name(Path(path) / "probe")
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"got --output={path} ({reason}); expected a directory that can be written; "
            "choose another"
        ) from None
    return Path(path)


class OutputFolder:
    """Outputs of one model with one choice of settings.

    Args:
        directory: must exist when something is written.
        model_kind: kind of the model.
        model_sha256: see ``hashing.variables_sha256``.
        settings: recorded beside every output.
        more: further plain values on which outputs depend.
        videos: outputs have suffixes of several kinds, so that sidecars keep them in their names.
    """

    def __init__(
        self,
        directory: Path,
        model_kind: str,
        model_sha256: str,
        settings: Settings,
        more: dict[str, Any] | None = None,
        videos: bool = False,
    ) -> None:
        self.directory = directory
        self._videos = videos
        self._earlier: set[str] | None = None
        self._masks, self._format = settings.masks, settings.format
        self._recipe = {
            "tool": image_metadata.TOOL,
            "version": version.tool_version(),
            "model": {"kind": model_kind, "sha256": model_sha256},
            "settings": _plain(dataclasses.asdict(settings) | (more or {})),
        }

    @contextlib.contextmanager
    def in_use(self, share: Share = ALONE) -> Iterator[None]:
        """Keeps other runs out of the directory, and removes what killed ones left half.

        Args:
            share: of this process; the first of a run holds the directory for all.

        Raises:
            UserError: another run is at work there.
        """
        with contextlib.ExitStack() as held:
            if share.is_first:
                held.enter_context(locked(self.directory, "--output"))
                check_no_others(self.directory, share)
            if addresses.address_of(self.directory) is not None:
                self._earlier = buckets.names_in(self.directory)
            # The files of other processes that are being written look like leftovers.
            for folder in (self.directory, self.directory / MASKS) if share.alone else ():
                remove_leftovers(folder, locked=True)
            yield

    def recipe(self, hashes: Mapping[str, str], listed_face: str = "") -> dict[str, Any]:
        """All that an output depends on.

        Args:
            hashes: SHA-256 of its inputs, by name.
            listed_face: which faces of the target the list of pairs names.
        """
        return self._recipe | {"inputs_sha256": dict(hashes), "listed_face": listed_face}

    def sidecar(self, name: str) -> Path:
        """The JSON file beside an output: ``a.png`` has ``a.json``, a video ``a.mp4.json``."""
        path = self.directory / name
        return path.with_name(f"{name}.json") if self._videos else path.with_suffix(".json")

    def mask(self, name: str) -> Path:
        """The mask of an output, a PNG; of a video the folder of its masks."""
        path = self.directory / MASKS / name
        return path if self._videos else path.with_suffix(".png")

    def finished(
        self, name: str, hashes: dict[str, str], listed_face: str = ""
    ) -> dict[str, Any] | None:
        """The sidecar of this very output, where an earlier run left both whole; else None.

        Args:
            name: of the output.
            hashes: SHA-256 of source and target.
            listed_face: see ``recipe``.
        """
        path = self.directory / name
        own = [self.sidecar(name), path, *([self.mask(name)] if self._masks else [])]
        if self._earlier is not None:
            if own[0].name not in self._earlier:
                return None
            for file in own:
                buckets.pull(file)
        try:
            sidecar = read_json(self.sidecar(name))
            same = all(
                sidecar[key] == value for key, value in self.recipe(hashes, listed_face).items()
            )
            same = same and sidecar["output"]["sha256"] == hashing.file_sha256(path)
            if same and self._masks:
                sha256 = hashing.folder_sha256 if self._videos else hashing.file_sha256
                same = sidecar["mask"]["sha256"] == sha256(self.mask(name))
            return sidecar if same else None
        # A sidecar that another program wrote, or nobody whole, is none.
        except (OSError, ValueError, KeyError, TypeError):
            return None
        finally:
            self._let_go(file for file in own if not file.is_dir())

    def facts(self, sidecar: Mapping[str, Any]) -> dict[str, Any]:
        """What of a sidecar stands in the results as well."""
        return {name: sidecar.get(name) for name in FACTS}

    def write(self, name: str, job: Job, photo: SwappedPhoto) -> dict[str, Any]:
        """Writes a photo, its sidecar and its mask, all or none; gives the sidecar.

        The photo gets its name last: it is never there without the others. The mask of a photo
        that was there goes before, so that it never lies beside another.

        Args:
            name: of the output.
            job: with its faces swapped, and its facts.
            photo: what to write.

        Raises:
            OSError: it cannot be written; nothing new is left.
        """
        assert job.source is not None and job.target is not None and job.files is not None
        path, content = self.directory / name, photo.encoded(self._format)
        sha256 = _sha256(content)
        mask = photo.mask_png(sha256)
        photos = {"source": job.source, "target": job.target}
        listed = job.files.listed_face
        sidecar = {
            **self.recipe({face: photo.sha256 for face, photo in photos.items()}, listed),
            **{face: self._input(getattr(job.files, face), photos[face]) for face in FACES},
            "sources": [self.relative(path) for path in job.files.sources],
            "output": {"file": name, "sha256": sha256},
            "mask": None
            if mask is None
            else {"file": f"{MASKS}/{self.mask(name).name}", "sha256": _sha256(mask)},
            "colour_profile": photo.colour_profile,
            "swapped_share_of_crop": float(np.mean([face.mask for face in job.swapped])),
            **job.facts,
            "digital_source_type": image_metadata.DIGITAL_SOURCE_TYPE,
            "watermark": dict(photo.watermark),
            "time": photo.fields["time"],
        }
        files = {self.sidecar(name): json_text(sidecar).encode()}
        if mask is None:
            remove(self.mask(name))
        else:
            (self.directory / MASKS).mkdir(exist_ok=True)
            files[self.mask(name)] = mask
        write_files({**files, path: content})
        self._let_go([*files, path])
        return sidecar

    def _let_go(self, files: Iterable[Path]) -> None:
        """Removes mirrors of what is in the bucket: outputs may be more than the disk takes."""
        for file in files if addresses.address_of(self.directory) else ():
            file.unlink(missing_ok=True)

    def _input(self, path: Path, photo: FacePhoto) -> dict[str, Any]:
        """What the sidecar says of an input."""
        matrices = [face.alignment.matrix.tolist() for face in photo.faces]
        return {
            "file": self.relative(path),
            "sha256": photo.sha256,
            "width": photo.size[0],
            "height": photo.size[1],
            "photo_to_crop": matrices[0],
            "all_photo_to_crop": matrices,
        }

    def relative(self, path: Path) -> str:
        """A path as results give it, relative to the directory."""
        return addresses.relative(path, self.directory)

    def _several(self, files: PairFiles) -> dict[str, Any]:
        """All pictures that go into a target that gets several."""
        if len(files.sources) == 1:
            return {}
        return {"sources": [self.relative(path) for path in files.sources]}

    def result(self, job: Job, name: str) -> dict[str, Any]:
        """The line of a pair in ``results.jsonl``; what is not known is None."""
        assert job.files is not None
        seconds = {stage: job.seconds.get(stage) for stage in STAGES}
        shown = job.facts.get("action")
        return {
            "source": self.relative(job.files.source),
            "target": self.relative(job.files.target),
            **self._several(job.files),
            "output": name if job.status != "failed" or shown == "blurred" else None,
            "status": job.status,
            "reason": job.reason,
            "number": job.number,
            "seconds": {k: None if v is None else round(v, 4) for k, v in seconds.items()},
            **{name: job.facts.get(name) for name in FACTS},
            **{name: job.facts[name] for name in HIDING if name in job.facts},
        }


def mask_name(number: int) -> str:
    """Name of the mask of a video's frame, which counts from 0."""
    return f"{number:06d}.png"


class LineLog:
    """A file that grows by lines: a killed run leaves the first lines, each of them whole.

    A bucket gets it whole now and then, and at the end.

    Every run starts the file afresh, since it goes through all pairs again, finished ones too.

    Raises:
        UserError: it cannot be written; lines that were not written whole are taken back.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._put = path, time.monotonic()
        self._file = self._guarded(lambda: self._path.open("wb", buffering=0))

    def __enter__(self: L) -> L:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; nothing can be added any more."""
        if not self._file.closed:
            self._file.close()
            buckets.put([self._path])

    def add(self, line: bytes) -> None:
        """Adds a line, its end included."""
        self._guarded(lambda: self._write(line))
        if time.monotonic() - self._put > SECONDS_BETWEEN_PUTS:
            buckets.put([self._path])
            self._put = time.monotonic()

    def _write(self, line: bytes) -> None:
        begin = self._file.tell()
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError:
            self._file.truncate(begin)
            self._file.seek(begin)
            raise

    def _guarded(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except OSError as error:
            raise UserError(
                f"got {self._path} ({error.strerror}); expected a file that can be written; make "
                "room and start again: what is finished will be skipped"
            ) from error


class ResultsLog(LineLog):
    """``results.jsonl``."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / RESULTS_FILE)

    def write(self, result: Mapping[str, Any]) -> None:
        """Adds the line of a pair."""
        self.add((json.dumps(result, allow_nan=False) + "\n").encode())


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives them back, so that they can be compared."""
    return json.loads(json_text(values))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
