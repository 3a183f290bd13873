"""Identity against pose: a selection of codes that gains one may lose the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from alrl_jax.evaluation.report import svg

ACROSS, UP = "pose_error_degrees", "identity_similarity"


def trade_points(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Pose error and identity similarity of every row that has both.

    Args:
        rows: figures by row and metric; None where not measured.
    """
    return {
        name: (row[ACROSS], row[UP])
        for name, row in rows.items()
        if row[ACROSS] is not None and row[UP] is not None
    }


def drawing(
    points: Mapping[str, tuple[float, float]],
    strong: str,
    width: svg.Number = 460,
    front: Sequence[str] = (),
) -> str:
    """The rows as points; see ``svg.scatter``.

    Args:
        points: see ``trade_points``.
        strong: the row in another colour.
        width: of the drawing in pixels.
        front: rows that a line joins.
    """
    return svg.scatter(
        "identity similarity to the source against pose error to the target",
        points,
        "pose error, degrees (left is better)",
        "identity similarity (up is better)",
        strong=strong,
        width=width,
        front=front,
    )
