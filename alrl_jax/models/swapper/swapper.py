"""The face swapper: encode both faces, select codes, generate, blend."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from alrl_jax.models.functional import apply
from alrl_jax.models.loss_networks import IdentityNetwork
from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.stylegan2.generator import Generator
from alrl_jax.models.swapper.backbones import Encoder
from alrl_jax.models.swapper.blend import blend, blend_mask, face_ellipse
from alrl_jax.models.swapper.encoder import NUM_PARSING_CLASSES, FaceEncoding
from alrl_jax.models.swapper.selection import (
    FROM_SOURCE,
    FROM_TARGET,
    LEARNED,
    GateNoise,
    PairCodes,
    Selector,
    effective_weights,
    fixed_swap,
)
from alrl_jax.types import LatentCodes, SwapGates, SwapOutput

Networks = Mapping[str, Any]
"""Variables by network: ``encoder``, ``swap``, ``generator``, ``identity``."""


@dataclasses.dataclass(frozen=True)
class PoseSpace:
    """Where pose lives.

    Attributes:
        uses_const: whether the encoder's spatial code is added to the generator's constant.
        coarse_layers: how many of the coarsest W+ codes are always those of the pose face.
    """

    uses_const: bool
    coarse_layers: int


POSE_SPACES: dict[str, PoseSpace] = {
    "spatial_const": PoseSpace(uses_const=True, coarse_layers=0),
    "coarse_codes": PoseSpace(uses_const=False, coarse_layers=3),
    "none": PoseSpace(uses_const=False, coarse_layers=0),
}
"""``spatial_const``: a 4x4 code moves the constant. ``coarse_codes``: the W+ codes up to 8x8."""

MASKS = ("learned", "ellipse", "none")
"""What can blend; see ``Swapper``."""


@dataclasses.dataclass(frozen=True)
class Swapper:
    """The networks of a swap and how they work together; holds no weights.

    Attributes:
        encoder: dual-space encoder.
        selector: selection of codes that the swapper is trained with.
        generator: StyleGAN2 generator.
        identity: net whose unit embedding of the source guides the selection.
        pose_space: row of ``POSE_SPACES``.
        feather: width of the blend's soft edge around the face, in pixels of the images that the
            encoder sees.
        encoder_resolution: side of these images, to which larger ones are pooled; 0 if all that
            the swapper sees.
        mask: what blends: ``learned``, the encoder's region head; ``ellipse``, the same place in
            every picture; ``none``, nothing, so that the swap is the generated face.
        head_labels: parsing classes of a head, which is replaced as a whole where the pose is the
            source's; none where the encoder has not learned to parse: then the face alone is.
    """

    encoder: Encoder
    selector: Selector
    generator: Generator
    identity: IdentityNetwork
    pose_space: str
    feather: int
    encoder_resolution: int = 0
    mask: str = "learned"
    head_labels: tuple[int, ...] = ()

    def init(self, key: Key[Array, ""], images: Float[Array, "b h w 3"]) -> dict[str, Any]:
        """Fresh variables of all four networks.

        Args:
            key: seeds the weights.
            images: a batch whose shape and type the networks will see.
        """
        keys = jax.random.split(key, 4)
        latents = jnp.zeros((images.shape[0], self.generator.z_dim))
        generator = self.generator.init(keys[0], latents)
        encoder = self.encoder.init(keys[1], self._pool(images), _w_avg(generator))
        identity = self.identity.init(keys[2], images)
        networks = {"encoder": encoder, "generator": generator, "identity": identity}
        codes = self.encode(networks, images).codes
        faces = PairCodes(codes, codes, self.embed(networks, images))
        swap = self.selector.init(keys[3], faces, self.overrides({}))
        return {**networks, "swap": swap}

    def encode(self, networks: Networks, images: Float[Array, "b h w 3"]) -> FaceEncoding:
        """Codes, region and parsing of faces; the latter two as large as the encoder sees them."""
        seen, w_avg = self._pool(images), _w_avg(networks["generator"])
        encoding = apply(self.encoder, networks["encoder"], seen, w_avg)
        if POSE_SPACES[self.pose_space].uses_const:
            return encoding
        pose = jnp.zeros_like(encoding.codes.pose)
        return dataclasses.replace(encoding, codes=dataclasses.replace(encoding.codes, pose=pose))

    def embed(self, networks: Networks, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Unit identity embeddings."""
        return self.identity.embed(networks["identity"], images)

    def generate(self, networks: Networks, codes: LatentCodes) -> Float[Array, "b h w 3"]:
        """Draws faces from codes."""
        return apply(
            self.generator, networks["generator"], codes.attributes, codes.pose, method="synthesize"
        )

    def select(
        self,
        networks: Networks,
        faces: PairCodes,
        overrides: Int[Array, " k"],
        noise: GateNoise | None = None,
        source_weights: Float[Array, " n"] | None = None,
    ) -> tuple[LatentCodes, SwapGates]:
        """Swapped codes and their gates: as trained, or by fixed ``source_weights``."""
        source, target = faces.source, faces.target
        if source_weights is None:
            codes, gates = apply(self.selector, networks["swap"], faces, overrides, noise)
        else:
            asked = effective_weights(source_weights, overrides, self.selector.attribute_groups)
            codes, gates = fixed_swap(source, target, asked)
        if not POSE_SPACES[self.pose_space].uses_const:
            # What refines the target's code could make one out of nothing.
            codes = dataclasses.replace(codes, pose=jnp.zeros_like(codes.pose))
        coarse = POSE_SPACES[self.pose_space].coarse_layers
        if coarse:
            # Pose lives in these codes: they go as a whole, whatever the selection decided.
            pose_from_source = (
                overrides[self.selector.attribute_groups.index("pose")] == FROM_SOURCE
            )
            pose_face = jnp.where(pose_from_source, source.attributes, target.attributes)
            merged = jnp.concatenate([pose_face[:, :coarse], codes.attributes[:, coarse:]], axis=1)
            codes = dataclasses.replace(codes, attributes=merged)
            decided = gates.attributes.at[:, :coarse].set(pose_from_source.astype(merged.dtype))
            gates = dataclasses.replace(gates, attributes=decided)
        return codes, gates

    def replaced(
        self, encoding: FaceEncoding, overrides: Int[Array, " k"]
    ) -> Float[Array, "b r r 1"]:
        """Logits of what a swap replaces of a picture: the face, or the head that turns with it.

        A turned face inside hair that did not turn looks like no person.
        """
        if not self.head_labels:
            return encoding.region_logits
        head, others = (
            jax.nn.logsumexp(encoding.parsing_logits[..., jnp.asarray(labels)], axis=-1)
            for labels in (
                self.head_labels,
                sorted(set(range(NUM_PARSING_CLASSES)) - set(self.head_labels)),
            )
        )
        # Logits of "some class of the head" against "any other": a difference of logsumexp.
        whole = jnp.maximum(encoding.region_logits, (head - others)[..., None])
        # Wider by the rim of a pixel of 64, or an outline of the old head stays around the new one.
        size = 2 * max(1, whole.shape[1] // 64) + 1
        whole = nn.max_pool(whole, (size, size), padding="SAME")
        turned = overrides[self.selector.attribute_groups.index("pose")] == FROM_SOURCE
        return jnp.where(turned, whole, encoding.region_logits)

    def finish(
        self,
        networks: Networks,
        generated: Float[Array, "b h w 3"],
        target: Float[Array, "b h w 3"],
        target_region_logits: Float[Array, "b r r 1"],
        generated_region_logits: Float[Array, "b r r 1"],
    ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w 1"]]:
        """Blends the generated face into the target, with the encoder's mask at the image's size.

        Returns:
            Image and mask.
        """
        if self.mask == "none":
            return generated, jnp.ones_like(target[..., :1])
        if self.mask == "ellipse":
            side = target_region_logits.shape[1]
            fixed = jnp.broadcast_to(face_ellipse(side), target_region_logits.shape)
            mask = blend_mask(fixed, fixed, self.feather)
        else:
            mask = blend_mask(
                jax.nn.sigmoid(target_region_logits),
                jax.nn.sigmoid(generated_region_logits),
                self.feather,
            )
        # The encoder may see smaller images than the swap is drawn in.
        mask = resize_bilinear(mask, *target.shape[1:3], align_corners=False)
        return blend(generated, target, mask), mask

    def swap(
        self,
        networks: Networks,
        source: Float[Array, "b h w 3"],
        target: Float[Array, "b h w 3"],
        overrides: Int[Array, " k"],
        source_weights: Float[Array, " n"] | None = None,
    ) -> SwapOutput:
        """Swaps faces as at test time: no labels, discrete gates.

        Args:
            networks: variables by network.
            source: faces that give the identity.
            target: faces that give everything else.
            overrides: see ``overrides``.
            source_weights: fixed weights of the source, see ``SELECTORS``; None is as trained.
        """
        face = self.encode(networks, target)
        faces = PairCodes(
            self.encode(networks, source).codes, face.codes, self.embed(networks, source)
        )
        codes, gates = self.select(networks, faces, overrides, None, source_weights)
        generated = self.generate(networks, codes)
        # The generated face is encoded for its outline, which may be wider than the target's.
        drawn = self.encode(networks, generated)
        regions = (self.replaced(encoding, overrides) for encoding in (face, drawn))
        image, mask = self.finish(networks, generated, target, *regions)
        return SwapOutput(image=image, generated=generated, mask=mask, gates=gates, codes=codes)

    def _pool(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b r r 3"]:
        """Images as the encoder sees them, by means of whole squares of pixels."""
        side = self.encoder_resolution or images.shape[1]
        return images if images.shape[1] == side else ops.mean_pool(images, images.shape[1] // side)

    def overrides(self, groups: Mapping[str, int]) -> Int[Array, " k"]:
        """Which face decides over every attribute group: ``groups``, else the module itself.

        The pose code is the target's by default.
        """
        chosen = {"pose": FROM_TARGET, **groups}
        return jnp.asarray(
            [chosen.get(name, LEARNED) for name in self.selector.attribute_groups], jnp.int32
        )


def _w_avg(generator: Mapping[str, Any]) -> Float[Array, " d"]:
    return generator["constants"]["mapping"]["w_avg"]
