"""Swaps faces in pictures.

python -m alrl_jax.infer --model=DIR --pairs=pairs.csv|--source=PATH --target=PATH --output=DIR

Every pair gives ``NUMBER_SOURCE_to_TARGET.png`` of the target's size, and the same name with
``.json``: settings, hashes, places of the faces. ``results.jsonl`` tells how every pair went. Pairs
that an earlier run with the same files, model and settings finished are skipped. Use pictures of
people who agreed. Outputs carry metadata and, from 256 px on, an invisible mark; ``--nomark`` omits
it, as the sidecar tells. Exit status: 0 all done; 2 bad usage; 3 finished, some pairs failed.
"""

import dataclasses
import datetime
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from jaxtyping import Float
from tqdm import tqdm

from alrl_jax import command_line, provenance, watermark
from alrl_jax.data.decode import UnreadableImageError
from alrl_jax.data.face_photos import Face, FacePhoto, paste_faces, read_faces
from alrl_jax.data.landmarks import (
    LANDMARK_SOURCES,
    FaceFinder,
    FaceNotFoundError,
    check_choice,
)
from alrl_jax.data.pair_list import PairFiles, list_pairs
from alrl_jax.data.paste import BLENDS, PasteOptions
from alrl_jax.errors import UserError
from alrl_jax.loading import load
from alrl_jax.sharding import make_mesh, shard_batch

SOME_FAILED = 3
RESULTS_FILE = "results.jsonl"
FACES = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a user chose; recorded beside every output."""

    pose_from: str = "target"
    identity_from: str = "source"
    aligned: bool = False
    aligned_source: bool = False
    landmarks_from: str = "cascade"
    landmarks_sha256: str | None = None
    """Of the landmark file or the detector's model file, where one was given."""
    face: str = "largest"
    source_face: str = "largest"
    paste: PasteOptions = PasteOptions()
    mark: bool = True
    """Whether outputs get the invisible mark."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One pair on its way: either ready (both faces), or at an end (status and reason)."""

    number: int
    files: PairFiles
    source: FacePhoto | None = None
    target: FacePhoto | None = None
    status: str = ""
    reason: str | None = None

    @property
    def places(self) -> list[tuple[Face, Face]]:
        """The source's face and where it is to go, once for every face of the target."""
        if self.source is None or self.target is None:
            return []
        return [(self.source.faces[0], face) for face in self.target.faces]


class PairFailed(Exception):
    """This pair cannot be swapped; the message says why."""


