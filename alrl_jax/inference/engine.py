"""A model at work on a stream of pairs: read, swap and write side by side, in order.

Reading and writing happen in threads; the device has one batch under way while the one before it is
fetched. Everything is taken on demand, so memory does not grow with the number of pairs: at most
``Engine.most_under_way`` of them exist at a time, and fewer where their photos are large: what a
stage works on is bounded in bytes, which are known before a photo is decoded. One photo at a
time goes through a stage, however large it is.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from alrl_jax.errors import UserError
from alrl_jax.inference.job import Job, SwappedFace
from alrl_jax.inference.optimising import PairOptimiser
from alrl_jax.inference.ordered import ordered
from alrl_jax.inference.protocols import DrawsAgain, Swapper
from alrl_jax.inference.settings import FACES, Settings
from alrl_jax.loading.swapper import SwapperModel
from alrl_jax.photos.face_photos import Face
from alrl_jax.training.sharding import make_mesh, shard_batch
from alrl_jax.types import AnyArray

THREADS = min(32, os.cpu_count() or 1)
BYTES_A_STAGE = min(2**32, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8)
"""Memory that reading may take, and writing as well; a group of jobs may hold half as much."""
WRITING = 7
"""Memory that pasting, marking and encoding take, over that of the photo; measured."""
ENDED_A_BATCH = 4
"""Pairs that need no device pass in groups of at most so many batches."""

_AGAIN = " drawn again"

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class _Flight:
    """A group of jobs of which the device works on the faces.

    Attributes:
        jobs: in order.
        batches: number of faces and arrays of every batch of theirs.
        begun: when, by ``time.perf_counter``.
    """

    jobs: list[Job]
    batches: list[tuple[int, dict[str, Any]]]
    begun: float


class Engine:
    """Swaps jobs with a model on all devices of this process.

    Args:
        model: a swapper: ``swap`` and ``embed`` take batches of its resolution.
        settings: whose pose and identity.
        batch_size: faces at a time; rounded up to a multiple of the number of devices.

    Raises:
        UserError: the swaps are to be refined, and the model cannot do that.

    ``run`` and ``swap`` raise UserError where the device's memory does not suffice for a batch.
    """

    def __init__(self, model: Swapper, settings: Settings, batch_size: int) -> None:
        self.model, self.settings = model, settings
        self.mesh = make_mesh(jax.local_devices())
        self.batch_size = -(-batch_size // self.mesh.size) * self.mesh.size
        self._optimiser = None
        if settings.optimise:
            if not isinstance(model, SwapperModel):
                raise UserError(
                    f"got optimise={settings.optimise} with a {type(model).__name__}; expected a "
                    "model of alrl_jax.load_swapper; take one"
                )
            self._optimiser = PairOptimiser(model, settings)
        self._fetched = 0.0
        self._redraws = model if isinstance(model, DrawsAgain) else None
        self._least = self._redraws.least_face_psnr if self._redraws else None

    @property
    def ahead(self) -> int:
        """Jobs of a stage that may be under way."""
        return max(THREADS, 2 * self.batch_size)

    @property
    def most_under_way(self) -> int:
        """Pairs that have been taken and not been given back, at most."""
        return 2 * self.ahead + 2 * ENDED_A_BATCH * self.batch_size

    def run(
        self,
        items: Iterable[T],
        prepare: Callable[[T], Job],
        finish: Callable[[Job], R],
        weigh: Callable[[T], int],
    ) -> Iterator[R]:
        """What ``finish`` makes of every item, in order.

        Args:
            items: taken one by one, in the thread that asks for the results.
            prepare: makes a job of an item, in a thread.
            finish: gets the job with its faces swapped, or ended, in a thread.
            weigh: bytes that preparing an item takes, about; in the thread that asks.
        """
        with pools(2) as (readers, writers):
            jobs = self.staged(prepare, items, readers, weigh)
            yield from self.staged(finish, self._swapped(jobs), writers, _writing)

    def staged(
        self, work: Callable[[T], R], items: Iterable[T], pool: Executor, weigh: Callable[[T], int]
    ) -> Iterator[R]:
        """One stage: results of ``work`` in order, in bounded memory; see ``ordered``."""
        return ordered(work, items, pool, self.ahead, weigh, BYTES_A_STAGE)

    def swap(self, places: list[tuple[Face, Face]]) -> list[SwappedFace]:
        """The swapped faces of sources and places, in batches of one shape."""
        return [face for batch in self._dispatch(places) for face in self._fetched_faces(*batch)]

    def _groups(self, jobs: Iterable[Job]) -> Iterator[list[Job]]:
        """Jobs whose faces fill a batch; fewer at the end, or where their photos are large."""
        group, faces, held = [], 0, 0
        for job in jobs:
            full = len(group) >= ENDED_A_BATCH * self.batch_size
            full = full or faces + len(job.places) > self.batch_size
            if group and (full or held + job.nbytes > BYTES_A_STAGE // 2):
                yield group
                group, faces, held = [], 0, 0
            group.append(job)
            faces += len(job.places)
            held += job.nbytes
            if faces == self.batch_size:
                yield group
                group, faces, held = [], 0, 0
        if group:
            yield group

    def _swapped(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Jobs with their faces swapped; the next group is under way while one is fetched."""
        waiting = None
        for group in self._groups(jobs):
            places = [place for job in group for place in job.places]
            following = _Flight(group, self._dispatch(places), time.perf_counter())
            if waiting is not None:
                yield from self._landed(waiting)
            waiting = following
        if waiting is not None:
            yield from self._landed(waiting)

    def _landed(self, flight: _Flight) -> Iterator[Job]:
        """The jobs of a group with what the device made of them."""
        faces = [face for batch in flight.batches for face in self._fetched_faces(*batch)]
        now = time.perf_counter()
        each = (now - max(flight.begun, self._fetched)) / max(1, len(faces))
        self._fetched = now
        following = iter(faces)
        for job in flight.jobs:
            own = tuple(next(following) for _ in job.places)
            if own:
                seconds = {**job.seconds, "swap": each * len(own)}
                job = dataclasses.replace(job, swapped=own, seconds=seconds)
            yield job

    def _dispatch(self, places: list[tuple[Face, Face]]) -> list[tuple[int, dict[str, Any]]]:
        """Puts faces on the devices, in batches; does not wait for what comes of them."""
        starts = range(0, len(places), self.batch_size)
        with self._explained_memory_error():
            return [self._dispatch_batch(places[i : i + self.batch_size]) for i in starts]

    def _fetched_faces(self, count: int, batch: dict[str, Any]) -> list[SwappedFace]:
        """Waits for a batch; that its memory did not suffice may show only now."""
        with self._explained_memory_error():
            return _fetch(count, batch, self._least or 0.0)

    @contextlib.contextmanager
    def _explained_memory_error(self) -> Iterator[None]:
        """UserError where the device has too little memory."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise UserError(
                f"got --batch_size={self.batch_size}, for which the device's memory does not "
                "suffice; expected a batch that fits; lower --batch_size"
            ) from error

    def _drawn_again(self, crops: Mapping[str, Any]) -> dict[str, Any]:
        """How well the model draws crops again in which no face was looked for, in dB.

        Nothing where it is not known what the model reaches with a face.
        """
        if self._least is None or self._redraws is None:
            return {}
        return {
            name + _AGAIN: _psnr(self._redraws.reconstruct(crops[name]), crops[name])
            for name in FACES
            if self.settings.is_crop(name)
        }

    def _dispatch_batch(self, places: list[tuple[Face, Face]]) -> tuple[int, dict[str, Any]]:
        padded = places + [places[-1]] * (self.batch_size - len(places))
        columns = zip(FACES, zip(*padded, strict=True), strict=True)
        crops = {name: np.stack([face.crop for face in faces]) for name, faces in columns}
        crops = shard_batch(self.mesh, crops)
        swapped = self.model.swap(crops["source"], crops["target"], **self.settings.asked())
        refined: list[Any] = []
        if self._optimiser is not None:
            found = self._optimiser(crops["source"], crops["target"], swapped)
            swapped, refined = found.output, found.facts
        return len(places), self._drawn_again(crops) | {
            "refined": refined,
            "generated": swapped.generated,
            "mask": swapped.mask,
            "attribute_gates": swapped.gates.attributes,
            "pose_gates": swapped.gates.pose,
            "source": self.model.embed(crops["source"]),
            "image": self.model.embed(swapped.image),
        }


@contextlib.contextmanager
def pools(count: int) -> Iterator[list[ThreadPoolExecutor]]:
    """Pools of threads, whose work is over when the block ends, but after Ctrl-C.

    A photo may take a decoder minutes, for which whoever interrupts the run does not wait.
    """
    made, waits = [ThreadPoolExecutor(THREADS) for _ in range(count)], True
    try:
        yield made
    except KeyboardInterrupt:
        waits = False
        raise
    finally:
        for pool in made:
            pool.shutdown(wait=waits, cancel_futures=True)


def _psnr(image: Float[AnyArray, "b h w 3"], other: Float[AnyArray, "b h w 3"]) -> Array:
    """Of images in [-1, 1], one by one, in dB."""
    error = jnp.mean(jnp.square(jnp.asarray(image) - jnp.asarray(other)), axis=(1, 2, 3))
    return 10 * jnp.log10(4 / jnp.maximum(error, 1e-6))


def _of_no_face(values: Mapping[str, np.ndarray], i: int, least: float) -> dict[str, float]:
    """PSNR of the crops that the model cannot draw again, of one pair of a batch."""
    found = {n: float(values[n + _AGAIN][i]) for n in FACES if n + _AGAIN in values}
    return {name: psnr for name, psnr in found.items() if psnr < least}


def _writing(job: Job) -> int:
    """Bytes that finishing a job takes, about."""
    return WRITING * job.nbytes


def _fetch(count: int, batch: dict[str, Any], least: float) -> list[SwappedFace]:
    """The first faces of a batch, once the device is done; the others only fill it."""
    refined = batch.pop("refined")
    values = {name: np.asarray(array)[:count] for name, array in batch.items()}
    similarity = np.sum(values["source"] * values["image"], axis=-1)
    return [
        SwappedFace(
            # Copies, so that a face that is kept does not keep its whole batch.
            generated=values["generated"][i].copy(),
            mask=values["mask"][i].copy(),
            attribute_gates=values["attribute_gates"][i].mean(axis=-1),
            pose_gate=float(values["pose_gates"][i].mean()),
            identity_similarity=float(similarity[i]),
            refined=refined[i] if refined else None,
            drawn_again=_of_no_face(values, i, least),
        )
        for i in range(count)
    ]
