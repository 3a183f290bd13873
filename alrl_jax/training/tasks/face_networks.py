"""What task ``identity`` trains: a table of networks that read faces, by kind of model.

An analyser reads all known factors. The others are narrow versions of the published networks, with
which a recipe for photographs can be rehearsed on a world: each knows what its model knows and no
more, and takes its place under ``pretrained``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from alrl_jax.data.face_parsing import parser_network
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_analyser, build_identity_network, build_pose_network
from alrl_jax.models.face_analyser import FaceFactors, unit_length
from alrl_jax.models.functional import apply

Images = Float[Array, "b h w 3"]
Values = Mapping[str, Any]
Variables = Any


@flax.struct.dataclass
class Reading:
    """What a network reads from faces; None where it does not know.

    Attributes:
        factors: all that are known of a world's faces.
        embedding: unit identity embedding.
        pose_degrees: yaw, pitch, roll.
        parsing_logits: CelebAMask-HQ class of every pixel.
    """

    factors: FaceFactors | None = None
    embedding: Float[Array, "b e"] | None = None
    pose_degrees: Float[Array, "b 3"] | None = None
    parsing_logits: Float[Array, "b h w k"] | None = None


@dataclasses.dataclass(frozen=True)
class FaceNetwork:
    """A network that can be trained.

    Attributes:
        init: fresh variables, given faces.
        read: what it reads from faces.
    """

    init: Callable[[Key[Array, ""], Images], Variables]
    read: Callable[[Variables, Images], Reading]


def analyser(values: Values) -> FaceNetwork:
    """A regressor of everything that is known about a face."""
    network = build_analyser(values)

    def read(variables: Variables, images: Images) -> Reading:
        factors = apply(network, variables, images)
        return Reading(factors, unit_length(factors.identity_vector), factors.pose_degrees)

    return FaceNetwork(network.init, read)


def embedder(values: Values) -> FaceNetwork:
    """An ArcFace network, which sees a crop of the face and knows identities alone."""
    network = build_identity_network({"kind": "arcface", **values})
    return FaceNetwork(
        network.init, lambda variables, images: Reading(embedding=network.embed(variables, images))
    )


def pose_net(values: Values) -> FaceNetwork:
    """A Hopenet, which knows poses alone."""
    wrapped = build_pose_network(values)
    return FaceNetwork(
        _init_at(wrapped.network, wrapped.resolution),
        lambda variables, images: Reading(pose_degrees=wrapped.degrees(variables, images)),
    )


def parser(values: Values) -> FaceNetwork:
    """A BiSeNet, which knows what pixels show."""
    wrapped = parser_network(values, "the parser")

    def read(variables: Variables, images: Images) -> Reading:
        return Reading(parsing_logits=wrapped.logits(variables, images, images.shape[1]))

    return FaceNetwork(_init_at(wrapped.network, wrapped.resolution), read)


def _init_at(network: nn.Module, side: int) -> Callable[[Key[Array, ""], Images], Variables]:
    return lambda key, _: network.init(key, jnp.zeros((1, side, side, 3)))


@dataclasses.dataclass(frozen=True)
class Kind:
    """A row of ``KINDS``.

    Attributes:
        build: the network, from the plain values of its model directory.
        reads: names in ``Reading`` that it knows.
    """

    build: Callable[[Values], FaceNetwork]
    reads: tuple[str, ...]


_ANALYSER = Kind(analyser, ("factors", "embedding", "pose_degrees"))

KINDS: dict[str, Kind] = {
    "identity": _ANALYSER,
    "judge": _ANALYSER,
    "arcface": Kind(embedder, ("embedding",)),
    "hopenet": Kind(pose_net, ("pose_degrees",)),
    "face_parser": Kind(parser, ("parsing_logits",)),
}
"""What can be trained, by the kind of model that comes of it."""

NEEDED = {"class_logits": "embedding"}
"""Parts of a forward pass that are made of a reading of another name."""


def check_readings(kind: str, readers: Mapping[str, str]) -> None:
    """UserError if a loss reads what a kind of network does not know.

    Args:
        kind: key of ``KINDS``.
        readers: see ``losses.table.readers``.
    """
    known = KINDS[kind].reads
    for part, loss in readers.items():
        name = part.partition(".")[0]
        reading = NEEDED.get(name, name)
        if reading in Reading.__dataclass_fields__ and reading not in known:
            raise UserError(
                f"losses.{loss} has a weight with identity.kind {kind}; expected 0, as that reads "
                f"{' and '.join(known)} alone; set --config.losses.{loss}=0"
            )


def split_variables(variables: Variables) -> tuple[Variables, Variables]:
    """What is trained of a network, and the statistics of its normalisation, which are not."""
    held = {name: tree for name, tree in variables.items() if name != "params"}
    return {"params": variables["params"]}, held
