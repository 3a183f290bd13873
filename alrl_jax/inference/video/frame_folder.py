"""Swaps in a directory of numbered frames, each of which gives a PNG file of its name."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.inference.job import EARLIER, Job, PairFailed, fault, timed
from alrl_jax.inference.outputs import OutputFolder
from alrl_jax.inference.photo_reader import PhotoReader
from alrl_jax.inference.protocols import resolution_of
from alrl_jax.inference.shared_results import RunResults
from alrl_jax.inference.video.frames import Frame, FrameSwapping, with_facts
from alrl_jax.photos.pair_list import OUTSIDE, list_files
from alrl_jax.photos.photo import Photo, read_photo
from alrl_jax.provenance import image_metadata
from alrl_jax.provenance.encoding import NotEncodableError
from alrl_jax.utils.files import remove
from alrl_jax.utils.opening import read_json
from alrl_jax.utils.parts import ALONE, Share


@dataclasses.dataclass(frozen=True)
class NumberedFile:
    """A frame's file; its number is the last one in its name."""

    number: int
    path: Path
    refused: str | None


def numbered_files(directory: Path) -> list[NumberedFile]:
    """The frames that lie in a directory, not in its folders, in the order of their numbers.

    Raises:
        UserError: there are none, one without a number, or two of one number.
    """
    paths, refused = list_files("frames", str(directory))
    found: dict[int, NumberedFile] = {}
    for path in (path for path in paths if path.parent == directory):
        number = re.search(r"(\d+)\D*$", path.stem)
        if number is None:
            raise UserError(f"got the frame {path}; expected a number in its name; rename it")
        file = NumberedFile(int(number[1]), path, refused.get(path))
        other = found.setdefault(file.number, file)
        if other is not file:
            raise UserError(
                f"got two frames of number {file.number}, {other.path} and {path}; expected one; "
                "remove the other"
            )
    if not found:
        raise UserError(f"got --frames={directory}; expected photos right in it; check the path")
    return [found[number] for number in sorted(found)]


