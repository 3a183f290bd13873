"""How the frames of a video are meant to be seen: turned and mirrored by its display matrix.

Nine 32-bit numbers in the machine's order, rows ``a b u``, ``c d v`` and ``x y w``: the pixel
(x, y) is shown at (a x + c y, b x + d y). Source: the track header box of ISO/IEC 14496-12.
"""

from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

MOST_SKEW = 0.01
"""What of an axis may lie along the other, of 1."""

Matrix = Int[np.ndarray, "2 2"]
"""``a b`` and ``c d``, each of them 0, 1 or -1."""
UPRIGHT = np.eye(2, dtype=np.int64)


def read_matrix(data: Any) -> Matrix | None:
    """A display matrix by quarter turns and mirrorings alone; None where it does something else.

    Args:
        data: of the side data of a frame: 36 bytes.
    """
    values = np.frombuffer(data, np.int32)
    if values.size != 9:
        return None
    matrix = values.reshape(3, 3)[:2, :2].astype(np.float64)
    lengths = np.abs(matrix).max(axis=1, keepdims=True)
    if not lengths.all():
        return None
    matrix = matrix / lengths
    rounded = np.rint(matrix).astype(np.int64)
    skewed = np.abs(matrix - rounded).max() > MOST_SKEW
    return None if skewed or abs(round(float(np.linalg.det(rounded)))) != 1 else rounded


def shown(pixels: UInt8[np.ndarray, "h w 3"], matrix: Matrix) -> UInt8[np.ndarray, "_ _ 3"]:
    """Pixels as they are meant to be seen."""
    (a, b), (c, d) = matrix.tolist()
    if a == 0:
        pixels, (a, d) = pixels.swapaxes(0, 1), (c, b)
    return np.ascontiguousarray(pixels[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1])
