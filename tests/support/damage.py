"""Damaged checkpoints, and what reading them leaves behind."""

import functools
import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def damage(workdir: Path, step: int) -> None:
    """Cuts every array file of a checkpoint short."""
    files = [p for p in (workdir / "checkpoints" / str(step)).rglob("d/*") if p.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:20])


def after_damage(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test in which a load fails.

    Such a load leaves tasks of Orbax behind, which complain when they end or are collected: this
    makes that happen within the test, and ignores it.
    """

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        try:
            test(*args, **kwargs)
        finally:
            time.sleep(0.2)
            gc.collect()

    return run
