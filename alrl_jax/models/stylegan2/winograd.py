"""Convolutions of 3x3 pixels with fewer products.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(2x2, 3x3) draws a
tile of 2x2 pixels from 16 products of sums where the plain sum takes 36. The sums are passes over
memory, so it pays off where there are many channels.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

TILE = 2
"""Side of what is drawn at once; sees ``TILE + 2`` pixels a side."""


def convolve(
    x: Float[Array, "b h w i"], weight: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w o"]:
    """Plain correlation, zeros beyond the border; rounds at most about twice as much.

    Args:
        x: features of even height and width.
        weight: kernel.
    """
    batch, height, width, channels = x.shape
    rows, columns = height // TILE, width // TILE
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # What a tile sees overlaps its neighbours by exactly one tile, so views are slices of tiles.
    tiles = padded.reshape(batch, rows + 1, TILE, columns + 1, TILE, channels)

    def pixel(row: int, column: int) -> Float[Array, "b m n i"]:
        """That pixel of every tile's view, of 4x4."""
        y, i = divmod(row, TILE)
        z, j = divmod(column, TILE)
        return tiles[:, y : y + rows, i, z : z + columns, j]

    seen = _both_axes(_spread_view, [[pixel(i, j) for j in range(4)] for i in range(4)])
    kernels = _both_axes(_spread_kernel, [[weight[i, j] for j in range(3)] for i in range(3)])
    # The sum over channels is here, between the transforms: 16 products for four pixels.
    products = [
        [view.reshape(-1, channels) @ kernel for view, kernel in zip(*pair, strict=True)]
        for pair in zip(seen, kernels, strict=True)
    ]
    drawn = _both_axes(_gather, products)
    whole = jnp.stack([jnp.stack(row, axis=1) for row in drawn], axis=1)  # tile, i, j, channel
    whole = whole.reshape(batch, rows, columns, TILE, TILE, -1).transpose(0, 1, 3, 2, 4, 5)
    return whole.reshape(batch, height, width, -1)


def _both_axes(
    transform: Callable[..., list[Array]], table: Sequence[Sequence[Array]]
) -> list[list[Array]]:
    """Transforms the columns of a table of arrays, then its rows."""
    columns = [transform(*column) for column in zip(*table, strict=True)]
    return [transform(*row) for row in zip(*columns, strict=True)]


def _spread_view(a: Array, b: Array, c: Array, d: Array) -> list[Array]:
    return [a - c, b + c, c - b, b - d]


def _spread_kernel(a: Array, b: Array, c: Array) -> list[Array]:
    # The halves may stand in any of the three; kernels are the smallest arrays.
    return [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]


def _gather(a: Array, b: Array, c: Array, d: Array) -> list[Array]:
    return [a + b + c, b - c - d]
