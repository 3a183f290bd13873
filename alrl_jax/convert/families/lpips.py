"""LPIPS: torchvision's backbone and the LPIPS project's weights, or the ``lpips`` package's file.

Our modules bear torchvision's names.
"""

import re
from collections.abc import Callable

import numpy as np

from alrl_jax.convert.format import UNKNOWN_TERMS, Format
from alrl_jax.convert.networks import Network
from alrl_jax.convert.rules import Row
from alrl_jax.convert.same_names import same_names
from alrl_jax.convert.shapes import Config, shape_of, shapes_by
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_lpips
from alrl_jax.models.published import lpips

_TERMS = f"{UNKNOWN_TERMS}. What the LPIPS project published is under BSD-2-Clause"

_shapes = shapes_by(build_lpips, lambda _: [(1, 64, 64, 3), (1, 64, 64, 3)])
_rows = same_names(_shapes)


def _config(first: str) -> Callable[[Network], Config]:
    """The reader of the backbone, from the shape of its first kernel."""

    def read(network: Network) -> Config:
        shape = shape_of(network.tensors, first, 4)
        for name, backbone in lpips.BACKBONES.items():
            layer = backbone.layers[0]
            if shape == (layer.features, 3, layer.side, layer.side):
                return {"backbone": name}
        raise UserError(
            f"got {first} of shape {list(shape)}; expected the first kernel of AlexNet, "
            "[64, 3, 11, 11], or of VGG-16, [64, 3, 3, 3]; name torchvision's weights of one"
        )

    return read


def _package_rows(config: Config) -> dict[str, Row]:
    """The names of the ``lpips`` package, which cuts the backbone at the taps."""
    rows = _rows(config)
    cut = 1
    for layer in lpips.BACKBONES[config["backbone"]].layers:
        for leaf in ("weight", "bias"):
            row = rows.pop(f"features.{layer.number}.{leaf}")
            rows[f"net.slice{cut}.{layer.number}.{leaf}"] = row
        cut += layer.tap
    return rows


def _drop_known(network: Network) -> dict[str, str]:
    """Takes out what the ``lpips`` package holds twice, and what is the same in every LPIPS."""
    known: dict[str, np.ndarray | None] = {
        "scaling_layer.shift": lpips.SHIFT,
        "scaling_layer.scale": lpips.SCALE,
    }
    for name in network.tensors:
        match = re.fullmatch(r"lins\.(\d+\..*)", name)
        if match:
            known[name] = network.tensors.get(f"lin{match.group(1)}")
    found = [name for name in known if name in network.tensors]
    for name in found:
        value, expected = network.tensors.pop(name), known[name]
        if expected is None or not np.array_equal(value.reshape(-1), expected.reshape(-1)):
            raise UserError(f"got other numbers in {name} than LPIPS has; it is unsupported")
    return {"checked": ", ".join(found)} if found else {}


FORMATS: tuple[Format, ...] = (
    Format(
        kind="lpips",
        project="torchvision + LPIPS",
        signature=("features.0.weight", "lin0.model.1.weight"),
        read_config=_config("features.0.weight"),
        rows=_rows,
        shapes=_shapes,
        licence=_TERMS,
        apart=r"classifier\..*",
        files=("BACKBONE", "LIN"),
    ),
    Format(
        kind="lpips",
        project="lpips package",
        signature=("net.slice1.0.weight", "lin0.model.1.weight"),
        read_config=_config("net.slice1.0.weight"),
        rows=_package_rows,
        shapes=_shapes,
        licence=_TERMS,
        prepare=_drop_known,
    ),
)
