"""Published networks that measure faces, as ``alrl_jax.load`` opens them.

They compute in full float32 on every device: figures are to be compared with those of others.
"""

from typing import Any

import jax
from jaxtyping import Array, Float

from alrl_jax.errors import UserError
from alrl_jax.loading.base import PRECISION, AnyImages, Images, Model, PyTree
from alrl_jax.loading.checking import check_images
from alrl_jax.models.build import (
    build_face_parser,
    build_hopenet,
    build_inception,
    build_lpips,
)
from alrl_jax.models.functional import apply
from alrl_jax.models.published import hopenet, inception, lpips
from alrl_jax.types import AnyArray

Others = Float[AnyArray, "_ _ _ 3"]
"""Images whose size is compared with that of the first ones, to say both in the error."""


class LPIPSModel(Model):
    """Kind ``lpips``: how different two images look."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self._network = build_lpips(config)
        self._min_side = lpips.BACKBONES[self._network.backbone].min_side
        self._distances = jax.jit(self.distances)

    def __call__(self, a: AnyImages, b: AnyImages) -> Float[Array, " b"]:
        """Distances, pair by pair.

        Args:
            a: images in [-1, 1].
            b: others of the same size.

        Raises:
            UserError: if sizes differ, or images are too small for the backbone.
        """
        for name, images in (("a", a), ("b", b)):
            check_images(images, name=name)
        return self._distances(self.variables, a, b)

    def distances(self, variables: PyTree, a: Images, b: Others) -> Float[Array, " b"]:
        """``__call__`` with the weights as an argument, for other compiled functions."""
        if a.shape != b.shape or min(a.shape[1:3]) < self._min_side:
            raise UserError(
                f"got images of shapes {list(a.shape)} and {list(b.shape)}; expected equal ones of "
                f"at least {self._min_side} x {self._min_side} pixels; resize them"
            )
        with jax.default_matmul_precision(PRECISION):
            return apply(self._network, variables, a, b)


class FaceParserModel(Model):
    """Kind ``face_parser``: what every pixel of a face shows."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        network = build_face_parser(config)
        self._apply = jax.jit(lambda variables, images: apply(network, variables, images)[0])

    def __call__(self, images: AnyImages) -> Float[Array, "b h w n"]:
        """Logits of the classes, in the order of the checkpoint.

        Args:
            images: face crops in [-1, 1], for the published weights of 512 x 512 pixels.
        """
        check_images(images)
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images)


class HopenetModel(Model):
    """Kind ``hopenet``: where a head points.

    Attributes:
        resolution: side of the images in pixels, 224 of the published weights.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        network = build_hopenet(config)
        self.resolution = int(config.get("resolution", hopenet.SIDE))
        self._apply = jax.jit(
            lambda variables, images: hopenet.expected_degrees(apply(network, variables, images))
        )

    def __call__(self, images: AnyImages) -> Float[Array, "b 3"]:
        """Yaw, pitch and roll in degrees.

        Args:
            images: face crops in [-1, 1] of ``resolution`` pixels a side.

        Raises:
            UserError: on another size.
        """
        check_images(images, self.resolution)
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images)


class InceptionModel(Model):
    """Kind ``inception``: the features by which FID compares sets of images."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        # Apart, so that images of another size compile the resize alone.
        self._resize = jax.jit(inception.resize_for_inception)
        self._apply = jax.jit(build_inception(config).apply)

    def __call__(self, images: AnyImages) -> Float[Array, "b 2048"]:
        """Features of images of any size in [-1, 1]."""
        check_images(images)
        return self.features(self._resize(images))

    def features(self, images: Float[AnyArray, "b 299 299 3"]) -> Float[Array, "b 2048"]:
        """Features of images that ``resize_for_inception`` made."""
        with jax.default_matmul_precision(PRECISION):
            return self._apply(self.variables, images)
