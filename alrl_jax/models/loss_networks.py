"""Frozen networks of a swapper's losses, our own and published ones: one interface for each kind.

Each says what it can tell of an image and takes its weights as an argument. Published networks see
faces as their own projects show them: the identity net a crop, the parser 512 pixels.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Key

from alrl_jax.models.face_analyser import FaceAnalyser, FaceFactors, feature_distance, unit_length
from alrl_jax.models.functional import apply
from alrl_jax.models.published.face_backbones import FaceEmbedder
from alrl_jax.models.published.face_parser import FaceParser
from alrl_jax.models.published.hopenet import Hopenet, expected_degrees
from alrl_jax.models.published.lpips import LPIPS
from alrl_jax.models.resize import adaptive_pool_matrix, resize_bilinear, resize_nearest
from alrl_jax.models.stylegan2 import ops

Variables = Any

CROP_FRAME = 256
CROP_ROWS = (35, 223)
CROP_COLUMNS = (32, 220)
"""What pSp's identity loss sees of an FFHQ crop that is pooled to ``CROP_FRAME`` pixels."""

PARSER_SIDE = 512
"""Side of the images for which the published face parser was trained."""


def crop_face(images: Float[Array, "b h w 3"], side: int) -> Float[Array, "b {side} {side} 3"]:
    """The face within an FFHQ crop, as pSp's identity loss cuts it out.

    The image is pooled to ``CROP_FRAME`` pixels, the rows ``CROP_ROWS`` and the columns
    ``CROP_COLUMNS`` of that are pooled to ``side`` pixels, both with the bins of PyTorch's
    ``AdaptiveAvgPool2d``. A product with one small matrix an axis does all of it.

    Args:
        images: square FFHQ crops of any size.
        side: of the result, 112 for ArcFace.
    """
    rows = _crop_matrix(images.shape[1], *CROP_ROWS, side)
    columns = _crop_matrix(images.shape[2], *CROP_COLUMNS, side)
    product = functools.partial(jnp.einsum, precision="highest")
    # Columns first: XLA's compiler for GPUs finds no tiles for the rows of a whole image.
    narrow = product("bhwc,jw->bhjc", images.astype(jnp.float32), columns)
    return product("ih,bhjc->bijc", rows, narrow)


def resize_smoothly(images: Float[Array, "b h w c"], side: int) -> Float[Array, "b n n c"]:
    """Square images at another size: no pixel is skipped where they shrink, and all have a slope.

    Args:
        images: of any size.
        side: of the result in pixels.
    """
    factor = images.shape[1] // side
    pooled = ops.mean_pool(images, factor) if factor > 1 else images
    return resize_bilinear(pooled, side, side, align_corners=False)


def _crop_matrix(size: int, start: int, stop: int, side: int) -> Float32[np.ndarray, "{side} h"]:
    frame = adaptive_pool_matrix(size, CROP_FRAME)
    crop = adaptive_pool_matrix(stop - start, side)
    return (crop @ frame[start:stop]).astype(np.float32)


