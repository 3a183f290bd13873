"""The batches of a run: the source that a request names, opened and checked, and what it gives."""

import dataclasses

import jax
import numpy as np
from absl import logging

from alrl_jax.data.on_device import DeviceBatches
from alrl_jax.data.pipeline import BatchIterator, batch_shapes, make_draws, make_iterator
from alrl_jax.data.records import Layout, Source
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import known_layout, open_source, open_true_swaps
from alrl_jax.errors import UserError
from alrl_jax.types import FaceBatch, PairBatch


@dataclasses.dataclass(frozen=True)
class BatchRequest:
    """How a run draws its batches from a source; see ``make_iterator``.

    Attributes:
        kind: ``"faces"`` or ``"pairs"``.
        batch_size: faces or pairs in the global batch.
        seed: of the order, the partners and the flips.
        same_identity_share: share of pairs that show one person.
        flip: mirror every second face.
        witnesses: whether pairs bring a second image of the source's person.
        classes: of people that the losses tell apart; None where they do not.
        parser: whether a face parser gives the masks that the data lack.
        needed_labels: fields of a record of which the losses need at least one; none where some
            loss needs no labels.
        on_device: whether the devices keep all faces and put batches together.
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
    needed_labels: tuple[str, ...] = ()
    on_device: bool = False
    labels: bool = True


def known_shapes(data: DataRequest, batches: BatchRequest) -> FaceBatch | PairBatch | None:
    """What a global batch will look like, where that is known before the data are opened.

    It is not said of data that may be refused, as those are to be opened before anything else, nor
    of faces that the devices keep: how many there are is part of the program.
    """
    layout = known_layout(data)
    if layout is None or layout.resolution != data.resolution or batches.on_device:
        return None
    needed = batches.needed_labels
    if needed and not (batches.labels and _labels_of(layout, needed)):
        return None
    return batch_shapes(
        layout, batches.kind, batches.batch_size, data.true_swaps, batches.witnesses
    )


def open_batches(data: DataRequest, batches: BatchRequest) -> BatchIterator | DeviceBatches:
    """This process's batches.

    Raises:
        UserError: if the data cannot be read, or do not fit what is asked of them.
    """
    source = open_source(data)
    _check(source, data, batches)
    _report(source, batches)
    drawn = {
        "kind": batches.kind,
        "batch_size": batches.batch_size,
        "seed": batches.seed,
        "same_identity_share": batches.same_identity_share,
        "flip": batches.flip,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
        "witnesses": batches.witnesses,
    }
    if batches.on_device:
        return DeviceBatches(source, make_draws(source, **drawn), data.progress)
    truths = None
    if data.true_swaps:
        logging.warning("training sees true swaps: a ceiling, to be called by that name")
        truths = open_true_swaps(data)
    return make_iterator(source, **drawn, truths=truths, labels=batches.labels)


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
            f"{batches.classes} of them (data.num_identities), as a network has a class for each; "
            f"set it to {people}"
        )
    _check_labels(source, data, batches)


def _check_labels(source: Source, data: DataRequest, batches: BatchRequest) -> None:
    """UserError where the losses need labels and the batches have none of them."""
    labels = batches.needed_labels
    if not labels or (batches.labels and _labels_of(source.layout, labels)):
        return
    few = _few(source) if batches.labels and "pose_degrees" in labels else None
    if few is not None and np.isfinite(few["pose_degrees"][few["labelled"]]).any():
        return
    raise UserError(
        f"got data.source {data.source} without labels; expected at least one of "
        f"{', '.join(labels)}, as every loss with a weight reads them; train on labelled data "
        "(data.source=synthetic), or give a weight to a loss that needs none (losses.arcface)"
    )


def _labels_of(layout: Layout, labels: tuple[str, ...]) -> list[str]:
    """The labels for which records have columns; every record has room for a pose."""
    return [name for name in labels if name != "pose_degrees" and getattr(layout, name)]


def _few(source: Source) -> np.ndarray:
    """Records from everywhere in the data, to see what is known about them."""
    return source.read(np.linspace(0, len(source) - 1, 16).astype(np.int64))


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
    masked = _few(source)["labelled"].any()
    known = "masks alone: losses that need more" if masked else "no labels: losses that need any"
    if batches.parser:
        known = "no labels but masks, their own or the parser's: losses that need more"
    logging.warning("the data have %s are off", known)
