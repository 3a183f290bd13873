"""The networks that measure pairs of photographs; each of them may be missing."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from alrl_jax.data.parsing_classes import bisenet_to_celebamask_channels
from alrl_jax.errors import UserError
from alrl_jax.evaluation.benchmark import face_pixels
from alrl_jax.evaluation.judging import resize
from alrl_jax.evaluation.presets import View
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
    """Who measures; None is not given, and what it alone can say is not measured.

    Attributes:
        identity: faces to unit embeddings; any model of ``presets.ROLES["identity"]``.
        pose: faces to degrees; of ``presets.ROLES["pose"]``.
        lpips: pairs of pictures to distances.
        inception: pictures to FID's features.
        parser: pictures to logits of classes.
    """

    identity: Any = None
    pose: Any = None
    lpips: Any = None
    inception: Any = None
    parser: Any = None

    def given(self) -> dict[str, Any]:
        """The judges that there are, by role."""
        return {name: model for name, model in vars(self).items() if model is not None}


@functools.partial(jax.jit, static_argnames=("view", "side"))
def cut_face(images: Images, view: View, side: int) -> Float[Array, "b {side} {side} 3"]:
    """The part of pictures that an identity net sees, at the size that it takes.

    Args:
        images: face crops in [-1, 1] of any size.
        view: see ``presets.View``.
        side: in pixels.
    """
    if view == "face":
        return crop_face(jnp.asarray(images), side)
    return resize(images, side)


def embed(model: Any, view: View, images: Images, face: Region | None) -> Float[np.ndarray, "b k"]:
    """Unit embeddings of identity.

    Args:
        model: an identity net.
        view: what it sees of a crop.
        images: face crops in [-1, 1].
        face: what the net may see of them, the rest is black; None shows all.
    """
    seen = jnp.asarray(images)
    if face is not None:
        seen = (seen + 1) * jnp.asarray(face) - 1
    return np.asarray(model(cut_face(seen, view, int(model.config["resolution"]))))


def pose_degrees(model: Any, images: Images) -> Float[np.ndarray, "b 3"]:
    """Yaw, pitch and roll of face crops in [-1, 1]."""
    if model.kind == "hopenet":
        return np.asarray(model(resize(images, hopenet.SIDE)))
    return np.asarray(model.predict(resize(images, int(model.config["resolution"]))).pose_degrees)


def face_region(model: Any, images: Images) -> Float[Array, "b h w 1"]:
    """1 where a parser sees a part of the face, at the pictures' size.

    Raises:
        UserError: the parser has other classes than those of CelebAMask-HQ.
    """
    logits = model(resize(images, PARSER_SIDE))
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


def describe_input(role: str, model: Any, view: View) -> str:
    """What a judge sees, in words."""
    if role == "identity" and view == "face":
        (top, bottom), (left, right) = CROP_ROWS, CROP_COLUMNS
        return (
            f"crop pooled to {CROP_FRAME} px, rows {top} to {bottom} and columns {left} to {right} "
            f"of it pooled to {int(model.config['resolution'])} px"
        )
    if role in ("lpips", "inception"):
        return "whole crop as it is"
    sides = {"hopenet": hopenet.SIDE, "face_parser": PARSER_SIDE}
    side = sides.get(model.kind) or int(model.config["resolution"])
    return f"whole crop, resized to {side} px"
