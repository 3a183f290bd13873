"""From a source to batches: a Grain pipeline whose global batch t is a pure function of (seed, t).

Only numbers are shuffled. What is random about global batch t (partners, flips) is drawn for the
whole batch from one generator that Grain seeds with (seed, t); then every process keeps its share
and reads them. So the batch does not depend on how many processes share it, and the state of an
iterator is the number of the next batch and the size of the data, the same in every process.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grain
import jax
import numpy as np
from jaxtyping import Bool, Int

from alrl_jax.data.flip import FlipTables, flip_records, flip_tables
from alrl_jax.data.records import Layout, Source, to_float
from alrl_jax.data.true_swaps import TrueSwaps
from alrl_jax.errors import UserError
from alrl_jax.types import UNLABELLED, FaceBatch, PairBatch

KINDS = ("faces", "pairs")
Draw = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Partners:
    """Finds partners by person in constant time.

    Attributes:
        order: image numbers sorted by person.
        rank: place of every image in ``order``.
        start: where in ``order`` the person of every image begins.
        count: number of images of that person.
    """

    order: Int[np.ndarray, " n"]
    rank: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    count: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, identities: Int[np.ndarray, " n"]) -> "Partners":
        """Sorts the images of a source by person."""
        order = np.argsort(identities, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        _, first, inverse, counts = np.unique(
            identities[order], return_index=True, return_inverse=True, return_counts=True
        )
        person = inverse[rank]
        return cls(order, rank, first[person], counts[person])

    def draw(
        self, targets: Int[np.ndarray, " b"], same: Bool[np.ndarray, " b"], rng: np.random.Generator
    ) -> Int[np.ndarray, " b"]:
        """Draws a source image for every target.

        Where ``same``: another image of the target's person, or the target itself where there is no
        other. Elsewhere: any image of anybody else. Every candidate is equally likely.
        """
        start, count = self.start[targets], self.count[targets]
        place = self.rank[targets] - start
        u = rng.random((2, len(targets)))
        other = np.floor(u[0] * np.maximum(count - 1, 1)).astype(np.int64)
        other = np.where(count > 1, other + (other >= place), place)
        stranger = np.floor(u[1] * (len(self.order) - count)).astype(np.int64)
        stranger = stranger + np.where(stranger >= start, count, 0)
        return self.order[np.where(same, start + other, stranger)]


def make_iterator(
    source: Source,
    kind: str,
    batch_size: int,
    seed: int,
    *,
    same_identity_share: float = 0.5,
    flip: bool = True,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 2,
    truths: TrueSwaps | None = None,
    witnesses: bool = False,
    labels: bool = True,
) -> "BatchIterator[FaceBatch | PairBatch]":
    """Returns an endless iterator over this process's shares of the global batches 0, 1, ...

    Batches are NumPy structs: images float32 in [-1, 1], parsing int32, landmarks in pixels, the
    pose in degrees. ``set_state`` goes on with the global batch t of ``get_state`` exactly, with
    any number of processes.

    Args:
        source: faces by number.
        kind: "faces" (``FaceBatch``) or "pairs" (``PairBatch``).
        batch_size: faces or pairs in the *global* batch.
        seed: of the order, the partners and the flips; 0 to 2**32 - 1.
        same_identity_share: share of pairs that show one person, exact up to rounding in every
            global batch and exact on average.
        flip: mirror every second face, with everything that is known about it. Where the source of
            a pair is its target itself, as the person has no other picture, one of them is
            mirrored.
        process_index: which contiguous slice of the global batch to return.
        process_count: number of processes that share the global batch.
        prefetch: batches that a thread reads ahead; 0 reads in the calling thread.
        truths: draws the true swaps of pairs, where these shall be known.
        witnesses: whether pairs bring a second image of the source's person.
        labels: whether batches hold what is known about faces; else all but their persons' numbers
            is unknown.

    Raises:
        UserError: an impossible value, or pairs of strangers from a source with one person.
    """
    _check(source, kind, batch_size, seed, same_identity_share, process_index, process_count)
    draw = _draw_of(source, kind, same_identity_share, flip, witnesses)
    draws = _draws(len(source), batch_size, seed, draw, process_index, process_count)
    read = _Reader(source, flip_tables(source.layout), truths, labels)
    batches = draws.map(read.pairs if kind == "pairs" else read.faces)
    return BatchIterator(_iterate(batches, prefetch), source)


def make_draws(
    source: Source,
    kind: str,
    batch_size: int,
    seed: int,
    *,
    same_identity_share: float = 0.5,
    flip: bool = True,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 2,
    witnesses: bool = False,
) -> "BatchIterator[Draw]":
    """Returns what ``make_iterator`` draws for its batches, without reading a face.

    Args and errors are those of ``make_iterator``, whose states it shares. An element has the
    numbers and mirrors of this process's share, by name: ``index``, ``flip`` and, of pairs,
    ``source_index``, ``source_flip`` (with ``witnesses`` ``witness_index``, ``witness_flip``).
    """
    _check(source, kind, batch_size, seed, same_identity_share, process_index, process_count)
    draw = _draw_of(source, kind, same_identity_share, flip, witnesses)
    draws = _draws(len(source), batch_size, seed, draw, process_index, process_count)
    return BatchIterator(_iterate(draws, prefetch), source)


Drawer = Callable[[np.ndarray, np.random.Generator], Draw]


def _draw_of(source: Source, kind: str, share: float, flip: bool, witnesses: bool) -> Drawer:
    pairs = kind == "pairs"
    return _draw_pairs(source, share, flip, witnesses) if pairs else _draw_faces(flip)


def _draws(
    count: int, batch_size: int, seed: int, draw: Drawer, process_index: int, process_count: int
) -> grain.MapDataset:
    """What is random about the global batches of ``count`` faces, cut to a process's share."""
    rows = batch_size // process_count
    local = slice(process_index * rows, (process_index + 1) * rows)
    return (
        grain.MapDataset.range(count)
        .seed(seed)
        .shuffle()
        .repeat(None)
        .batch(batch_size, drop_remainder=True)
        .random_map(draw)
        .map(lambda drawn: {name: values[local] for name, values in drawn.items()})
    )


