"""What the losses of a swap look at where they see smaller images than the generator draws."""

import dataclasses

import jax
from jaxtyping import Array, Float

from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.training.tasks.attribute_control import AttributeControl, keeps_background
from alrl_jax.training.tasks.swap_forward import Drawn, Encoded, SwapPairs
from alrl_jax.types import FaceBatch, PairBatch


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
    # Classes have no mean: the pixel in the middle of a square stands for it.
    middle = slice(factor // 2, None, factor)
    return dataclasses.replace(
        face,
        image=pool_images(face.image, side),
        parsing=face.parsing[:, middle, middle],
        landmarks=face.landmarks / factor,
    )


def pool_pairs(
    batch: PairBatch, target: FaceBatch, control: AttributeControl | None, side: int
) -> SwapPairs:
    """The pairs of a batch: whole for the networks, at ``side`` pixels for the losses.

    Args:
        batch: as the data have it.
        target: its targets as the networks see them.
        control: what pairs ask of their sources.
        side: that the losses see; 0 for whole images.
    """
    truth, witness, true_swap = jax.tree.map(
        lambda images: pool_images(images, side), (batch.target.image, batch.witness, batch.truth)
    )
    return SwapPairs(
        source=pool_faces(batch.source, side),
        target=pool_faces(target, side),
        truth=truth,
        same_identity=batch.same_identity,
        whole_source=batch.source.image,
        whole_target=target.image,
        witness=witness,
        true_swap=true_swap,
        keeps_background=keeps_background(control, batch.same_identity),
        control=control,
    )


def pool_drawn(drawn: Drawn, side: int) -> Drawn:
    """Images and mask at ``side`` pixels; 0 leaves them as they are."""
    images = (drawn.image, drawn.generated, drawn.mask, drawn.reconstructed)
    image, generated, mask, reconstructed = jax.tree.map(lambda x: pool_images(x, side), images)
    return dataclasses.replace(
        drawn, image=image, generated=generated, mask=mask, reconstructed=reconstructed
    )


def resize_encoding(encoding: FaceEncoding, side: int) -> FaceEncoding:
    """Region and parsing at ``side`` pixels, from however large the encoder saw the face."""
    region, parsing = encoding.region_logits, encoding.parsing_logits
    return dataclasses.replace(
        encoding,
        region_logits=resize_bilinear(region, side, side, align_corners=False),
        parsing_logits=resize_bilinear(parsing, side, side, align_corners=False),
    )


def resize_encoded(encoded: Encoded, side: int) -> Encoded:
    """All encodings at ``side`` pixels."""
    return Encoded(
        source=resize_encoding(encoded.source, side),
        target=resize_encoding(encoded.target, side),
        generated=resize_encoding(encoded.generated, side),
        identity=encoded.identity,
    )
