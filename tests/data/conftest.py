"""What the tests of the data share: a cache of their own, and a source without files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RESOLUTION = 16


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def make_records() -> Callable[[np.ndarray], np.ndarray]:
    """Labelled records that are a function of their number alone."""
    from alrl_jax.data.world_faces import world_layout
    from alrl_jax.worlds import primitives

    layout = world_layout(RESOLUTION)

    def make(numbers: np.ndarray) -> np.ndarray:
        records = layout.empty(len(numbers))
        for place, number in enumerate(numbers):
            rng = np.random.default_rng(int(number))
            records["image"][place] = rng.integers(0, 256, (RESOLUTION, RESOLUTION, 3))
            records["parsing"][place] = rng.integers(0, 19, (RESOLUTION, RESOLUTION))
            records["identity_factors"][place] = rng.normal(size=len(primitives.IDENTITY_FACTORS))
            records["attribute_factors"][place] = rng.normal(size=len(primitives.ATTRIBUTE_FACTORS))
            records["pose_degrees"][place] = rng.normal(size=3)
            records["landmarks"][place] = rng.integers(0, 64, (len(primitives.LANDMARKS), 2)) / 4
        records["labelled"] = True
        return records

    return make


@pytest.fixture
def make_source(make_records: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """A source in memory from the person number of every image."""
    from alrl_jax.data.records import to_dict
    from alrl_jax.data.world_faces import world_layout

    class MemorySource:
        layout = world_layout(RESOLUTION)
        report: list[tuple[str, str]] = []

        def __init__(self, identities: np.ndarray) -> None:
            self.identities = np.asarray(identities, np.int32)
            self.records = make_records(np.arange(len(identities)))
            self.records["identity"] = self.identities

        def __len__(self) -> int:
            return len(self.identities)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return to_dict(self.records[index], index)

        def read(self, indices: np.ndarray) -> np.ndarray:
            return self.records[indices]

    return MemorySource
