"""A swapper and a judge small enough to reason about: stand-ins that keep the real interfaces."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.pair_codes import FrozenGates
from alrl_jax.types import LatentCodes, SwapGates, SwapOutput

RESOLUTION = 16
LAYERS, GROUPS = 6, 2


PASTED = {
    "pose_from": "target",
    "identity_from": "source",
    "aligned": False,
    "aligned_source": False,
    "landmarks_from": "cascade",
    "landmarks_path": None,
    "min_confidence": 0.5,
    "detector_angles": ["0", "90", "180", "270"],
    "min_face": 0.02,
    "face": "largest",
    "source_face": "largest",
    "blend": "feather",
    "colour_match": False,
    "feather": 0.0,
    "detail": 1.0,
    "mark": True,
    "masks": False,
    "groups": [],
    "selector": None,
    "optimise": 0,
    "tune_generator": 0,
    "strict": False,
    "map": [],
    "deidentify": False,
    "on_failure": None,
    "pseudonyms": None,
    "distributed": None,
    "coordinator_address": None,
    "num_processes": None,
    "process_id": None,
}
"""Flags that ``infer`` and ``infer_frames`` share, with their default values."""
OF_PHOTOS = {
    "pairing": "all",
    "reference": [],
    "reference_similarity": 0.4,
    "average": False,
    "format": "png",
}
"""Flags that ``infer`` alone has, with their default values."""


class FakeSwapper:
    """Puts the middle of the source into the target; its images show what was asked of it."""

    kind = "swapper"
    selectors = ("adaptive", "mean")
    attribute_groups = ("identity", "pose", "expression")
    takes_features = False
    least_face_psnr = None
    samples_are_rendered = True

    def __init__(self, resolution: int = RESOLUTION) -> None:
        self.config: dict[str, Any] = {"resolution": resolution}
        self.variables = {"weights": {"w": np.arange(3, dtype=np.float32)}}
        self.calls: list[dict[str, Any]] = []

    def mask(self, batch: int) -> Array:
        r = self.config["resolution"]
        inside = (jnp.arange(r) >= r // 4) & (jnp.arange(r) < 3 * r // 4)
        square = (inside[:, None] & inside[None, :]).astype(jnp.float32)
        return jnp.broadcast_to(square[None, :, :, None], (batch, r, r, 1))

    def swap(
        self,
        source: Array,
        target: Array,
        pose_from: str = "target",
        identity_from: str = "source",
        groups: dict[str, str] | None = None,
        selector: str | None = None,
        frozen: FrozenGates | None = None,
    ) -> SwapOutput:
        batch = source.shape[0]
        self.calls.append({"shape": source.shape, "pose_from": pose_from, "array": source})
        source, target = jnp.asarray(source), jnp.asarray(target)
        if source.ndim == 5:
            source = source.mean(axis=1)
        generated = source if identity_from == "source" else target
        if selector == "mean":
            generated = (source + target) / 2
        mask = self.mask(batch)
        gates = SwapGates(
            pose=jnp.zeros((batch, GROUPS)),
            attributes=jnp.ones((batch, LAYERS, GROUPS)),
            owners=jnp.full((LAYERS, GROUPS, 3), 1 / 3),
            probabilities=jnp.ones((batch, LAYERS, GROUPS)),
        )
        codes = LatentCodes(jnp.zeros((batch, 4, 4, 2)), jnp.zeros((batch, LAYERS, 4)))
        image = mask * generated + (1 - mask) * target
        return SwapOutput(image, generated, mask, gates, codes)

    def sample_face(self, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        r = self.config["resolution"]
        return rng.uniform(-1, 1, (r, r, 3)).astype(np.float32)

    def asked(self, **_: Any) -> tuple[None, None]:
        return None, None

    def embed(self, images: Array) -> Array:
        if images.ndim == 5:
            images = jnp.asarray(images).mean(axis=1)
        coarse = jnp.asarray(images)[:, ::4, ::4].reshape(images.shape[0], -1)
        return coarse / jnp.linalg.norm(coarse, axis=-1, keepdims=True)

    def reconstruct(self, images: Array, with_features: bool = False) -> Array:
        return 0.9 * jnp.asarray(images)

    def silhouettes(self, images: Array, resolution: int) -> Array:
        return jnp.zeros((images.shape[0], resolution, resolution), jnp.int32)


class FakeJudge:
    """Reads made-up factors off coarse pixels: equal images get equal answers."""

    kind = "judge"

    def __init__(self, attributes: int, landmarks: int, resolution: int = RESOLUTION) -> None:
        self.config: dict[str, Any] = {"resolution": resolution}
        self.variables = {"weights": {"j": np.ones(2, np.float32)}}
        self.attributes, self.num_landmarks = attributes, landmarks

    def predict(self, images: Array) -> FaceFactors:
        images = jnp.asarray(images)
        batch = images.shape[0]
        flat = images[:, ::2, ::2].reshape(batch, -1)
        return FaceFactors(
            identity_vector=flat,
            attribute_vector=flat[:, : self.attributes],
            pose_degrees=30 * flat[:, :3],
            landmarks=0.5 + flat[:, : 2 * self.num_landmarks].reshape(batch, -1, 2) / 2,
        )

    def features(self, images: Array) -> list[Array]:
        images = jnp.asarray(images)
        return [images, images[:, ::2, ::2]]
