"""Small photos of noise, and swaps of them by a stand-in."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos.pair_list import PairFiles
from tests.support.fakes import FakeSwapper


def noise(seed: int, size: tuple[int, int] = (16, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def write_photo(path: Path, seed: int, size: tuple[int, int] = (16, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, size)).save(path)
    return path


def pairs_in(folder: Path, count: int) -> list[PairFiles]:
    return [
        PairFiles(write_photo(folder / f"s{i}.png", i), write_photo(folder / f"t{i}.png", 100 + i))
        for i in range(count)
    ]


def swapping(output: Path, model: FakeSwapper | None = None, **given: Any) -> Swapping:
    output.mkdir(exist_ok=True)
    settings = Settings(aligned=True)
    return Swapping(model or FakeSwapper(), settings, output, **given)
