"""What is made small when the codes of one swap are refined, by the networks that are at hand.

An assembled swapper brings a parser, Hopenet and LPIPS where it was given them; one that was
trained in a world has an identity net that reads pose and attributes too.  The image that is judged
is the one that a user gets: the generated face in the target, through the mask of the start.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.build import (
    build_analyser,
    build_lpips,
    build_parser_network,
    build_pose_network,
)
from alrl_jax.models.loss_networks import ParserNetwork, PerceptualNetwork, PoseNetwork
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.swapper.blend import blend
from alrl_jax.models.swapper.swapper import Swapper

Images = Float[Array, "b h w 3"]
PyTree = Any

WEIGHTS: Mapping[str, float] = {
    "identity": 1.0,
    "pose": 0.5,
    "attributes": 0.3,
    "parsing": 0.5,
    "perceptual": 0.8,
    "colours": 1.0,
    "outside": 2.0,
}
"""Weights of the losses; see ``PairLosses.terms``."""

POSE_UNIT = 10.0
"""Degrees off that weigh one."""
PARSING_SIDE = 128
"""Side at which classes of pixels are compared, at most."""
PERCEPTUAL_SIDE = 256
COLOURS_SIDE = 8
"""Side of the pixels whose colours are compared where nothing finer is known of a face."""


@flax.struct.dataclass
class Wanted:
    """What a swap is compared with.

    Attributes:
        target: the faces that give everything but the identity.
        mask: of the blend, from the start.
        embedding: of the identity that is wanted.
        pose: yaw, pitch and roll that are wanted, where they can be read.
        attributes: of the target, where they can be read.
        parsing: probabilities of the classes of the target's pixels, where there is a parser.
    """

    target: Images
    mask: Float[Array, "b h w 1"]
    embedding: Float[Array, "b e"]
    pose: Float[Array, "b 3"] | None = None
    attributes: Float[Array, "b a"] | None = None
    parsing: Float[Array, "b r r k"] | None = None


@dataclasses.dataclass(frozen=True)
class PairLosses:
    """Losses of a swap, and the networks that they read.

    Attributes:
        swapper: brings the identity net.
        pose: None where no such network is at hand.
        parser: likewise.
        perceptual: likewise.
    """

    swapper: Swapper
    pose: PoseNetwork | None = None
    parser: ParserNetwork | None = None
    perceptual: PerceptualNetwork | None = None

    def wanted(
        self,
        networks: PyTree,
        target: Images,
        mask: Float[Array, "b h w 1"],
        identity: Images,
        pose: Images,
    ) -> Wanted:
        """What is read once, before the search.

        Args:
            networks: variables by network.
            target: faces that give everything else.
            mask: of the blend.
            identity: faces whose identity is wanted.
            pose: faces whose pose is wanted.
        """
        embedding = self.swapper.embed(networks, identity)
        degrees, _ = self._read(networks, pose)[1:]
        _, _, attributes = self._read(networks, target)
        parsing = None if self.parser is None else self._classes(networks, target)
        return Wanted(target, mask, embedding, degrees, attributes, parsing)

    def terms(self, networks: PyTree, generated: Images, wanted: Wanted) -> dict[str, Array]:
        """Every loss that the networks allow, image by image, without weights.

        ``identity``: one minus the cosine of the embeddings.  ``pose``: mean square of the angles
        off, in ``POSE_UNIT``.  ``attributes``: mean square of the target's factors off.
        ``parsing``: mean square of the classes' probabilities off.  ``perceptual``: LPIPS to the
        target.  ``colours``: of means over squares of pixels, where nothing else says how the face
        looks.  ``outside``: absolute difference of what is generated and the target outside the
        mask.
        """
        image = blend(generated, wanted.target, wanted.mask)
        embedding, degrees, attributes = self._read(networks, image)
        terms = {"identity": 1.0 - jnp.sum(embedding * wanted.embedding, axis=-1)}
        if degrees is not None and wanted.pose is not None:
            terms["pose"] = jnp.mean(jnp.square((degrees - wanted.pose) / POSE_UNIT), axis=-1)
        if attributes is not None and wanted.attributes is not None:
            terms["attributes"] = jnp.mean(jnp.square(attributes - wanted.attributes), axis=-1)
        if wanted.parsing is not None:
            off = jnp.square(self._classes(networks, image) - wanted.parsing)
            terms["parsing"] = jnp.mean(jnp.sum(off, axis=-1), axis=(1, 2))
        if self.perceptual is not None:
            seen = self.perceptual
            terms["perceptual"] = seen.distance(networks["lpips"], image, wanted.target)
        if terms.keys() <= {"identity", "pose"}:
            terms["colours"] = _colours(image, wanted.target)
        outside = (1.0 - wanted.mask) * jnp.abs(generated - wanted.target)
        return terms | {"outside": jnp.mean(outside, axis=(1, 2, 3))}

    def total(self, networks: PyTree, generated: Images, wanted: Wanted) -> Float[Array, " b"]:
        """The weighted sum of the losses."""
        terms = self.terms(networks, generated, wanted)
        return sum((WEIGHTS[n] * x for n, x in terms.items()), jnp.zeros(len(generated)))

    def _read(self, networks: PyTree, images: Images) -> tuple[Array, Array | None, Array | None]:
        """Embedding, pose and attributes, the latter two where something reads them."""
        embedding, factors = self.swapper.identity.read(networks["identity"], images)
        if self.pose is not None:
            degrees = self.pose.degrees(networks["pose"], images)
        else:
            degrees = None if factors is None else factors.pose_degrees
        return embedding, degrees, None if factors is None else factors.attribute_vector

    def _classes(self, networks: PyTree, images: Images) -> Float[Array, "b r r k"]:
        assert self.parser is not None
        side = min(self.parser.resolution, images.shape[1], PARSING_SIDE)
        return jax.nn.softmax(self.parser.logits(networks["parser"], images, side))


def losses_of(swapper: Swapper, config: Mapping[str, Any]) -> PairLosses:
    """The losses that a swapper's own networks allow.

    Args:
        swapper: its modules.
        config: of its model directory: ``parser``, ``pose`` and ``lpips`` where it has them.
    """
    pose = build_pose_network(config["pose"]) if "pose" in config else None
    parser = None
    if "parser" in config:
        parser = build_parser_network(config["parser"], tuple(config["parser"]["class_ids"]))
    perceptual = None
    if "lpips" in config:
        known = config["lpips"]
        network = build_lpips(known) if known["kind"] == "lpips" else build_analyser(known)
        side = min(PERCEPTUAL_SIDE, int(config["resolution"]), int(known.get("resolution", 10**6)))
        perceptual = PerceptualNetwork(network, side)
    return PairLosses(swapper, pose, parser, perceptual)


def _colours(a: Images, b: Images) -> Float[Array, " b"]:
    factor = max(1, a.shape[1] // COLOURS_SIDE)
    off = jnp.square(ops.mean_pool(a, factor) - ops.mean_pool(b, factor))
    return jnp.mean(off, axis=(1, 2, 3))