class CroppedEmbedder(FaceEmbedder):
    """An ArcFace network that finds its crop in an FFHQ crop; its variables are those of that."""

    def embed(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Unit embeddings of FFHQ crops of any size, pixels in [-1, 1]."""
        return self(crop_face(images, self.resolution))


@dataclasses.dataclass(frozen=True)
class IdentityNetwork:
    """The identity of a face, in a loss and as an input of the selection.

    Attributes:
        network: our analyser, which also reads factors and has features to compare, or a published
            embedder, which has neither.
        side: of the images that an analyser knows, to which larger ones are pooled; 0 if all.
    """

    network: FaceAnalyser | CroppedEmbedder
    side: int = 0

    @property
    def knows_factors(self) -> bool:
        """Whether ``read`` gives factors, and a ``PerceptualNetwork`` can be made of it."""
        return isinstance(self.network, FaceAnalyser)

    def init(self, key: Key[Array, ""], images: Float[Array, "b h w 3"]) -> Variables:
        """Fresh variables."""
        return self.network.init(key, self._pool(images), method="embed")

    def embed(self, variables: Variables, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Unit identity embeddings of faces with pixels in [-1, 1]."""
        return apply(self.network, variables, self._pool(images), method="embed")

    def read(
        self, variables: Variables, images: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b e"], FaceFactors | None]:
        """Unit embeddings, and in the same pass the factors where the network knows them."""
        if not self.knows_factors:
            return self.embed(variables, images), None
        factors = apply(self.network, variables, self._pool(images))
        return unit_length(factors.identity_vector), factors

    def _pool(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b r r 3"]:
        return _pooled(images, self.side if self.knows_factors else 0)


@dataclasses.dataclass(frozen=True)
class PerceptualNetwork:
    """How different images look.

    Attributes:
        network: LPIPS, or our analyser, whose features are then compared without weights.
        side: of the images that it compares, to which larger ones are pooled; 0 if all.
    """

    network: LPIPS | FaceAnalyser
    side: int = 0

    def distance(
        self,
        variables: Variables,
        image: Float[Array, "b h w 3"],
        reference: Float[Array, "b h w 3"],
    ) -> Float[Array, " b"]:
        """Distances of images to a reference each."""
        # Image and reference apart: joined to one batch, they would be gathered from the devices.
        method = "taps" if isinstance(self.network, LPIPS) else "features"
        seen = [_pooled(images, self.side) for images in (image, reference)]
        maps = [apply(self.network, variables, images, method=method) for images in seen]
        if isinstance(self.network, LPIPS):
            return jnp.sum(apply(self.network, variables, *maps, method="compare"), axis=-1)
        return feature_distance(*maps)


@dataclasses.dataclass(frozen=True)
class PoseNetwork:
    """Where a head points.

    Attributes:
        network: Hopenet.
        resolution: side of the images that it knows, in pixels.
    """

    network: Hopenet
    resolution: int

    def degrees(self, variables: Variables, images: Float[Array, "b h w 3"]) -> Float[Array, "b 3"]:
        """Yaw, pitch and roll of square face crops in [-1, 1] of any size; has a gradient."""
        seen = resize_smoothly(images, self.resolution)
        return expected_degrees(apply(self.network, variables, seen))


@dataclasses.dataclass(frozen=True)
class ParserNetwork:
    """What every pixel of a face shows, where no data set says so.

    Attributes:
        network: the parser.
        resolution: side of the images that it knows, in pixels.
        class_ids: class in our order of each class of the network.
    """

    network: FaceParser
    resolution: int
    class_ids: tuple[int, ...]

    def logits(
        self, variables: Variables, images: Float[Array, "b h w 3"], side: int
    ) -> Float[Array, "b {side} {side} k"]:
        """Logits of our classes in every pixel of square images in [-1, 1]; they have a gradient.

        Args:
            variables: of the network.
            images: of any size.
            side: of the result in pixels.
        """
        seen = resize_bilinear(images, self.resolution, self.resolution, align_corners=False)
        logits = apply(self.network, variables, seen)[0]
        logits = resize_bilinear(logits, side, side, align_corners=False)
        return logits[..., np.argsort(self.class_ids)]

    def labels(
        self, variables: Variables, images: Float[Array, "b h w 3"], side: int
    ) -> Int[Array, "b {side} {side}"]:
        """Classes of the pixels of square images in [-1, 1]; has no gradient.

        The network sees the images at its own resolution. For a smaller result, its logits are
        resized before the decision; for a larger one, decisions are repeated.

        Args:
            variables: of the network.
            images: of any size.
            side: of the result in pixels.
        """
        variables, images = jax.lax.stop_gradient((variables, images))
        seen = resize_bilinear(images, self.resolution, self.resolution, align_corners=False)
        logits = apply(self.network, variables, seen)[0]
        if side < self.resolution:
            logits = resize_bilinear(logits, side, side, align_corners=False)
        classes = jnp.asarray(self.class_ids)[jnp.argmax(logits, axis=-1)]
        return resize_nearest(classes[..., None], side, side)[..., 0]


def _pooled(images: Float[Array, "b h w 3"], side: int) -> Float[Array, "b r r 3"]:
    """Images at ``side`` pixels, which divide theirs; 0 leaves them as they are."""
    factor = images.shape[1] // side if side else 1
    return images if factor == 1 else ops.mean_pool(images, factor)
