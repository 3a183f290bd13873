"""Means with intervals, and differences of rows measured on the same pairs."""

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000
SEED = 20230304


def resample_indices(count: int, resamples: int = RESAMPLES) -> Int[np.ndarray, "r n"]:
    """Pairs drawn with replacement; the same for every row, so that rows stay paired."""
    return np.random.default_rng(SEED).integers(0, count, (resamples, count))


def mean_or_none(values: Float[np.ndarray, " n"]) -> float | None:
    """The mean of what was measured; None where nothing was."""
    measured = values[~np.isnan(values)]
    return float(np.mean(measured, dtype=np.float64)) if measured.size else None


def bootstrap_interval(values: Float[np.ndarray, " n"]) -> list[float] | None:
    """95% percentile-bootstrap interval of the mean over pairs.

    Args:
        values: one number a pair; NaN where it was not measured.

    Returns:
        ``[low, high]``, or None where nothing was measured.
    """
    measured = ~np.isnan(values)
    if not measured.any():
        return None
    drawn = resample_indices(len(values))
    weights = measured[drawn].astype(np.float64)
    totals = np.where(measured, values, 0.0)[drawn].sum(axis=1, dtype=np.float64)
    counts = weights.sum(axis=1)
    means = totals[counts > 0] / counts[counts > 0]
    low, high = np.percentile(means, (2.5, 97.5))
    return [float(low), float(high)]


def wilson_interval(hits: int, count: int) -> list[float]:
    """95% interval of a share of counted hits; it has a width where none or all were hit.

    Source: Wilson 1927, the score interval.

    Args:
        hits: of ``count`` trials.
        count: at least 1.
    """
    z = 1.959964
    share, spread = hits / count, z * z / count
    middle = share + spread / 2
    half = z * ((share * (1 - share) + spread / 4) / count) ** 0.5
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return [0.0 if hits == 0 else low, 1.0 if hits == count else high]


def paired_difference(
    values: Float[np.ndarray, " n"], others: Float[np.ndarray, " n"]
) -> dict[str, float | list[float] | None]:
    """Mean of ``values - others`` over the pairs that have both, with its interval."""
    apart = values - others
    return {"difference": mean_or_none(apart), "ci95": bootstrap_interval(apart)}
