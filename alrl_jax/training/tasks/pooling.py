"""What the losses of a swap look at where they see smaller images than the generator draws."""

import dataclasses

from jaxtyping import Array, Float

from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.types import FaceBatch, SwapOutput


def pool_images(images: Float[Array, "b h w c"], side: int) -> Float[Array, "b r r c"]:
    """Means of squares of pixels, as pSp pools what it draws.

    Args:
        images: square images whose side is a multiple of ``side``.
        side: of the result; 0 leaves them as they are.
    """
    factor = images.shape[1] // side if side else 1
    return images if factor == 1 else ops.mean_pool(images, factor)


def pool_faces(face: FaceBatch, side: int) -> FaceBatch:
    """Faces at ``side`` pixels, their labels of every so many-th pixel; 0 leaves them alone."""
    factor = face.image.shape[1] // side if side else 1
    if factor == 1:
        return face
    middle = slice(factor // 2, None, factor)
    return dataclasses.replace(
        face,
        image=pool_images(face.image, side),
        parsing=face.parsing[:, middle, middle],
        landmarks=face.landmarks / factor,
    )


def pool_output(output: SwapOutput, side: int) -> SwapOutput:
    """Image, generated face and mask at ``side`` pixels; 0 leaves them as they are."""
    return dataclasses.replace(
        output,
        image=pool_images(output.image, side),
        generated=pool_images(output.generated, side),
        mask=pool_images(output.mask, side),
    )


def resize_encoding(encoding: FaceEncoding, side: int) -> FaceEncoding:
    """Region and parsing at ``side`` pixels."""
    region, parsing = encoding.region_logits, encoding.parsing_logits
    return dataclasses.replace(
        encoding,
        region_logits=resize_bilinear(region, side, side, align_corners=False),
        parsing_logits=resize_bilinear(parsing, side, side, align_corners=False),
    )
