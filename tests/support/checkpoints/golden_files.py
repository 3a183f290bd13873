"""Goldens as the checkpoints that their projects would write, and converted."""

import json
from pathlib import Path

import numpy as np

from alrl_jax.convert.engine import Converted, convert, convert_file
from alrl_jax.convert.finding import choose, find_networks
from tests.goldens.golden import FOLDER, Golden
from tests.support.checkpoints.torch_writer import save_torch

Tensors = dict[str, np.ndarray]

MEASURING_GOLDENS = {
    "face_parser": "bisenet_parsing",
    "hopenet": "hopenet",
    "inception": "fid_inception",
}
"""Goldens of measuring networks by the kind of network."""


def blank_tensors(kind: str) -> Tensors:
    """Tensors of the names and shapes of a golden, without numbers worth drawing."""
    spec = json.loads((FOLDER / f"{MEASURING_GOLDENS[kind]}.json").read_text())["spec"]
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in spec.items()}


def convert_tensors(tensors: Tensors, kind: str) -> Converted:
    """Converts tensors that are in memory already."""
    return convert(choose(find_networks(tensors)[0], kind))


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
    """Stored 8-bit images as images in [-1, 1]."""
    return golden.images(name).astype(np.float32) / np.float32(127.5) - np.float32(1)
