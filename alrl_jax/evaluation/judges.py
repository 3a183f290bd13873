"""The networks that measure pairs of photos; each of them may be missing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from alrl_jax.data.parsing_classes import bisenet_to_celebamask_channels
from alrl_jax.errors import UserError
from alrl_jax.evaluation.benchmark import face_pixels
from alrl_jax.evaluation.judging import resize
from alrl_jax.evaluation.presets import View
from alrl_jax.loading import InceptionModel
from alrl_jax.loading.protocols import Described, DistanceNetwork, Judge, MeasuringNetwork
from alrl_jax.models.loss_networks import (
    CROP_COLUMNS,
    CROP_FRAME,
    CROP_ROWS,
    PARSER_SIDE,
    crop_face,
)
from alrl_jax.models.published import hopenet
from alrl_jax.types import AnyArray
from alrl_jax.worlds import primitives

Images = Float[AnyArray, "b h w 3"]
Region = Float[AnyArray, "b h w 1"]


@dataclasses.dataclass(frozen=True)
class Judges:
    """The judges by role. A role may be None; what it alone can measure is then not measured.

    Attributes:
        identity: faces to unit embeddings; any kind of ``presets.ROLES["identity"]``.
        pose: faces to degrees; any kind of ``presets.ROLES["pose"]``.
        lpips: pairs of images to distances.
        inception: images to FID's features.
        parser: images to logits of classes.
    """

    identity: MeasuringNetwork | None = None
    pose: MeasuringNetwork | Judge | None = None
    lpips: DistanceNetwork | None = None
    inception: InceptionModel | None = None
    parser: MeasuringNetwork | None = None

    def given(self) -> dict[str, Described]:
        """The judges that are not None, by role."""
        return {name: model for name, model in vars(self).items() if model is not None}


@functools.partial(jax.jit, static_argnames=("view", "side"))
def cut_face(images: Images, view: View, side: int) -> Float[Array, "b {side} {side} 3"]:
    """The part of images that an identity net sees, at the size that it takes.

    Args:
        images: face crops in [-1, 1] of any size.
        view: see ``presets.View``.
        side: in pixels.
    """
    if view == "face":
        return crop_face(jnp.asarray(images), side)
    return resize(images, side)


def embed(
    network: MeasuringNetwork, view: View, images: Images, face: Region | None
) -> Float[np.ndarray, "b k"]:
    """Unit embeddings of identity.

    Args:
        network: an identity net.
        view: the part of a crop that it sees.
        images: face crops in [-1, 1].
        face: 1 where the net sees the images; they are black elsewhere. None shows all.
    """
    seen = jnp.asarray(images)
    if face is not None:
        seen = (seen + 1) * jnp.asarray(face) - 1
    return np.asarray(network(cut_face(seen, view, int(network.config["resolution"]))))


def pose_degrees(network: MeasuringNetwork | Judge, images: Images) -> Float[np.ndarray, "b 3"]:
    """Yaw, pitch and roll of face crops in [-1, 1]."""
    if isinstance(network, Judge):
        side = int(network.config["resolution"])
        return np.asarray(network.predict(resize(images, side)).pose_degrees)
    return np.asarray(network(resize(images, hopenet.SIDE)))


def face_region(parser: MeasuringNetwork, images: Images) -> Float[Array, "b h w 1"]:
    """1 where a parser sees a part of the face, at the images' size.

    Raises:
        UserError: the parser has other classes than those of CelebAMask-HQ.
    """
    logits = parser(resize(images, PARSER_SIDE))
    if logits.shape[-1] != len(primitives.PARSING_LABELS):
        raise UserError(
            f"got --parser of {logits.shape[-1]} classes; expected the "
            f"{len(primitives.PARSING_LABELS)} of BiSeNet face parsers; name another"
        )
    classes = jnp.argmax(bisenet_to_celebamask_channels(logits), axis=-1)
    shares = jax.image.resize(
        face_pixels(classes), (*images.shape[:3], 1), "linear", antialias=True
    )
    return (shares >= 0.5).astype(jnp.float32)


def describe_input(role: str, judge: Described, view: View) -> str:
    """The input of a judge in words."""
    if role == "identity" and view == "face":
        (top, bottom), (left, right) = CROP_ROWS, CROP_COLUMNS
        return (
            f"crop pooled to {CROP_FRAME} px, rows {top} to {bottom} and columns {left} to {right} "
            f"of it pooled to {int(judge.config['resolution'])} px"
        )
    if role in ("lpips", "inception"):
        return "whole crop as it is"
    sides = {"hopenet": hopenet.SIDE, "face_parser": PARSER_SIDE}
    side = sides.get(judge.kind) or int(judge.config["resolution"])
    return f"whole crop, resized to {side} px"
