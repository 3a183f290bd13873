"""An earlier evaluation: its figures and swaps, and whether another may be compared with it."""

import json
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.evaluation.report.gallery import BEFORE, file_name
from alrl_jax.evaluation.rows import own_row


def read_before(path: Path, most: int | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The metrics and swaps of an earlier evaluation.

    Args:
        path: its output directory, or its ``metrics.json``.
        most: how many of its first swaps to read; None for all.

    Raises:
        UserError: no metrics there.
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        own = own_row(metrics["rows"])
        metrics["rows"][own]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"got --before={path} ({error}); expected the output of an evaluation; check the path"
        ) from error
    images = sorted((file.parent / "report").glob(f"{own}_*.png"))[:most]
    return metrics, {file_name(BEFORE, i): p.read_bytes() for i, p in enumerate(images)}


def check_comparable(before: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Makes sure that an earlier evaluation measured the same pairs with the same judge.

    Args:
        before: its ``metrics.json``.
        wanted: fields of the protocol that must be equal.

    Raises:
        UserError: naming what differs.
    """
    found = before.get("protocol", {})
    differing = [
        f"{name} {found.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    if differing:
        raise UserError(
            f"got --before with {'; '.join(differing)}; expected an evaluation of the same pairs "
            "by the same judge; run it again with the flags of this one"
        )