class FolderSwapping:
    """A run over a directory of frames; see ``FrameSwapping``.

    Args:
        swapping: model, source and settings.
        output: directory of the outputs, another one than that of the frames.
        frames_per_second: of the video.
        recipe: what outputs depend on beside the settings of photos; by default the recipe of
            ``swapping``, and the rate.
    """

    def __init__(
        self,
        swapping: FrameSwapping,
        output: Path,
        frames_per_second: float,
        recipe: dict[str, Any] | None = None,
    ) -> None:
        self._swapping, self._rate = swapping, frames_per_second
        own = swapping.recipe | {"frames_per_second": frames_per_second}
        more = own if recipe is None else recipe
        model, settings = swapping.model, swapping.settings
        self.output = OutputFolder(output, model.kind, swapping.model_sha256, settings, more)
        self._hasher = PhotoReader(settings, None, resolution_of(model))

    def run(
        self, files: list[NumberedFile], batch_size: int, share: Share = ALONE
    ) -> Iterator[dict[str, Any]]:
        """Swaps all frames as their results are asked for.

        Of several processes that share the frames the first puts the results together.

        Frames that cannot be read fail and have no output; those without the face are written as
        they are, without any mark. What an earlier run finished at the same place is skipped.

        Returns:
            The lines of ``results.jsonl``, in the order of the frames.
        """
        first = files[0].number
        frames = [
            Frame(
                i,
                (file.number - first) / self._rate,
                file.path,
                lambda file=file: self._read(file),
                lambda file=file: self._weigh(file),
            )
            for i, file in enumerate(files)
        ]
        directory, masks = self.output.directory, self._swapping.settings.masks
        with self.output.in_use(share), RunResults(directory, masks, share) as self.results:
            if self._swapping.hides:
                self._clear(files)
            self._swapping.look_ahead(lambda: frames, batch_size)
            jobs = self._swapping.run(frames, self._look_up, self._write, batch_size, share)
            for job in jobs:
                result = self._result(job)
                self.results.write(result, job.sidecar)
                yield result
            self.results.finish()

    def _clear(self, files: list[NumberedFile]) -> None:
        """Removes frames of runs with other settings, which may show what this one hides."""
        for file in files:
            name = self._name_of(file.number, file.path)
            try:
                inputs = read_json(self.output.sidecar(name))["inputs_sha256"]
            except (OSError, ValueError, KeyError, TypeError):
                inputs = {}
            if self.output.finished(name, inputs) is None:
                remove(self.output.directory / name)

    def _result(self, job: Job) -> dict[str, Any]:
        """The line of a frame in ``results.jsonl``."""
        return self.output.result(job, self._name(job))

    def _read(self, file: NumberedFile) -> tuple[Photo, str]:
        if file.refused is not None:
            raise PairFailed(OUTSIDE)
        sha256 = self._hasher.sha256("frame", file.path)
        return read_photo(file.path), sha256

    def _weigh(self, file: NumberedFile) -> int:
        return 0 if file.refused is not None else self._hasher.weight("frame", file.path)

    def _look_up(self, job: Job) -> Job:
        """Ends a frame that an earlier run swapped at the same place."""
        if job.status or job.source is None or job.target is None or job.facts.get("hidden"):
            return job
        hashes = {"source": job.source.sha256, "target": job.target.sha256}
        sidecar = self.output.finished(self._name(job), hashes)
        matrix = job.target.faces[0].alignment.matrix.tolist()
        target = {} if sidecar is None else sidecar.get("target")
        if sidecar is None or not isinstance(target, dict):
            return job
        if target.get("photo_to_crop") != matrix:
            return job
        facts = self.output.facts(sidecar)
        return job.ended("skipped", EARLIER, facts=facts, sidecar=sidecar)

    def _write(self, job: Job) -> Job:
        """Writes a frame: swapped, or as it was; what must not be seen goes."""
        photo = None if job.target is None else job.target.photo
        written = self._tried(job)
        if written.status != "failed" or "action" in written.facts or not self._swapping.hides:
            return written
        return self._failed(written, photo)

    def _failed(self, job: Job, photo: Photo | None) -> Job:
        """A frame that failed in a run that hides; its photo where it could be read."""
        del photo
        self._remove(self._name(job))  # of a run that kept what failed
        return self._swapping.hidden(job, None)[0]

    def _remove(self, name: str) -> None:
        """Removes an output of an earlier run, and what lies beside it."""
        places = (self.output.directory / name, self.output.sidecar(name), self.output.mask(name))
        for earlier in places:
            remove(earlier)

    def _tried(self, job: Job) -> Job:
        if job.target is None or job.status == "failed":
            return job.ended(job.status, job.reason)
        seconds = dict(job.seconds)
        job = dataclasses.replace(job, seconds=seconds)
        try:
            with timed(seconds, "write"):
                return self._written(job)
        except (PairFailed, NotEncodableError) as error:
            return job.ended("failed", str(error), facts={})
        except OSError as error:
            return job.ended("failed", f"output: {error.strerror or error}", facts={})
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the run
            return job.ended("failed", fault(error), facts={})

    def _written(self, job: Job) -> Job:
        if job.status:
            return self._kept(job)
        job = with_facts(job, self._swapping.settings)
        sidecar = self.output.write(self._name(job), job, self._swapping.swapped_frame(job))
        return self._swapping.outcome(dataclasses.replace(job, sidecar=sidecar))

    def _kept(self, job: Job) -> Job:
        """Writes a frame without the face as it was."""
        assert job.target is not None and job.target.photo is not None
        photo, name = job.target.photo, self._name(job)
        for earlier in (self.output.sidecar(name), self.output.mask(name)):
            remove(earlier)  # of an earlier swap
        path = self.output.directory / name
        image_metadata.write_png(path, photo.with_alpha(photo.colour), {}, photo.icc_profile)
        return job.ended(job.status, job.reason)

    def _name(self, job: Job) -> str:
        assert job.files is not None
        return self._name_of(job.number, job.files.target)

    def _name_of(self, number: int, path: Path) -> str:
        """Name of the output of a frame."""
        del number
        return f"{path.stem}.png"
