"""Swaps of photo files, from a list of pairs to a directory of outputs."""

import contextlib
import dataclasses
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.inference import doubts
from alrl_jax.inference.engine import Engine
from alrl_jax.inference.finishing import finish
from alrl_jax.inference.job import EARLIER, FAINT, Job, PairFailed, fault, timed
from alrl_jax.inference.outputs import OutputFolder, output_name
from alrl_jax.inference.photo_reader import PhotoReader, open_finder
from alrl_jax.inference.protocols import Swapper, resolution_of
from alrl_jax.inference.references import open_references
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.shared_results import RunResults
from alrl_jax.photos.face_photos import FacePhoto
from alrl_jax.photos.found_face import FaceNotFoundError
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.provenance.encoding import ENCODERS, NotEncodableError
from alrl_jax.utils import hashing
from alrl_jax.utils.parts import ALONE, Share


class Swapping:
    """One run: a model, settings and an output directory.

    Args:
        model: a swapper; ``swap`` and ``embed`` take batches of its resolution.
        settings: whose pose and identity, and whether photos are face crops already.
        output: directory of the outputs; must exist when the run starts.
        landmarks_path: file of ``settings.landmarks_from``; None where it needs none.
        refused: files that must not be read, with the reason; their pairs fail.
        references: pictures of the people whose faces are swapped, by person; where there are none,
            ``settings.face`` says which.

    Attributes:
        results: what was written of the pairs of a run, once it runs.

    Raises:
        UserError: what finds the faces cannot be opened, or a reference has no face.
    """

    def __init__(
        self,
        model: Swapper,
        settings: Settings,
        output: Path,
        landmarks_path: Path | None = None,
        refused: Mapping[Path, str] | None = None,
        references: Sequence[Sequence[Path]] = (),
    ) -> None:
        self.model, self.settings = model, settings
        self.model_sha256 = hashing.variables_sha256(model.variables)
        self.output = OutputFolder(output, model.kind, self.model_sha256, settings)
        resolution = resolution_of(model)
        finder = open_finder(settings, landmarks_path, resolution)
        self._reader = PhotoReader(settings, finder, resolution, refused)
        least = settings.reference_similarity
        self._references = open_references(model, self._reader, references, least)

    def run(
        self, pairs: Sequence[PairFiles], batch_size: int, share: Share = ALONE
    ) -> Generator[dict[str, Any], None, None]:
        """Swaps all pairs as their results are asked for.

        Args:
            pairs: what to swap.
            batch_size: faces at a time.
            share: which of them are this process's. The first of several waits for the others at
                the end and puts the results together; see ``results``.

        Returns:
            The lines of ``results.jsonl``, in input order, each written before it is given.

        Raises:
            UserError: ``results.jsonl`` or the manifest cannot be written, or another run writes
                into the directory.
        """
        engine = Engine(self.model, self.settings, min(batch_size, len(pairs)))
        own = share.of(enumerate(pairs))
        with contextlib.ExitStack() as files:
            files.enter_context(self.output.in_use(share))
            self.results = files.enter_context(
                RunResults(self.output.directory, self.settings.masks, share)
            )
            for job in engine.run(own, self.prepare, self._finish, self._weigh):
                result = self.output.result(job, self._name(job))
                self.results.write(result, job.sidecar)
                yield result
            self.results.finish()

    def _weigh(self, numbered: tuple[int, PairFiles]) -> int:
        """Bytes that reading a pair takes; a source's photo is let go before the target's."""
        files = numbered[1]
        sources = [self._reader.weight("source", path) for path in files.sources]
        return max(*sources, self._reader.weight("target", files.target))

    def prepare(self, numbered: tuple[int, PairFiles]) -> Job:
        """Reads a pair and finds its faces."""
        number, files = numbered
        seconds: dict[str, float] = {}
        job = Job(number, files, seconds=seconds)
        try:
            with timed(seconds, "read"):
                return self._read(job, files)
        except PairFailed as error:
            return job.ended("failed", str(error))
        except UserError:
            raise
        except Exception as error:  # one bad photo must not end the run
            return job.ended("failed", fault(error))

    def _read(self, job: Job, files: PairFiles) -> Job:
        each = [self._reader.sha256("source", path) for path in files.sources]
        hashes = {
            "source": each[0] if len(each) == 1 else hashing.joined_sha256(each),
            "target": self._reader.sha256("target", files.target),
        }
        sidecar = self.output.finished(self._name(job), hashes, files.listed_face)
        if sidecar is not None:
            facts = self.output.facts(sidecar)
            return job.ended("skipped", EARLIER, facts=facts, sidecar=sidecar)
        source = self._source(files, each)
        target = self._reader.target(files.target, hashes["target"], files.listed_face)
        if self._references is not None and not files.face:
            try:
                target = self._references.among(target)
            except FaceNotFoundError as error:
                raise PairFailed(f"target: {error}") from error
        return dataclasses.replace(job, source=source, target=target)

    def _source(self, files: PairFiles, hashes: Sequence[str]) -> FacePhoto:
        """What goes into the target: one face, the mean of several, or one for each face of it."""
        if files.pictures:
            return self._reader.sources(files.pictures, hashes)
        paths = [part.source for part in files.parts]
        read = [self._reader.source(p, sha256) for p, sha256 in zip(paths, hashes, strict=True)]
        if len(read) == 1:
            return read[0]
        faces = tuple(photo.faces[0] for photo in read)
        return dataclasses.replace(read[0], faces=faces, sha256=hashing.joined_sha256(hashes))

    def _finish(self, job: Job) -> Job:
        """Pastes the faces back and writes photo, sidecar and mask."""
        if job.status:
            return job
        target, seconds = job.target, dict(job.seconds)
        assert target is not None
        job = dataclasses.replace(job, seconds=seconds)
        try:
            with timed(seconds, "write"):
                job = dataclasses.replace(job, facts=doubts.facts(job, self.settings))
                if FAINT in job.facts["notes"]:
                    warning = "%s: %s; leave out --aligned to find faces"
                    logging.log_first_n(logging.WARNING, warning, 1, self._name(job), FAINT)
                photo = finish(target, job.swapped, self.settings, self.model_sha256)
                sidecar = self.output.write(self._name(job), job, photo)
        except (PairFailed, NotEncodableError) as error:
            return job.ended("failed", str(error), facts={})
        except OSError as error:
            reason = f"output: {error.strerror or error}"
            return job.ended("failed", reason, facts={})
        except UserError:
            raise
        except Exception as error:  # one bad photo must not end the run
            return job.ended("failed", fault(error), facts={})
        return job.ended("done", sidecar=sidecar)

    def _name(self, job: Job) -> str:
        assert job.files is not None
        return output_name(job.number, job.files, ENCODERS[self.settings.format][0])
