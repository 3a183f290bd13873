"""Laws that single factors are drawn from, with mean and deviation in closed form.

Draws are made by NumPy, row by row, from the words of a JAX key: nothing has to be compiled.
"""

import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key


class Factor(NamedTuple):
    """The law of a factor.

    Attributes:
        low: least value.
        high: greatest value.
        law: "uniform"; "bell" (mean of two uniforms, so the middle is likeliest); "rare" (cube of
            a uniform, so that most draws lie near ``low``).
        unit: what the value is measured in.
        columns: numbers that it has.
    """

    low: float
    high: float
    law: str
    unit: str
    columns: int = 1


_MOMENTS = {
    "uniform": (1 / 2, math.sqrt(1 / 12)),
    "bell": (1 / 2, math.sqrt(1 / 24)),
    "rare": (1 / 4, math.sqrt(1 / 7 - 1 / 16)),
}


def moments(factor: Factor) -> tuple[float, float]:
    """Mean and standard deviation."""
    mean, deviation = _MOMENTS[factor.law]
    span = factor.high - factor.low
    return factor.low + span * mean, span * deviation


def uniforms(key: Key[Array, ""], stream: int, n: int, width: int) -> Float[np.ndarray, "n w"]:
    """Numbers from 0 to 1; row i depends on ``key``, ``stream`` and i alone."""
    words = np.asarray(jax.random.key_data(key)).tolist()
    rows = [np.random.default_rng([*words, stream, i]).random(width) for i in range(n)]
    return np.stack(rows) if rows else np.zeros((0, width))


def draw(
    table: dict[str, Factor], key: Key[Array, ""], stream: int, n: int
) -> dict[str, Float[np.ndarray, "n ..."]]:
    """Draws ``n`` entries; entry i depends on the key, the stream and i alone."""
    every, drawn, at = uniforms(key, stream, n, 2 * _width(table)), {}, 0
    for name, factor in table.items():
        k = factor.columns
        first, second = every[:, at : at + k], every[:, at + k : at + 2 * k]
        share = {"uniform": first, "bell": (first + second) / 2, "rare": first**3}[factor.law]
        values = (factor.low + (factor.high - factor.low) * share).astype(np.float32)
        drawn[name], at = (values if k > 1 else values[:, 0]), at + 2 * k
    return drawn


def _width(table: dict[str, Factor]) -> int:
    return sum(factor.columns for factor in table.values())


def standardised(
    table: dict[str, Factor], values: dict[str, Float[np.ndarray, "n ..."]]
) -> list[Float[np.ndarray, "n c"]]:
    """Columns of mean 0 and deviation 1, in the order of the table."""
    columns = []
    for name, factor in table.items():
        mean, deviation = moments(factor)
        found = np.asarray(values[name], np.float32)
        columns.append(((found - mean) / deviation).reshape(found.shape[0], -1))
    return columns


def column_names(table: dict[str, Factor], names: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Names of those columns; ``names`` are the columns of factors that have several."""
    return tuple(
        column
        for name, factor in table.items()
        for column in ((name,) if factor.columns == 1 else names[name])
    )
