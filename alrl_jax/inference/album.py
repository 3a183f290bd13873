"""An album: photos whose people are replaced, each of them by one source in all photos.

An album is a video whose pictures lie so far apart in time that no track joins two of them: faces
are one person's by their identities alone.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.inference.finishing import SwappedPhoto, finish
from alrl_jax.inference.job import Job, fault
from alrl_jax.inference.outputs import output_name
from alrl_jax.inference.video.frame_folder import FolderSwapping, NumberedFile
from alrl_jax.inference.video.people import PeopleSwapping
from alrl_jax.inference.video.person_tracks import HELD
from alrl_jax.photos.photo import Photo
from alrl_jax.provenance.encoding import ENCODERS, NotEncodableError
from alrl_jax.utils.files import write_files

APART = 10 * HELD
"""Seconds between two photos."""


class AlbumPeople(PeopleSwapping):
    """The people of photos; ``smoothing`` is None."""

    noun, kept = "target", "nothing is written"

    @property
    def recipe(self) -> dict[str, Any]:
        """What outputs depend on beside the settings of photos."""
        return {"album": True, "on_failure": self._on_failure}

    def swapped_frame(self, job: Job) -> SwappedPhoto:
        """A photo with its faces swapped, its mark read again.

        Raises:
            PairFailed: the model drew numbers that are not finite, or hardly any face.
        """
        self.check_replaced(job)
        assert job.target is not None
        return finish(job.target, job.swapped, self.settings, self.model_sha256)


class AlbumSwapping(FolderSwapping):
    """A run over an album.

    Args:
        people: model, sources and settings.
        output: directory of the outputs.
    """

    def __init__(self, people: AlbumPeople, output: Path) -> None:
        super().__init__(people, output, 1 / APART, people.recipe)
        self._people = people

    def photos(
        self, paths: Sequence[Path], refused: Mapping[Path, str], batch_size: int
    ) -> Iterator[dict[str, Any]]:
        """Swaps the people of photos as results are asked for; see ``FolderSwapping.run``.

        A photo without a face to swap has no output: nothing is copied that was not changed.

        Args:
            paths: of the photos.
            refused: those that must not be read, with the reason.
            batch_size: faces at a time.

        Returns:
            The lines of ``results.jsonl``, in the order of the photos.
        """
        files = [NumberedFile(i, path, refused.get(path)) for i, path in enumerate(paths)]
        yield from self.run(files, batch_size)

    def _name_of(self, number: int, path: Path) -> str:
        suffix = ENCODERS[self._people.settings.format][0]
        return output_name(number, self._people.files(path), suffix)

    def _kept(self, job: Job) -> Job:
        """A photo without a face to swap: what an earlier run made of it goes."""
        self._remove(self._name(job))
        return job.ended(job.status, job.reason)

    def _result(self, job: Job) -> dict[str, Any]:
        result = super()._result(job)
        unchanged = job.status == "skipped" and job.sidecar is None
        return result | {"output": None} if unchanged else result

    def _failed(self, job: Job, photo: Photo | None) -> Job:
        """A photo whose faces could not be replaced: written with them hidden, or withheld."""
        self._remove(self._name(job))
        pixels = None if photo is None else photo.with_alpha(photo.colour)
        job, shown = self._people.hidden(job, pixels)
        if photo is None or shown is None or job.facts.get("action") != "blurred":
            return job
        name = self._name(job)
        encode = ENCODERS[self._people.settings.format][1]
        try:
            write_files({self.output.directory / name: encode(shown, {}, photo.icc_profile)})
        except (NotEncodableError, OSError) as error:
            reason = f"{job.reason}; it could not be written hidden either ({error})"
        except UserError:
            raise
        except Exception as error:  # one bad photo must not end the run
            reason = f"{job.reason}; it could not be written hidden either ({fault(error)})"
        else:
            return job
        return dataclasses.replace(job, reason=reason, facts={**job.facts, "action": "withheld"})
