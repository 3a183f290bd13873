"""A model's decisions, made the same for all pairs: what a selection is worth that looks at them.

Gates are measured on development pairs and put into the model in place of its own. A selection that
adapts is better than its frozen selves; one that is not has learned a fixed choice, whatever its
module could do.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from alrl_jax.evaluation import benchmark, pair_sets
from alrl_jax.evaluation.measuring import batches
from alrl_jax.evaluation.rows import Question, Row, RowImages
from alrl_jax.loading.protocols import Swapper
from alrl_jax.models.swapper.encoder import NUM_PARSING_CLASSES
from alrl_jax.models.swapper.pair_codes import FrozenGates
from alrl_jax.models.swapper.target_features import NUM_CELLS, NUM_DISTANCES
from alrl_jax.types import SwapGates

SPLIT, SEED, COUNT = "development", 128, 128
"""The pairs that gates are measured on; no evaluation of seed 0 sees them."""

FROZEN_ROWS = ("frozen_codes", "frozen_space", "frozen_gates")
"""Code gates at their majority over the pairs (soft ones at their mean); gates in space a function
of parsing class and distance to the face's edge alone; both."""


def decides(model: Swapper) -> bool:
    """Whether a model has gates that could depend on the pair."""
    return model.selectors[0] == "adaptive"


def freeze(
    model: Swapper, batch_size: int, pair_set: str = pair_sets.USUAL, count: int = COUNT
) -> FrozenGates:
    """A model's gates, made the same for all pairs.

    Args:
        model: whose gates are measured.
        batch_size: pairs at a time.
        pair_set: entry of ``PAIR_SETS``.
        count: of its development pairs.
    """
    plan = pair_sets.PAIR_SETS[pair_set].plan(SPLIT, SEED, count)
    codes: list[np.ndarray] = []
    space: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for target, gates in _swaps(model, plan, batch_size, count):
        pose, layers = np.asarray(gates.pose)[:, None], np.asarray(gates.attributes)
        codes.append(np.concatenate([pose, layers], axis=1))
        for resolution, kept in gates.space.items():
            cells = np.asarray(model.silhouettes(target, resolution))
            space.setdefault(resolution, []).append((cells, np.asarray(kept)))
    means = {
        resolution: mean_by_cell(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
        for resolution, found in space.items()
    }
    return FrozenGates(frozen_codes(np.concatenate(codes)), means or None)


def frozen_rows(frozen: FrozenGates) -> dict[str, Row]:
    """Rows of the model with decisions that are the same for all pairs, as far as it makes them."""
    parts = {
        "frozen_codes": FrozenGates(codes=frozen.codes),
        "frozen_space": FrozenGates(space=frozen.space),
        "frozen_gates": frozen,
    }
    if frozen.space is None:  # nothing is decided in space
        del parts["frozen_space"]
    return {name: _frozen_row(part) for name, part in parts.items()}


def frozen_codes(gates: Float[np.ndarray, "n l g"]) -> Float[np.ndarray, "l g"]:
    """The majority of discrete gates, the mean of soft ones."""
    mean = gates.mean(axis=0, dtype=np.float64).astype(np.float32)
    is_discrete = bool(np.isin(gates, (0.0, 1.0)).all())
    return (mean > 0.5).astype(np.float32) if is_discrete else mean


def mean_by_cell(
    cells: Int[np.ndarray, "n r r"], gates: Float[np.ndarray, "n r r k"]
) -> Float[np.ndarray, "c s k"]:
    """Mean gate of every parsing class and distance to the edge; where none was seen, of the
    distance alone, or of all.

    Args:
        cells: class and distance of every pixel, see ``silhouette_cells``.
        gates: of every pixel.
    """
    width = gates.shape[-1]
    flat, values = cells.reshape(-1), gates.reshape(-1, width).astype(np.float64)
    totals, counts = np.zeros((NUM_CELLS, width)), np.zeros((NUM_CELLS, 1))
    np.add.at(totals, flat, values)
    np.add.at(counts, flat, 1.0)
    shape = (NUM_PARSING_CLASSES, NUM_DISTANCES)
    totals, counts = totals.reshape(*shape, width), counts.reshape(*shape, 1)
    whole = values.mean(axis=0)
    of_distance, seen = totals.sum(axis=0), counts.sum(axis=0)
    usual = np.where(seen > 0, of_distance / np.maximum(seen, 1.0), whole)
    means = np.where(counts > 0, totals / np.maximum(counts, 1.0), usual[None])
    return means.astype(np.float32)


def _swaps(
    model: Swapper, plan: benchmark.PairPlan, batch_size: int, count: int
) -> Iterator[tuple[np.ndarray, SwapGates]]:
    """Targets and gates of swaps of the pairs of a plan."""
    resolution = int(model.config["resolution"])
    for numbers, valid in batches(count, batch_size):
        pair = benchmark.render_pairs(benchmark.take(plan, numbers), resolution)
        gates = model.swap(pair.source, pair.target).gates
        kept = SwapGates(
            pose=gates.pose[:valid],
            attributes=gates.attributes[:valid],
            probabilities=gates.probabilities[:valid],
            owners=gates.owners,
            space={side: x[:valid] for side, x in gates.space.items()},
        )
        yield np.asarray(pair.target)[:valid], kept


def _frozen_row(frozen: FrozenGates) -> Row:
    def row(model: Swapper, question: Question) -> RowImages:
        output = model.swap(question.source, question.target, frozen=frozen)
        return RowImages(output.image, output.mask, output.generated, output.gates)

    return row
