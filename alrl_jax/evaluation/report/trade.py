"""Identity against pose: a selection of codes that gains one may lose the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from alrl_jax.evaluation.report import svg
from alrl_jax.evaluation.report.scatter import scatter

ACROSS, UP = "pose_error_degrees", "identity_similarity"
FAR_OUT = "An arrow stands for a row that lies far out, with its figure."


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
    width: svg.Number = 760,
    front: Sequence[str] = (),
) -> Markup:
    """The rows as points; see ``scatter``.

    Args:
        points: see ``trade_points``.
        strong: the row in another colour.
        width: of the drawing in pixels.
        front: rows that a line joins.
    """
    return scatter(
        "Identity similarity to the source against pose error to the target",
        points,
        "pose error, degrees (left is better)",
        "identity similarity (up is better)",
        strong=strong,
        width=width,
        front=front,
    )
