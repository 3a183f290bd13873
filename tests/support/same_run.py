"""What two runs have to have in common: all but how fast they were, and on how much memory."""

import json
from pathlib import Path
from typing import Any

from alrl_jax.storage.workdir import OF_THE_MACHINE


def figures(line: dict[str, Any]) -> dict[str, Any]:
    """A line of ``metrics.jsonl`` without figures of time and memory."""
    return {name: x for name, x in line.items() if not name.startswith(OF_THE_MACHINE)}


def lines(workdir: Path) -> list[str]:
    """The lines of a run's ``metrics.jsonl`` without these, as text, to the digit."""
    text = (workdir / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.dumps(figures(json.loads(line))) for line in text.splitlines()]