class Swapping:
    """One run: a model, settings and an output directory.

    Args:
        model: a swapper; ``swap`` takes batches of its resolution.
        settings: whose pose and identity, and whether pictures are face crops already.
        output: directory of the outputs; must exist when the run starts.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.

    Raises:
        UserError: what finds the faces cannot be opened.
    """

    def __init__(
        self, model: Any, settings: Settings, output: Path, landmarks_path: Path | None = None
    ) -> None:
        self.model, self.settings, self.output = model, settings, output
        self.resolution = int(model.config["resolution"])
        self.finder = None
        if not settings.aligned:
            self.finder = FaceFinder(settings.landmarks_from, landmarks_path, self.resolution)
        self.model_sha256 = provenance.variables_sha256(model.variables)
        self.mesh = make_mesh(jax.local_devices())

    def run(self, pairs: list[PairFiles], batch_size: int) -> list[dict[str, Any]]:
        """Swaps all pairs; the lines of ``results.jsonl``, in input order."""
        devices = self.mesh.size
        batch_size = -(-min(batch_size, len(pairs)) // devices) * devices
        results = []
        with tqdm(total=len(pairs), desc="swap", unit="pair") as progress:
            for jobs in self._prepared(pairs, batch_size):
                results.extend(self._result(job) for job in self._finish(jobs, batch_size))
                progress.update(len(jobs))
        lines = "".join(json.dumps(result) + "\n" for result in results)
        provenance.write_text(self.output / RESULTS_FILE, lines)
        return results

    def _prepared(self, pairs: list[PairFiles], batch_size: int) -> Iterator[list[Job]]:
        """Batches of prepared pairs; the next batch is read while one is swapped."""
        numbered = list(enumerate(pairs))
        batches = [numbered[i : i + batch_size] for i in range(0, len(numbered), batch_size)]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            waiting = [pool.submit(self._prepare, *item) for item in batches[0]]
            for following in [*batches[1:], []]:
                current = waiting
                waiting = [pool.submit(self._prepare, *item) for item in following]
                yield [future.result() for future in current]

    def _prepare(self, number: int, files: PairFiles) -> Job:
        """Reads a pair and finds its faces."""
        try:
            hashes = {name: _hash(name, getattr(files, name)) for name in FACES}
            if self._is_done(number, files, hashes):
                return Job(number, files, status="skipped", reason="done by an earlier run")
            source, target = (self._photo(n, getattr(files, n), hashes[n]) for n in FACES)
        except PairFailed as error:
            return Job(number, files, status="failed", reason=str(error))
        return Job(number, files, source, target)

    def _photo(self, name: str, path: Path, sha256: str) -> FacePhoto:
        """Reads a picture and cuts out the faces that the settings choose."""
        settings = self.settings
        is_crop = settings.aligned or (name == "source" and settings.aligned_source)
        finder = None if is_crop else self.finder
        choice = settings.source_face if name == "source" else settings.face
        try:
            return read_faces(path, sha256, finder, choice, self.resolution)
        except (UnreadableImageError, FaceNotFoundError) as error:
            raise PairFailed(f"{name}: {error}") from error

    def _finish(self, jobs: list[Job], batch_size: int) -> list[Job]:
        """Swaps the faces of the ready pairs of a batch and writes their outputs."""
        places = [place for job in jobs for place in job.places]
        swapped = []
        for start in range(0, len(places), batch_size):
            swapped += self._swap(places[start : start + batch_size], batch_size)
        following = iter(swapped)
        return [
            self._write(job, [next(following) for _ in job.places]) if job.places else job
            for job in jobs
        ]

    def _swap(
        self, places: list[tuple[Face, Face]], batch_size: int
    ) -> list[tuple[Float[np.ndarray, "r r 3"], Float[np.ndarray, "r r 1"]]]:
        """Generated faces and masks, of at most a batch of sources and targets."""
        padded = places + [places[-1]] * (batch_size - len(places))
        columns = zip(FACES, zip(*padded, strict=True), strict=True)
        crops = {name: np.stack([face.crop for face in faces]) for name, faces in columns}
        crops = shard_batch(self.mesh, crops)
        swapped = self.model.swap(
            crops["source"],
            crops["target"],
            pose_from=self.settings.pose_from,
            identity_from=self.settings.identity_from,
        )
        generated, mask = np.asarray(swapped.generated), np.asarray(swapped.mask)
        return list(zip(generated, mask, strict=True))[: len(places)]

    def _write(
        self,
        job: Job,
        swapped: list[tuple[Float[np.ndarray, "r r 3"], Float[np.ndarray, "r r 1"]]],
    ) -> Job:
        """Pastes the faces back and writes picture and sidecar."""
        assert job.target is not None
        if not all(np.isfinite(values).all() for face in swapped for values in face):
            reason = "the model gave numbers that are not finite"
            return Job(job.number, job.files, status="failed", reason=reason)
        picture = job.target.picture
        colour = paste_faces(job.target, swapped, self.settings.paste)
        path = self._path(job.number, job.files)
        now = datetime.datetime.now(datetime.UTC)
        marked, record = watermark.mark(
            colour, self.model_sha256, now.date(), wanted=self.settings.mark
        )
        time = now.isoformat(timespec="seconds")
        fields = provenance.metadata(self.model_sha256, time=time)
        provenance.write_png(path, picture.with_alpha(marked), fields, picture.icc_profile)
        masks = [mask for _, mask in swapped]
        sidecar = self._sidecar(job, path, masks) | {"watermark": record, "time": time}
        provenance.write_json(path.with_suffix(".json"), sidecar)
        return Job(job.number, job.files, status="done")

    def _path(self, number: int, files: PairFiles) -> Path:
        return self.output / output_name(number, files)

    def _sidecar(
        self, job: Job, path: Path, masks: list[Float[np.ndarray, "r r 1"]]
    ) -> dict[str, Any]:
        faces = {}
        for name in FACES:
            photo: FacePhoto = getattr(job, name)
            matrices = [face.alignment.matrix.tolist() for face in photo.faces]
            faces[name] = {
                "file": self._relative(getattr(job.files, name)),
                "sha256": photo.sha256,
                "width": photo.picture.seen.shape[1],
                "height": photo.picture.seen.shape[0],
                "photo_to_crop": matrices[0],
                "all_photo_to_crop": matrices,
            }
        return {
            **self._recipe({name: faces[name]["sha256"] for name in FACES}),
            **faces,
            "output": {"file": path.name, "sha256": provenance.file_sha256(path)},
            "swapped_share_of_crop": float(np.mean(masks)),
            "digital_source_type": provenance.DIGITAL_SOURCE_TYPE,
        }

    def _recipe(self, hashes: dict[str, str]) -> dict[str, Any]:
        """All that an output depends on."""
        return {
            "tool": provenance.TOOL,
            "version": provenance.tool_version(),
            "model": {"kind": self.model.kind, "sha256": self.model_sha256},
            "settings": dataclasses.asdict(self.settings),
            "inputs_sha256": hashes,
        }

    def _is_done(self, number: int, files: PairFiles, hashes: dict[str, str]) -> bool:
        """Whether an earlier run left this very output."""
        path = self._path(number, files)
        try:
            sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            same = all(sidecar[key] == value for key, value in self._recipe(hashes).items())
            return same and sidecar["output"]["sha256"] == provenance.file_sha256(path)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.output)).as_posix()

    def _result(self, job: Job) -> dict[str, Any]:
        name = output_name(job.number, job.files)
        return {
            "source": self._relative(job.files.source),
            "target": self._relative(job.files.target),
            "output": None if job.status == "failed" else name,
            "status": job.status,
            "reason": job.reason,
            "number": job.number,
        }


