"""Face analysers, as ``alrl_jax.load`` opens them: identity nets, and the judges of evaluations."""

from typing import Any

import jax
from jaxtyping import Array, Float

from alrl_jax.loading.base import AnyImages, Model, PyTree
from alrl_jax.loading.checking import check_images
from alrl_jax.models.build import build_analyser
from alrl_jax.models.face_analyser import FaceFactors


class AnalyserModel(Model):
    """Kinds ``identity`` and ``judge``: faces to the factors that made them."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self._apply = jax.jit(build_analyser(config).apply, static_argnames="method")
        self._side = config.get("resolution")

    def __call__(self, images: AnyImages) -> Float[Array, "b e"]:
        """Unit embeddings of identity."""
        check_images(images, self._side)
        return self._apply(self.variables, images, method="embed")

    def predict(self, images: AnyImages) -> FaceFactors:
        """Identity, attributes, pose in degrees and landmarks as a share of the image's size."""
        check_images(images, self._side)
        return self._apply(self.variables, images)

    def features(self, images: AnyImages) -> list[Array]:
        """Feature maps, fine to coarse."""
        check_images(images, self._side)
        return self._apply(self.variables, images, method="features")
