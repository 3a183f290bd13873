"""Swaps faces in pictures.

python -m alrl_jax.infer --model=DIR --pairs=pairs.csv|--source=PATH --target=PATH --output=DIR

Every pair gives ``NUMBER_SOURCE_to_TARGET.png`` of the target's size, and the same name with
``.json``: settings, hashes, places of the faces. ``results.jsonl`` tells how every pair went. Pairs
that an earlier run with the same files, model and settings finished are skipped. Use pictures of
people who agreed. Exit status: 0 all done; 2 bad usage; 3 finished, some pairs failed.
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
from jaxtyping import Float, UInt8
from tqdm import tqdm

from alrl_jax import command_line, provenance
from alrl_jax.data.alignment import Alignment, centre_square, crop_face, find_face, paste_face
from alrl_jax.data.decode import UnreadableImageError, read_photo
from alrl_jax.data.pair_list import PairFiles, read_pairs
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


@dataclasses.dataclass(frozen=True)
class Face:
    """A photo and where its face is."""

    photo: UInt8[np.ndarray, "h w 3"]
    alignment: Alignment
    crop: Float[np.ndarray, "r r 3"]
    sha256: str


@dataclasses.dataclass(frozen=True)
class Job:
    """One pair on its way: either ready (both faces), or at an end (status and reason)."""

    number: int
    files: PairFiles
    source: Face | None = None
    target: Face | None = None
    status: str = ""
    reason: str | None = None


class PairFailed(Exception):
    """This pair cannot be swapped; the message says why."""


class Swapping:
    """One run: a model, settings and an output directory.

    Args:
        model: a swapper; ``swap`` takes batches of its resolution.
        settings: whose pose and identity, and whether pictures are face crops already.
        output: directory of the outputs; must exist.
    """

    def __init__(self, model: Any, settings: Settings, output: Path) -> None:
        self.model, self.settings, self.output = model, settings, output
        self.resolution = int(model.config["resolution"])
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
            source, target = (self._face(n, getattr(files, n), hashes[n]) for n in FACES)
        except PairFailed as error:
            return Job(number, files, status="failed", reason=str(error))
        return Job(number, files, source, target)

    def _face(self, name: str, path: Path, sha256: str) -> Face:
        try:
            photo = read_photo(path)
        except UnreadableImageError as error:
            raise PairFailed(f"{name}: {error}") from error
        is_crop = self.settings.aligned or (name == "source" and self.settings.aligned_source)
        alignment = (centre_square if is_crop else find_face)(photo, self.resolution)
        if alignment is None:
            raise PairFailed(f"{name}: no face found; crops need --aligned or --aligned_source")
        return Face(photo, alignment, crop_face(photo, alignment), sha256)

    def _finish(self, jobs: list[Job], batch_size: int) -> list[Job]:
        """Swaps the ready ones of a batch and writes their outputs."""
        ready = [job for job in jobs if not job.status]
        if not ready:
            return jobs
        padded = ready + [ready[-1]] * (batch_size - len(ready))
        faces = {name: np.stack([getattr(job, name).crop for job in padded]) for name in FACES}
        faces = shard_batch(self.mesh, faces)
        swapped = self.model.swap(
            faces["source"],
            faces["target"],
            pose_from=self.settings.pose_from,
            identity_from=self.settings.identity_from,
        )
        generated, mask = np.asarray(swapped.generated), np.asarray(swapped.mask)
        rows = {job.number: row for row, job in enumerate(ready)}
        return [
            self._write(job, generated[rows[job.number]], mask[rows[job.number]])
            if job.number in rows
            else job
            for job in jobs
        ]

    def _write(
        self, job: Job, generated: Float[np.ndarray, "r r 3"], mask: Float[np.ndarray, "r r 1"]
    ) -> Job:
        """Pastes the face back and writes picture and sidecar."""
        if job.target is None or not (np.isfinite(generated).all() and np.isfinite(mask).all()):
            reason = "the model gave numbers that are not finite"
            return dataclasses.replace(job, status="failed", reason=reason)
        image = paste_face(job.target.photo, job.target.alignment, generated, mask)
        path = self._path(job.number, job.files)
        provenance.write_png(path, image, provenance.metadata(self.model_sha256))
        provenance.write_json(path.with_suffix(".json"), self._sidecar(job, path, mask))
        return Job(job.number, job.files, status="done")

    def _path(self, number: int, files: PairFiles) -> Path:
        return self.output / output_name(number, files)

    def _sidecar(self, job: Job, path: Path, mask: Float[np.ndarray, "r r 1"]) -> dict[str, Any]:
        faces = {}
        for name in FACES:
            face: Face = getattr(job, name)
            faces[name] = {
                "file": self._relative(getattr(job.files, name)),
                "sha256": face.sha256,
                "width": face.photo.shape[1],
                "height": face.photo.shape[0],
                "photo_to_crop": face.alignment.matrix.tolist(),
            }
        return {
            **self._recipe({name: faces[name]["sha256"] for name in FACES}),
            **faces,
            "output": {"file": path.name, "sha256": provenance.file_sha256(path)},
            "swapped_share_of_crop": float(np.mean(mask)),
            "digital_source_type": provenance.DIGITAL_SOURCE_TYPE,
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
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


def list_pairs(pairs: str | None, source: str | None, target: str | None) -> list[PairFiles]:
    """The pairs that the flags name.

    Raises:
        UserError: neither a CSV file nor both pictures, or all of them; no such file.
    """
    if pairs is not None:
        if source is not None or target is not None:
            raise UserError("got --pairs beside --source or --target; expected one way; drop one")
        return read_pairs(Path(pairs))
    if source is None or target is None:
        raise UserError(
            f"got --source={source} --target={target}; expected both, or --pairs=FILE.csv; add them"
        )
    for name, path in (("source", source), ("target", target)):
        if not Path(path).is_file():
            raise UserError(f"got --{name}={path}; expected a picture file; check the path")
    return [PairFiles(Path(source), Path(target))]


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


def main(argv: list[str]) -> int:
    """Swaps what the flags say; gives the exit status."""
    del argv
    values = flags.FLAGS
    pairs = list_pairs(values.pairs, values.source, values.target)
    model = load_swapper(values.model)
    settings = Settings(
        values.pose_from, values.identity_from, values.aligned, values.aligned_source
    )
    output = make_output(values.output)
    results = Swapping(model, settings, output).run(pairs, values.batch_size)
    counts = {s: sum(r["status"] == s for r in results) for s in ("done", "skipped", "failed")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"{told}: {output / RESULTS_FILE}")
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
    flags.DEFINE_integer("batch_size", 16, "Pairs swapped at a time.", lower_bound=1)


def cli() -> None:
    """The console script."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
