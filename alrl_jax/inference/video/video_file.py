"""Swaps in a video file, which gives a video file with the same times and sound."""

import collections
import datetime
import functools
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.inference.finishing import SwappedPhoto
from alrl_jax.inference.job import EARLIER, Job, PairFailed, fault
from alrl_jax.inference.manifest import write_video_manifest
from alrl_jax.inference.outputs import OutputFolder, ResultsLog
from alrl_jax.inference.settings import FACES
from alrl_jax.inference.video import segments
from alrl_jax.inference.video.encoding import USUAL, VideoOptions
from alrl_jax.inference.video.frames import Frame, FrameSwapping, with_facts
from alrl_jax.inference.video.parts import VideoParts
from alrl_jax.inference.video.pyav import VideoCopy, VideoReader, comment_of, output_suffix
from alrl_jax.photos.photo import Photo
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing
from alrl_jax.utils.files import remove
from alrl_jax.utils.opening import open_regular

NONE_SWAPPED = "no face in any frame that could be swapped; no video is written"
"""Reason of the last line of a video without any."""
LOST = "frames of the file are damaged or missing; the video goes on without them"
"""Ends the reason of the last line of a video that is not whole."""


class VideoSwapping:
    """A run over a video file; see ``FrameSwapping``.

    Args:
        swapping: model, source and settings.
        output: directory of the outputs.
        path: of the video file.
        options: what a user chose of the output video.

    Raises:
        UserError: landmarks come from a file, which knows photos alone, the output would replace
            the input, or its container does not take the codec.
    """

    def __init__(
        self, swapping: FrameSwapping, output: Path, path: Path, options: VideoOptions = USUAL
    ) -> None:
        settings, model = swapping.settings, swapping.model
        if not settings.aligned and settings.landmarks_from == "file":
            raise UserError(
                f"got {path} with --landmarks_from=file; expected a detector; choose another, or "
                "unpack the frames and name their directory"
            )
        self._swapping, self._path, self._options = swapping, path, options
        sha256 = swapping.model_sha256
        recipe = swapping.recipe | ({"video": options.chosen()} if options.chosen() else {})
        self.output = OutputFolder(output, model.kind, sha256, settings, recipe, videos=True)
        self.name = path.stem + output_suffix(path)
        options.codec_for(Path(self.name).suffix)
        with open_regular(path):  # FFmpeg would wait for a pipe
            pass
        if (output / self.name).resolve() == path.resolve():
            raise UserError(f"got {path} in --output={output}; expected another directory")
        self._watermark: dict[str, Any] | None = None

    def run(self, batch_size: int) -> Generator[dict[str, Any], None, None]:
        """Swaps all frames as their results are asked for; the file appears at the end.

        A frame without the face, or whose swap fails, stays as it is. A file that an earlier run
        finished is not made again, and gives one line, whose ``frames`` counts them by status.
        Where no frame was swapped there is no file, and a last line says so; so it does of frames
        that the input has lost.

        Returns:
            The lines of ``results.jsonl``, one a frame.

        Raises:
            UserError: the video cannot be read or written.
        """
        directory = self.output.directory
        source, target = self._swapping.source.sha256, hashing.file_sha256(self._path)
        hashes = {"source": source, "target": target}
        with self.output.in_use(), ResultsLog(directory) as log:
            for result in self._results(hashes, batch_size):
                log.write(result)
                yield result

    def _result(self, job: Job) -> dict[str, Any]:
        """The line of a frame, or of the whole video."""
        result = self.output.result(job, self.name)
        if job.reason == EARLIER:
            return result | {"frames": job.facts["frames"]}
        return result if job.reason == NONE_SWAPPED else result | {"output": self.name}

    def _files(self) -> dict[str, str]:
        """Source, target and output as results give them."""
        relative = self.output.relative
        source, target = relative(self._swapping.source_path), relative(self._path)
        return {"source": source, "target": target, "output": self.name}

    def _write_manifest(self, sidecar: dict[str, Any]) -> None:
        """Writes the manifest of a video with masks."""
        if self._swapping.settings.masks:
            write_video_manifest(self.output.directory, self._files(), sidecar)

    def _results(self, hashes: dict[str, str], batch_size: int) -> Iterator[dict[str, Any]]:
        files = self._swapping.files(self._path)
        sidecar = self.output.finished(self.name, hashes)
        if sidecar is not None:
            self._write_manifest(sidecar)
            facts = {"frames": sidecar.get("frames", {})}
            yield self._result(Job(0, files, status="skipped", reason=EARLIER, facts=facts))
            return
        if self._swapping.hides:  # one of other settings may show what this run hides
            remove(self.output.directory / self.name)
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        fields = image_metadata.metadata(self._swapping.model_sha256, time=time)
        of_masks = fields | {
            "digitalSourceType": image_metadata.GENERATED_SOURCE_TYPE,
            "targetSHA256": hashes["target"],
        }
        kept = segments.Segments(
            self.output.directory / f".{self.name}.segments", self.output.recipe(hashes)
        )
        with VideoParts(
            self.output, self.name, kept, self._swapping.settings.masks, of_masks
        ) as parts:
            self._swapping.look_ahead(self._again, batch_size)
            counts: collections.Counter[str] = collections.Counter()
            suffix = Path(self.name).suffix
            comment = comment_of(fields)
            with VideoCopy(self._path, parts.video, suffix, comment, self._options) as copy:
                for number, result in enumerate(self._written(copy, parts, kept, batch_size)):
                    counts[result["status"]] += 1
                    parts.count(number, result["status"])
                    yield result
                if counts and not counts["done"]:
                    kept.remove()
                    last = Job(counts.total(), files, status="failed", reason=NONE_SWAPPED)
                    yield self._result(last)
                    return
                if copy.lost:
                    reason = f"{copy.lost} {LOST}"
                    yield self._result(Job(counts.total(), files, status="failed", reason=reason))
                    counts["failed"] += copy.lost
                copy.finish(kept.blocks())
            facts = {"frames": dict(counts), "streams_left_out": copy.left_out, **parts.facts()}
            facts |= {"changes": copy.changes} if copy.changes else {}
            facts |= self._swapping.record()
            sidecar = self._sidecar(hashes, facts, time)
            parts.publish(sidecar)
            self._write_manifest(sidecar)

    def _written(
        self, copy: VideoCopy, parts: VideoParts, kept: segments.Segments, batch_size: int
    ) -> Iterator[dict[str, Any]]:
        """The lines of all frames, each written; those of finished segments as they were."""
        finished, earlier, lines = kept.frames, kept.results(), list[dict[str, Any]]()
        self._watermark = kept.watermark
        draw = functools.partial(self._draw, parts)
        frames = self._frames(copy)

        def known(job: Job) -> Job:
            return job.ended("skipped", EARLIER) if job.number < finished else job

        for job, pixels in self._swapping.run(frames, known, draw, batch_size):
            if pixels is None:
                copy.skip()
                yield next(earlier)
                continue
            copy.write(pixels)
            lines.append(self._result(job))
            yield lines[-1]
            if len(lines) == segments.FRAMES:
                kept.add(copy.ended(), lines, self._watermark)
                lines = []

    def _frames(self, copy: VideoReader) -> Iterator[Frame]:
        for number, (seconds, pixels) in enumerate(copy.frames()):
            photo = Photo(pixels, None, pixels, None)
            yield Frame(
                number,
                seconds,
                self._path,
                lambda photo=photo: (photo, ""),
                lambda photo=photo: photo.nbytes,
            )

    def _again(self) -> Iterator[Frame]:
        """The frames, before they are copied."""
        with VideoReader(self._path, self._options) as reader:
            yield from self._frames(reader)

    def _draw(self, parts: VideoParts, job: Job) -> tuple[Job, np.ndarray | None]:
        """The pixels of a frame: swapped, or as they were; its mask is written on the way.

        None of a frame of a segment that an earlier run finished.
        """
        if job.reason == EARLIER:
            return job, None
        assert job.target is not None and job.target.photo is not None
        pixels = job.target.photo.colour
        job, drawn = self._drawn(job)
        if drawn is None:
            job, shown = self._swapping.hidden(job, pixels)
            assert shown is not None
            pixels = shown
        mask = None if drawn is None else drawn.mask
        parts.write_mask(job.number, np.zeros_like(pixels[..., :1]) if mask is None else mask)
        return job, pixels if drawn is None else drawn.pixels

    def _drawn(self, job: Job) -> tuple[Job, SwappedPhoto | None]:
        """A frame with its face swapped; None where it stays as it is."""
        if job.status:
            return job.ended(job.status, job.reason), None
        try:
            drawn, measured = (
                self._swapping.swapped_frame(job),
                with_facts(job, self._swapping.settings),
            )
        except PairFailed as error:
            return job.ended("failed", str(error)), None
        except UserError:
            raise
        except Exception as error:  # one bad frame must not end the video
            return job.ended("failed", fault(error)), None
        if self._watermark is None or drawn.watermark["readable"] is not None:
            self._watermark = dict(drawn.watermark)
        return self._swapping.outcome(measured), drawn

    def _sidecar(self, hashes: dict[str, str], facts: dict[str, Any], time: str) -> dict[str, Any]:
        files = self._files()
        return {
            **self.output.recipe(hashes),
            **{face: {"file": files[face]} for face in FACES},
            **facts,
            "digital_source_type": image_metadata.DIGITAL_SOURCE_TYPE,
            "watermark": self._watermark,
            "time": time,
        }
