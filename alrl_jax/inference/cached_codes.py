"""Codes of the faces of a data set, computed once and kept in the user's cache.

What is kept of a face is what a selection of codes and a blend read of it: its codes, its identity,
the region that a swap replaces. Files are named by everything that made them: the pixels, the
weights and the config of the networks, and the source of the modules that compute. A face, a
weight or a line that changed has another name, so that nothing stale can be read; whoever asks for
what is there reads it, whatever data set it was computed for.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Array, Float, Int, UInt8

import alrl_jax.models
from alrl_jax.data.records import Source, to_float
from alrl_jax.data.shard_files import progress_bar
from alrl_jax.errors import UserError
from alrl_jax.loading import SwapperModel
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.swapper.swapper import Networks, Swapper
from alrl_jax.types import LatentCodes
from alrl_jax.utils.files import atomic_write
from alrl_jax.utils.hashing import variables_sha256
from alrl_jax.utils.user_cache import cache_directory

FOLDER = "codes"
CHUNK = 64
"""Faces of one file."""
BATCH = 16
"""Faces that are encoded at a time: a divisor of ``CHUNK``."""
REGION_SIDE = 128
"""Side at which a region is kept, at most: a parser's own 512 px would be most of the memory."""
READ = ("encoder", "generator", "identity", "parser")
"""Networks on which the kept values depend; of the generator only the centre of W does."""


@flax.struct.dataclass
class FaceCodes:
    """What is kept of faces.

    Attributes:
        attributes: W+ codes.
        pose: pose codes; zero where the swapper has none.
        identity: unit identity embeddings.
        region: what a swap replaces, 0 to 255, as large as the encoder or the parser sees it, but
            of ``REGION_SIDE`` at most.
    """

    # Any array: they are also shapes, where nothing is computed.
    attributes: Float[Any, "b l d"]
    pose: Float[Any, "b p p c"]
    identity: Float[Any, "b e"]
    region: UInt8[Any, "b r r 1"]

    @property
    def latent(self) -> LatentCodes:
        """The codes as a selection reads them."""
        return LatentCodes(self.pose, self.attributes)


FIELDS = tuple(field.name for field in dataclasses.fields(FaceCodes))


def model_key(model: SwapperModel) -> str:
    """Names all that makes codes of pixels: weights, config, and the source of the networks."""
    digest = hashlib.sha256()
    variables = {name: model.variables[name] for name in READ if name in model.variables}
    centre = {"w_avg": variables.pop("generator")["constants"]["mapping"]["w_avg"]}
    digest.update(variables_sha256({**variables, "generator": centre}).encode())
    config = {n: v for n, v in model.config.items() if n not in ("selections", "pose", "lpips")}
    config["swap"] = {n: config["swap"].get(n) for n in ("mask", "face_labels")}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(jax.__version__.encode())
    folder = Path(str(alrl_jax.models.__file__)).parent
    for path in (Path(__file__), *sorted(folder.rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def codes_of(model: SwapperModel, source: Source, progress: bool = True) -> FaceCodes:
    """The codes of all faces of a data set, from the cache where they are in it.

    Args:
        model: whose encoder, identity net and parser see them.
        source: the faces.
        progress: whether to draw a progress bar.

    Raises:
        UserError: the faces are of another size, or the cache cannot be written.
    """
    side = int(model.config["resolution"])
    if source.layout.resolution != side:
        raise UserError(
            f"got faces of {source.layout.resolution} px; expected {side}, as the model draws; "
            "prepare the data set at that size"
        )
    key, swapper = model_key(model), model.module
    encode = jax.jit(lambda networks, images: codes_of_images(swapper, networks, images))
    folder = cache_directory() / FOLDER / key[:16]
    chunks = []
    with progress_bar(len(source), "codes", progress) as bar:
        for start in range(0, len(source), CHUNK):
            numbers = np.arange(start, min(start + CHUNK, len(source)))
            images = np.ascontiguousarray(source.read(numbers)["image"])
            chunks.append(_chunk(folder, key, images, model.networks, encode))
            bar.update(len(numbers))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)


def take(codes: FaceCodes, numbers: Int[np.ndarray, " b"]) -> FaceCodes:
    """The codes of some of the faces."""
    return jax.tree.map(lambda column: column[numbers], codes)


def codes_of_images(
    swapper: Swapper, networks: Networks, images: Float[Array, "b h w 3"]
) -> FaceCodes:
    """What is kept of faces, computed.

    Args:
        swapper: whose encoder, identity net and parser see them.
        networks: variables by network.
        images: faces, pixels in [-1, 1].
    """
    face = swapper.encode(networks, images)
    share = jax.nn.sigmoid(face.region_logits)
    share = ops.mean_pool(share, max(1, share.shape[1] // REGION_SIDE))
    region = jnp.rint(255 * share).astype(jnp.uint8)
    identity = swapper.embed(networks, images)
    return FaceCodes(face.codes.attributes, face.codes.pose, identity, region)


def _chunk(
    folder: Path,
    key: str,
    images: UInt8[np.ndarray, "b h w 3"],
    networks: Networks,
    encode: Any,
) -> FaceCodes:
    """Codes of a few faces, read or computed."""
    digest = hashlib.sha256(f"{key} {images.shape}".encode())
    digest.update(images.tobytes())
    path = folder / f"{digest.hexdigest()}.safetensors"
    known = _read(path, len(images))
    if known is not None:
        return known
    parts = []
    for start in range(0, len(images), BATCH):
        few = np.resize(images[start : start + BATCH], (BATCH, *images.shape[1:]))
        parts.append(jax.device_get(encode(networks, to_float(few))))
    codes = jax.tree.map(lambda *x: np.concatenate(x)[: len(images)], *parts)
    _write(path, {name: np.ascontiguousarray(getattr(codes, name)) for name in FIELDS})
    return codes


def _read(path: Path, count: int) -> FaceCodes | None:
    """What a file holds; None where there is none, or it is damaged and is computed again."""
    try:
        arrays = safetensors.numpy.load_file(path)
        codes = FaceCodes(**{name: arrays[name] for name in FIELDS})
    except (OSError, KeyError, safetensors.SafetensorError):
        return None
    whole = all(len(array) == count for array in jax.tree.leaves(codes))
    return codes if whole else None


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_bytes(safetensors.numpy.save(dict(arrays)))
    except OSError as error:
        raise UserError(
            f"got {path.parent} as the cache of codes ({error.strerror}); expected a folder with "
            f"room for {os.path.basename(path)}; free some, or set $XDG_CACHE_HOME"
        ) from error
