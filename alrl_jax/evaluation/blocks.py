"""What ``metrics.json`` holds of a measurement."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from alrl_jax.evaluation import pair_sets
from alrl_jax.evaluation.measuring import Measurement
from alrl_jax.evaluation.metric_table import (
    attainable_share,
    by_skin_tone,
    compare,
    means_of,
    summarise,
)
from alrl_jax.evaluation.rows import REFERENCE_ROWS, own_row


def blocks_of(
    found: Measurement, extra: dict[str, Any], bins: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """The blocks of ``metrics.json``: protocol, rows, comparisons with the model's own row.

    Args:
        found: one number a pair, by row and metric.
        extra: the fields of this benchmark's protocol.
        bins: bin of skin tone of every pair's target.
        names: of these bins; none where tones are unknown.
    """
    rows = {}
    for name, values in found.values.items():
        rows[name] = summarise(values, found.of_sets.get(name))
        if "reconstruction" in found.values:
            ends = found.values["target_image"], found.values["reconstruction"]
            rows[name]["attainable_share"] = attainable_share(values, *ends)
        if names:
            rows[name]["by_skin_tone"] = by_skin_tone(values, bins, names)
        if found.hard:
            hard = {reason: means_of(values, inside) for reason, inside in found.hard.items()}
            by_reason = {reason: hard.pop(reason) for reason in pair_sets.REASONS if reason in hard}
            rows[name] |= {"hard_pairs": hard} | ({"by_reason": by_reason} if by_reason else {})
    swaps, own = [n for n in found.values if n not in REFERENCE_ROWS], own_row(found.values)
    comparisons = {
        name: compare(found.values[own], found.values[name]) for name in swaps if name != own
    }
    return {"protocol": extra, "rows": rows, "comparisons": comparisons, "ablations": {}}
