"""Published networks that look at faces, as ``alrl_jax.load`` opens them.

They compute in full float32 on every device, as the projects that published them do.
"""

from typing import Any

import jax
from jaxtyping import Array, Float

from alrl_jax.errors import UserError
from alrl_jax.loading.base import Model, PyTree
from alrl_jax.models.build import build_face_embedder, build_style_encoder
from alrl_jax.types import AnyArray

PRECISION = "highest"


class _FaceModel(Model):
    """A network that takes faces of one size.

    Attributes:
        resolution: side of the faces in pixels.
        channels: of the faces.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self.resolution = int(config["resolution"])
        self.channels = int(config.get("input_channels", 3))

    def _check(self, images: Float[AnyArray, "b h w c"]) -> None:
        expected = (self.resolution, self.resolution, self.channels)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise UserError(
                f"got images of shape {list(images.shape)}; expected [n, "
                f"{', '.join(map(str, expected))}] for kind {self.kind!r}; crop and resize them"
            )


class StyleEncoderModel(_FaceModel):
    """Kinds ``psp`` and ``e4e``: faces to W+ codes.

    Attributes:
        network: the module, without weights.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self.network = build_style_encoder(config)
        self._apply = jax.jit(self.network.apply, static_argnames="method")

    def __call__(self, images: Float[AnyArray, "b h w c"]) -> Float[Array, "b l d"]:
        """Codes for every layer of the generator, around ``latent_avg`` where there is one.

        Args:
            images: aligned faces in [-1, 1] of ``resolution`` pixels.

        Raises:
            UserError: if they have another shape.
        """
        self._check(images)
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images)

    def features(self, images: Float[AnyArray, "b h w c"]) -> list[Array]:
        """Maps at 1/4, 1/8 and 1/16 of the resolution, fine to coarse."""
        self._check(images)
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images, method="features")


class FaceEmbedderModel(_FaceModel):
    """Kinds ``arcface`` and ``iresnet``: faces to identities.

    Attributes:
        network: the module, without weights.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self.network = build_face_embedder(config)
        self._apply = jax.jit(self.network.apply)

    def __call__(self, images: Float[AnyArray, "b h w 3"]) -> Float[Array, "b e"]:
        """Unit embeddings of identity.

        Args:
            images: faces in [-1, 1] of ``resolution`` pixels, aligned as for ArcFace.

        Raises:
            UserError: if they have another shape.
        """
        self._check(images)
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images)