def _iterate(elements: grain.MapDataset, prefetch: int) -> grain.DatasetIterator:
    options = grain.ReadOptions(num_threads=min(prefetch, 1), prefetch_buffer_size=prefetch)
    return iter(elements.to_iter_dataset(options))


Element = TypeVar("Element")


class BatchIterator(Generic[Element]):
    """Batches, and a state that knows of which data: other data would be shuffled otherwise."""

    def __init__(self, batches: grain.DatasetIterator[Element], source: Source) -> None:
        """Takes over an iterator over batches of a source."""
        self._batches = batches
        people = len(np.unique(source.identities))
        self._data = {"records": len(source), "people": people}

    def __iter__(self) -> "BatchIterator[Element]":
        return self

    def __next__(self) -> Element:
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """The number of the next global batch, and the size of the data; all of it is JSON."""
        return {**self._batches.get_state(), **self._data}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where ``get_state`` once was.

        Raises:
            UserError: if the data have other sizes than then. Older states know of none.
        """
        then = {name: state.get(name, now) for name, now in self._data.items()}
        if then != self._data:
            raise UserError(
                f"got {self._data['records']} faces of {self._data['people']} people; expected "
                f"the {then['records']} of {then['people']} with which this run began, as any "
                "other number is another order; bring back the same data (a file that cannot be "
                "read any more is named above) or use another --workdir"
            )
        self._batches.set_state({k: v for k, v in state.items() if k not in self._data})

    def close(self) -> None:
        """Ends the thread that reads ahead."""
        self._batches.close()


def _check(
    source: Source,
    kind: str,
    batch_size: int,
    seed: int,
    share: float,
    process_index: int,
    process_count: int,
) -> None:
    """UserError for the first value that cannot be served."""
    faults = {
        f"kind {kind!r}; expected one of {', '.join(KINDS)}": kind not in KINDS,
        f"batch_size {batch_size}; expected at least 1": batch_size < 1,
        f"batch_size {batch_size} for {process_count} processes; expected a multiple": batch_size
        % process_count,
        f"process_index {process_index}; expected 0 to {process_count - 1}": not 0
        <= process_index
        < process_count,
        f"seed {seed}; expected 0 to {2**32 - 1}": not 0 <= seed < 2**32,
        f"same_identity_share {share}; expected 0 to 1": not 0 <= share <= 1,
        "a source without images; expected at least one": len(source) == 0,
    }
    for fault, present in faults.items():
        if present:
            raise UserError(f"got {fault}; change the configuration")
    few = np.unique(np.linspace(0, len(source) - 1, 16).astype(np.int64))
    if not np.array_equal(source.read(few)["identity"], source.identities[few]):
        raise UserError(
            "got records whose identity is not that of source.identities; expected one number a "
            "person in both, as partners are drawn by one and compared by the other; correct the "
            "source"
        )
    if kind == "pairs" and share < 1 and len(np.unique(source.identities)) == 1:
        raise UserError(
            f"got {len(source)} images of one person; expected at least two people for swaps; "
            "add people, or set same_identity_share to 1"
        )


def _draw_faces(flip: bool) -> Drawer:
    """What is random about a batch of faces."""

    def draw(indices: np.ndarray, rng: np.random.Generator) -> Draw:
        return {"index": indices, "flip": (rng.random(len(indices)) < 0.5) & flip}

    return draw


def _draw_pairs(source: Source, share: float, flip: bool, witnesses: bool) -> Drawer:
    """What is random about a batch of pairs; the shuffled indices are the targets."""
    partners = Partners.of(source.identities)

    def draw(indices: np.ndarray, rng: np.random.Generator) -> Draw:
        n = len(indices)
        # Shuffled strata instead of n coins: the share varies by less than one pair.
        same = rng.permutation(n) + rng.random() < share * n
        drawn = {
            "index": indices,
            "flip": (rng.random(n) < 0.5) & flip,
            "source_index": partners.draw(indices, same, rng),
            "source_flip": (rng.random(n) < 0.5) & flip,
        }
        # Who has one picture alone is shown it mirrored: what is the picture's and not the person's
        # (where the head points, the light) could else be copied from the source.
        itself = drawn["source_index"] == indices
        drawn["source_flip"] = np.where(itself & flip, ~drawn["flip"], drawn["source_flip"])
        if witnesses:
            other = partners.draw(drawn["source_index"], np.ones(n, bool), rng)
            drawn["witness_index"] = np.where(same, indices, other)
            drawn["witness_flip"] = np.where(same, drawn["flip"], drawn["source_flip"])
        return drawn

    return draw


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Turns drawn numbers into batches."""

    source: Source
    tables: FlipTables
    truths: TrueSwaps | None
    labels: bool

    def faces(self, drawn: Draw) -> FaceBatch:
        """Reads a batch of faces."""
        records = self.source.read(drawn["index"])
        faces = to_batch(flip_records(records, drawn["flip"], self.tables))
        return faces if self.labels else unlabelled(faces)

    def pairs(self, drawn: Draw) -> PairBatch:
        """Reads a batch of pairs."""
        target = self.faces(drawn)
        source = self.faces({"index": drawn["source_index"], "flip": drawn["source_flip"]})
        pairs = PairBatch(source, target, source.identity == target.identity)
        if self.truths is not None:
            truth = self.truths.draw(drawn["source_index"], drawn["index"], drawn["flip"])
            pairs = dataclasses.replace(pairs, truth=truth)
        if "witness_index" in drawn:
            witness = self.faces({"index": drawn["witness_index"], "flip": drawn["witness_flip"]})
            pairs = dataclasses.replace(pairs, witness=witness.image)
        return pairs


