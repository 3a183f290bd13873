"""Stored outputs of public PyTorch code, and the weights that made them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.goldens import weights

FOLDER = Path(__file__).parent
PROBES = FOLDER / "probes.npz"
"""Of every golden with weights, what they have to agree with."""


@dataclass(frozen=True)
class Golden:
    """One model: its description, its weights by their PyTorch names, and what it computed."""

    info: dict[str, Any]
    tensors: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]

    def images(self, name: str) -> np.ndarray:
        """A stored NCHW array as NHWC."""
        return nhwc(self.arrays[name])


def nhwc(x: np.ndarray) -> np.ndarray:
    """NCHW to NHWC."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def read_golden(name: str) -> Golden:
    """Reads one and checks that this numpy draws the weights it was made with."""
    info = json.loads((FOLDER / f"{name}.json").read_text())
    tensors = _draw(info)
    if tensors:
        with np.load(PROBES) as probes:
            weights.assert_same(tensors, probes[name])
    with np.load(FOLDER / f"{name}.npz") as stored:
        arrays = dict(stored)
    return Golden(info, tensors, arrays)


def _draw(info: dict[str, Any]) -> dict[str, np.ndarray]:
    return weights.fill(info["spec"], info.get("salt", "")) if "spec" in info else {}


def store_probes(name: str, file: Path = PROBES) -> None:
    """Adds the probes of a new golden to the file, on the machine that makes the golden."""
    stored = {}
    if file.exists():
        with np.load(file) as probes:
            stored = dict(probes)
    tensors = _draw(json.loads((FOLDER / f"{name}.json").read_text()))
    np.savez_compressed(file, **{**stored, name: weights.probes(tensors)})


def assert_close(
    actual: Any, expected: np.ndarray, worst: float = 2e-5, relative_l2: float = 5e-6
) -> None:
    """``worst``: largest deviation over the standard deviation of what is expected."""
    difference = np.asarray(actual, np.float64) - np.asarray(expected, np.float64)
    assert difference.shape == expected.shape
    scale = max(float(np.std(expected)), 1e-12)
    assert np.abs(difference).max() / scale < worst
    assert np.linalg.norm(difference) / np.linalg.norm(expected) < relative_l2
