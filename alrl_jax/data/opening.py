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
        labels: fields of a record of which the losses need at least one; none where some loss needs
            no labels.
        on_device: whether the devices keep all faces and put batches together.
    """

    kind: str
    batch_size: int
    seed: int
    same_identity_share: float = 0.5
    flip: bool = True
    witnesses: bool = False
    classes: int | None = None
    parser: bool = False
    labels: tuple[str, ...] = ()
    on_device: bool = False


def known_shapes(data: DataRequest, batches: BatchRequest) -> FaceBatch | PairBatch | None:
    """What a global batch will look like, where that is known before the data are opened.

    It is not said of data that may be refused, as those are to be opened before anything else, nor
    of faces that the devices keep: how many there are is part of the program.
    """
    layout = known_layout(data)
    if layout is None or layout.resolution != data.resolution or batches.on_device:
        return None
    if batches.labels and not _labels_of(layout, batches.labels):
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
    _report(source, batches.parser)
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
    return make_iterator(source, **drawn, truths=truths)


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
    _check_labels(source, data, batches.labels)


def _check_labels(source: Source, data: DataRequest, labels: tuple[str, ...]) -> None:
    """UserError where the losses need labels and the data have none of them."""
    if not labels or _labels_of(source.layout, labels):
        return
    few = _few(source)
    if "pose_degrees" in labels and np.isfinite(few["pose_degrees"][few["labelled"]]).any():
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


def _report(source: Source, parser: bool) -> None:
    """Warns of files that were left out, and of labels that there are not."""
    for name, reason in source.report:
        logging.warning("skipped %s: %s", name, reason)
    if source.layout.attribute_factors:
        return
    masked = _few(source)["labelled"].any()
    known = "masks alone: losses that need more" if masked else "no labels: losses that need any"
    if parser:
        known = "no labels but masks, their own or the parser's: losses that need more"
    logging.warning("the data have %s are off", known)
