"""The batches of a run: the source that a request names, opened and checked, and what it gives."""

import dataclasses

import jax
import numpy as np
from absl import logging

from alrl_jax.data.pipeline import BatchIterator, batch_shapes, make_iterator
from alrl_jax.data.records import Source
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import known_layout, open_source, open_true_swaps
from alrl_jax.errors import UserError
from alrl_jax.types import FaceBatch, PairBatch


@dataclasses.dataclass(frozen=True)
class BatchRequest:
    """How a run draws its batches from a source; see ``make_iterator``.

    Attributes:
        kind: ``"faces"`` or ``"pairs"``.
        batch_size: rows of the global batch.
        seed: of the order, the partners and the flips.
        same_identity_share: share of pairs that show one person.
        flip: mirror every second face.
        witnesses: whether pairs bring a second picture of the source's person.
        classes: of people that the losses tell apart; None where they do not.
        parser: whether a face parser gives the masks that the data lack.
        labels: whether batches hold what is known about faces.
    """

    kind: str
    batch_size: int
    seed: int
    same_identity_share: float = 0.5
    flip: bool = True
    witnesses: bool = False
    classes: int | None = None
    parser: bool = False
    labels: bool = True


def known_shapes(data: DataRequest, batches: BatchRequest) -> FaceBatch | PairBatch | None:
    """What a global batch will look like, where that is known before the data are opened."""
    layout = known_layout(data)
    if layout is None or layout.resolution != data.resolution:
        return None
    return batch_shapes(
        layout, batches.kind, batches.batch_size, data.true_swaps, batches.witnesses
    )


def open_batches(data: DataRequest, batches: BatchRequest) -> BatchIterator:
    """This process's batches.

    Raises:
        UserError: if the data cannot be read, or do not fit what is asked of them.
    """
    source = open_source(data)
    _check(source, data, batches)
    _report(source, batches)
    truths = None
    if data.true_swaps:
        logging.warning("training sees true swaps: a ceiling, to be called by that name")
        truths = open_true_swaps(data)
    return make_iterator(
        source,
        batches.kind,
        batches.batch_size,
        batches.seed,
        same_identity_share=batches.same_identity_share,
        flip=batches.flip,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        truths=truths,
        witnesses=batches.witnesses,
        labels=batches.labels,
    )


def _check(source: Source, data: DataRequest, batches: BatchRequest) -> None:
    if source.layout.resolution != data.resolution:
        raise UserError(
            f"got images of {source.layout.resolution} px from data.source {data.source}; expected "
            f"{data.resolution} (resolution); change that, or prepare the data again"
        )
    people = int(source.identities.max()) + 1
    if batches.classes is not None and people > batches.classes:
        raise UserError(
            f"got people up to number {people - 1} in the data; expected at most "
            f"{batches.classes} of them (data.num_identities), as ArcFace has a class for each; "
            f"set it to {people}"
        )


def _report(source: Source, batches: BatchRequest) -> None:
    """Warns of files that were left out, of labels that there are not, and of people seen once."""
    for name, reason in source.report:
        logging.warning("skipped %s: %s", name, reason)
    once = int(np.sum(np.unique(source.identities, return_counts=True)[1] == 1))
    if batches.kind == "pairs" and batches.same_identity_share and once:
        logging.warning(
            "%d people have one picture alone: their pairs of one person show it twice%s",
            once,
            ", mirrored the second time" if batches.flip else "",
        )
    if source.layout.attribute_factors:
        return
    few = np.linspace(0, len(source) - 1, 16).astype(np.int64)
    masked = source.read(few)["labelled"].any()
    known = "masks alone: losses that need more" if masked else "no labels: losses that need any"
    if batches.parser:
        known = "no labels but masks, their own or the parser's: losses that need more"
    logging.warning("the data have %s are off", known)
