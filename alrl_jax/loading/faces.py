"""Published networks that look at faces, as ``alrl_jax.load`` opens them.

They compute in full float32 on every device, as the projects that published them do.
"""

from typing import Any

import jax
from jaxtyping import Array, Float

from alrl_jax.loading.base import PRECISION, AnyImages, Model, PyTree
from alrl_jax.loading.checking import check_images
from alrl_jax.models.build import build_face_embedder, build_style_encoder
from alrl_jax.models.published.face_backbones import FaceEmbedder
from alrl_jax.models.published.psp import StyleEncoder


class _FaceModel(Model):
    """A network that takes faces of one size.

    Attributes:
        network: the module, without weights.
        resolution: side of the faces in pixels.
        channels: of the faces.
    """

    def __init__(
        self,
        kind: str,
        config: dict[str, Any],
        variables: PyTree,
        network: FaceEmbedder | StyleEncoder,
    ) -> None:
        super().__init__(kind, config, variables)
        self.resolution = int(config["resolution"])
        self.channels = int(config.get("input_channels", 3))
        self._apply = jax.jit(network.apply, static_argnames="method")

    def _run(self, images: AnyImages, method: str | None = None) -> Any:
        """What the network, or a method of it, gives for images of its size."""
        check_images(images, self.resolution, channels=self.channels)
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images, method=method)


class StyleEncoderModel(_FaceModel):
    """Kinds ``psp`` and ``e4e``: faces to W+ codes."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        self.network = build_style_encoder(config)
        super().__init__(kind, config, variables, self.network)

    def __call__(self, images: AnyImages) -> Float[Array, "b l d"]:
        """Codes for every layer of the generator, around ``latent_avg`` where there is one.

        Args:
            images: aligned faces in [-1, 1] of ``resolution`` pixels.

        Raises:
            UserError: if they have another shape, type or range.
        """
        return self._run(images)

    def features(self, images: AnyImages) -> list[Array]:
        """Maps at 1/4, 1/8 and 1/16 of the resolution, fine to coarse."""
        return self._run(images, "features")


class FaceEmbedderModel(_FaceModel):
    """Kinds ``arcface`` and ``iresnet``: faces to identities."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        self.network = build_face_embedder(config)
        super().__init__(kind, config, variables, self.network)

    def __call__(self, images: AnyImages) -> Float[Array, "b e"]:
        """Unit embeddings of identity.

        Args:
            images: faces in [-1, 1] of ``resolution`` pixels, aligned as for ArcFace.

        Raises:
            UserError: if they have another shape, type or range.
        """
        return self._run(images)
