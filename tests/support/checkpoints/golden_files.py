"""Goldens as the checkpoints that their projects would write, and converted."""

from pathlib import Path

import numpy as np

from alrl_jax.convert.engine import convert_file
from tests.goldens.golden import Golden
from tests.support.checkpoints.torch_writer import save_torch

Tensors = dict[str, np.ndarray]


def lin_weights(golden: Golden) -> Tensors:
    """What the LPIPS project keeps beside a golden's backbone."""
    prefix = "lin/"
    return {k.removeprefix(prefix): v for k, v in golden.arrays.items() if k.startswith(prefix)}


def convert_golden(golden: Golden, kind: str, folder: Path) -> Path:
    """Writes a golden's weights, as two files where there are two, and converts them."""
    sources = [save_torch(folder / "network.pth", golden.tensors)]
    if lin_weights(golden):
        sources.append(save_torch(folder / "lin.pth", lin_weights(golden)))
    convert_file(sources, kind, folder / "model")
    return folder / "model"


def pixels(golden: Golden, name: str) -> np.ndarray:
    """Stored 8-bit pictures as images in [-1, 1]."""
    return golden.images(name).astype(np.float32) / np.float32(127.5) - np.float32(1)