def output_name(number: int, files: PairFiles) -> str:
    """Name of a pair's output: its number (from 0) makes it unique, the stems make it readable."""
    source, target = (
        re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem)[:60] for path in (files.source, files.target)
    )
    return f"{number:06d}_{source}_to_{target}.png"


def _hash(name: str, path: Path) -> str:
    try:
        return provenance.file_sha256(path)
    except OSError as error:
        raise PairFailed(f"{name}: {error.strerror}") from error


def load_swapper(directory: str) -> Any:
    """A model that can swap.

    Raises:
        UserError: nothing there, or a model of another kind.
    """
    model = load(directory)
    if model.kind != "swapper":
        raise UserError(
            f"got a model of kind {model.kind!r} in {directory}; expected a swapper; "
            "take embedded/swapper_64 or what configs with task swap train"
        )
    return model


def make_output(path: str) -> Path:
    """The output directory, made where it is missing.

    Raises:
        UserError: it cannot be a directory.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"got --output={path} ({error.strerror}); expected a directory that can be written; "
            "choose another"
        ) from None
    return Path(path)


def read_settings(values: Any, landmarks_path: Path | None) -> Settings:
    """The settings that the flags ask for.

    Raises:
        UserError: a choice of faces that is none; no such landmark file.
    """
    if landmarks_path is not None and (values.aligned or not landmarks_path.is_file()):
        raise UserError(
            f"got --landmarks_path={landmarks_path}; expected a file, and no --aligned; mend it"
        )
    return Settings(
        pose_from=values.pose_from,
        identity_from=values.identity_from,
        aligned=values.aligned,
        aligned_source=values.aligned_source,
        landmarks_from=values.landmarks_from,
        landmarks_sha256=None if landmarks_path is None else provenance.file_sha256(landmarks_path),
        face=check_choice("face", values.face, several=True),
        source_face=check_choice("source_face", values.source_face, several=False),
        paste=PasteOptions(values.blend, values.colour_match, values.feather, values.detail),
        mark=values.mark,
    )


def main(argv: list[str]) -> int:
    """Swaps what the flags say; gives the exit status."""
    del argv
    values = flags.FLAGS
    pairs = list_pairs(values.pairs, values.source, values.target)
    landmarks_path = None if values.landmarks_path is None else Path(values.landmarks_path)
    settings = read_settings(values, landmarks_path)
    model = load_swapper(values.model)
    swapping = Swapping(model, settings, Path(values.output), landmarks_path)
    make_output(values.output)
    results = swapping.run(pairs, values.batch_size)
    counts = {s: sum(r["status"] == s for r in results) for s in ("done", "skipped", "failed")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"{told}: {swapping.output / RESULTS_FILE}")
    for result in results:
        if result["status"] == "failed":
            print(f"  pair {result['number']}: {result['reason']}")
    return SOME_FAILED if counts["failed"] else 0


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    flags.DEFINE_string("model", None, "Model or work directory, or embedded/NAME.", required=True)
    flags.DEFINE_string("pairs", None, "CSV file, header source,target; paths relative to it.")
    flags.DEFINE_string("source", None, "Picture of the face to put in.")
    flags.DEFINE_string("target", None, "Picture to put it into.")
    flags.DEFINE_string("output", None, "Directory of the results.", required=True)
    flags.DEFINE_enum("pose_from", "target", FACES, "Whose pose the result has.")
    flags.DEFINE_enum("identity_from", "source", FACES, "Whose identity the result has.")
    flags.DEFINE_boolean("aligned", False, "Pictures are face crops; look for no face in them.")
    flags.DEFINE_boolean("aligned_source", False, "Only the sources are face crops.")
    rows = list(LANDMARK_SOURCES)
    flags.DEFINE_enum("landmarks_from", "cascade", rows, "What finds faces; cascade is coarse.")
    flags.DEFINE_string("landmarks_path", None, "Landmark file, or the detector's model file.")
    flags.DEFINE_string("face", "largest", "Faces of the target: largest, all, or a number from 0.")
    flags.DEFINE_string("source_face", "largest", "Face of the source: largest, or a number.")
    flags.DEFINE_enum("blend", "feather", list(BLENDS), "How the swapped face is joined in.")
    flags.DEFINE_boolean("colour_match", False, "Give it the colours of the original face.")
    flags.DEFINE_float(
        "feather", 0.0, "Soft edge added to the mask, share of the crop's side.", 0.0, 0.5
    )
    flags.DEFINE_float("detail", 1.0, "Share of the target's fine detail that stays.", 0.0, 1.0)
    flags.DEFINE_boolean("mark", True, "Put an invisible mark into outputs from 256 px on.")
    flags.DEFINE_integer("batch_size", 16, "Pairs swapped at a time.", lower_bound=1)


def cli() -> None:
    """The console script."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