def to_batch(records: np.ndarray) -> FaceBatch:
    """Turns structured records ``[b]`` into a batch of contiguous arrays; images in [-1, 1]."""
    fields: dict[str, Any] = {
        name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()
    }
    fields["image"] = to_float(fields["image"])
    fields["parsing"] = fields["parsing"].astype(np.int32)
    return FaceBatch(**fields)


def unlabelled(faces: FaceBatch) -> FaceBatch:
    """The same faces, of which nothing but the person is known."""
    unknown = {
        name: np.full_like(getattr(faces, name), np.nan)
        for name in ("identity_factors", "attribute_factors", "pose_degrees")
    }
    return dataclasses.replace(
        faces,
        parsing=np.full_like(faces.parsing, UNLABELLED),
        landmarks=np.zeros_like(faces.landmarks),
        labelled=np.zeros_like(faces.labelled),
        **unknown,
    )


def batch_shapes(
    layout: Layout, kind: str, batch_size: int, truths: bool = False, witnesses: bool = False
) -> FaceBatch | PairBatch:
    """What a global batch of ``make_iterator`` will look like, before there are any data.

    Args:
        layout: of the source.
        kind: "faces" or "pairs".
        batch_size: faces or pairs in the global batch.
        truths: whether pairs bring their true swap.
        witnesses: whether pairs bring a second image of the source's person.

    Returns:
        A batch of ``jax.ShapeDtypeStruct`` leaves.
    """
    batch: FaceBatch | PairBatch = to_batch(layout.empty(1))
    if kind == "pairs":
        truth, witness = (batch.image if wanted else None for wanted in (truths, witnesses))
        batch = PairBatch(batch, batch, batch.labelled, truth, witness)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype), batch)
