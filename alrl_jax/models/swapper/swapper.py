"""The face swapper: encode both faces, select codes, generate, blend."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from alrl_jax.models.functional import apply
from alrl_jax.models.loss_networks import IdentityNetwork, ParserNetwork
from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.stylegan2.generator import Generator
from alrl_jax.models.swapper.backbones import Encoder
from alrl_jax.models.swapper.blend import blend, blend_mask, face_ellipse
from alrl_jax.models.swapper.encoder import NUM_PARSING_CLASSES, FaceEncoding
from alrl_jax.models.swapper.pair_codes import (
    FROM_SOURCE,
    FROM_TARGET,
    LEARNED,
    FrozenGates,
    GateNoise,
    PairCodes,
)
from alrl_jax.models.swapper.pose_space import POSE_SPACES
from alrl_jax.models.swapper.selection import Selector, effective_weights, fixed_swap
from alrl_jax.models.swapper.target_features import TargetFeatures
from alrl_jax.types import LatentCodes, SwapGates, SwapOutput

Networks = Mapping[str, Any]
"""Variables by network, see ``NETWORKS``."""


@flax.struct.dataclass
class PairEncoding:
    """What is known of pairs of faces before anything is selected.

    Attributes:
        source: what the encoder says of the faces that give the identity.
        target: likewise of the faces that give everything else.
        identity: unit identity embeddings of the sources.
    """

    source: FaceEncoding
    target: FaceEncoding
    identity: Float[Array, "b e"]

    @property
    def codes(self) -> PairCodes:
        """What a selection of codes sees."""
        return PairCodes(self.source.codes, self.target.codes, self.identity)


@flax.struct.dataclass
class Selected:
    """What a swap is drawn from.

    Attributes:
        codes: the swapped codes.
        injected: by resolution, what the target gives to the generator's features; empty where it
            takes none.
        gates: which code, and which of the target's features, was taken.
    """

    codes: LatentCodes
    injected: dict[int, Float[Array, "b r r c"]]
    gates: SwapGates


MASKS = ("learned", "ellipse", "none")
"""What can blend in training; see ``Swapper``."""

PARSER_MASK = "parser"
"""What blends in a swapper that was assembled with a face parser."""

NETWORKS = ("encoder", "swap", "target_features", "generator", "identity", "parser")
"""Networks that a swap reads; the third and the last are not in every swapper."""


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
            every picture; ``none``, nothing, so that the swap is the generated face; ``parser``,
            the classes ``face_labels`` of a face parser.
        head_labels: parsing classes of a head, which is replaced as a whole where the pose is the
            source's; none where the encoder has not learned to parse: then the face alone is.
        target_features: what lets the target's features into the generator; None for nothing.
        parser: says what a swap replaces, in place of the encoder's region head; None for that.
        face_labels: parsing classes of a face, of which the parser's region is made.
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
    target_features: TargetFeatures | None = None
    parser: ParserNetwork | None = None
    face_labels: tuple[int, ...] = ()

    def init(self, key: Key[Array, ""], images: Float[Array, "b h w 3"]) -> dict[str, Any]:
        """Fresh variables of all networks.

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
        if self.parser is not None:
            networks["parser"] = self.parser.network.init(jax.random.fold_in(keys[1], 1), images)
        face = self.encode(networks, images)
        faces = PairCodes(face.codes, face.codes, self.embed(networks, images))
        networks["swap"] = self.selector.init(keys[3], faces, self.overrides({}))
        if self.target_features is not None:
            networks["target_features"] = self.target_features.init(
                jax.random.fold_in(keys[3], 1), faces, face, self.overrides({})
            )
        return networks

    def encode(self, networks: Networks, images: Float[Array, "b h w 3"]) -> FaceEncoding:
        """Codes, region and parsing of faces.

        The latter two are as large as the encoder sees the faces, or the parser where it says them.
        """
        seen, w_avg = self._pool(images), _w_avg(networks["generator"])
        encoding = apply(self.encoder, networks["encoder"], seen, w_avg)
        if self.parser is not None:
            side = min(self.parser.resolution, images.shape[1])
            logits = self.parser.logits(networks["parser"], images, side)
            region = _class_logits(logits, self.face_labels)
            encoding = dataclasses.replace(encoding, parsing_logits=logits, region_logits=region)
        if POSE_SPACES[self.pose_space].uses_const:
            return encoding
        pose = jnp.zeros_like(encoding.codes.pose)
        return dataclasses.replace(encoding, codes=dataclasses.replace(encoding.codes, pose=pose))

    def embed(
        self,
        networks: Networks,
        images: Float[Array, "b h w 3"] | Float[Array, "b k h w 3"],
    ) -> Float[Array, "b e"]:
        """Unit identity embeddings; of people with k pictures each, of their means."""
        if images.ndim == 4:
            return self.identity.embed(networks["identity"], images)
        each = self.identity.embed(networks["identity"], images.reshape(-1, *images.shape[2:]))
        mean = each.reshape(*images.shape[:2], -1).mean(axis=1)
        return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)

    def _encode_source(
        self,
        networks: Networks,
        images: Float[Array, "b h w 3"] | Float[Array, "b k h w 3"],
    ) -> FaceEncoding:
        """What ``encode`` says of faces; of people with k pictures each, its mean."""
        if images.ndim == 4:
            return self.encode(networks, images)
        each = self.encode(networks, images.reshape(-1, *images.shape[2:]))
        people = images.shape[:2]
        return jax.tree.map(lambda x: x.reshape(*people, *x.shape[1:]).mean(axis=1), each)

    def generate(
        self,
        networks: Networks,
        codes: LatentCodes,
        injected: Mapping[int, Array] | None = None,
    ) -> Float[Array, "b h w 3"]:
        """Draws faces from codes, and from what is injected into the generator's features."""
        return apply(
            self.generator,
            networks["generator"],
            codes.attributes,
            codes.pose,
            "const",
            None,
            injected,
            method="synthesize",
        )

    def select(
        self,
        networks: Networks,
        pair: PairEncoding,
        overrides: Int[Array, " k"],
        noise: GateNoise | None = None,
        source_weights: Float[Array, " n"] | None = None,
        frozen: FrozenGates | None = None,
    ) -> Selected:
        """Swapped codes, the target's features, and their gates.

        Args:
            networks: variables by network.
            pair: both faces.
            overrides: see ``overrides``.
            noise: of the gates, in training.
            source_weights: fixed weights of the source, see ``SELECTORS``; None is as trained.
            frozen: decisions that are the same for all pairs.
        """
        faces = pair.codes
        if source_weights is None:
            codes, gates = apply(self.selector, networks["swap"], faces, overrides, noise, frozen)
        else:
            asked = effective_weights(source_weights, overrides, self.selector.attribute_groups)
            codes, gates = fixed_swap(faces.source, faces.target, asked)
        codes, gates = self._in_pose_space(faces, codes, gates, overrides)
        if self.target_features is None:
            return Selected(codes, {}, gates)
        injection = apply(
            self.target_features,
            networks["target_features"],
            faces,
            pair.target,
            overrides,
            frozen,
        )
        gates = dataclasses.replace(gates, space=injection.gates)
        return Selected(codes, injection.maps, gates)

    def _in_pose_space(
        self,
        faces: PairCodes,
        codes: LatentCodes,
        gates: SwapGates,
        overrides: Int[Array, " k"],
    ) -> tuple[LatentCodes, SwapGates]:
        """Codes and gates as the pose space has them, whatever was selected."""
        if not POSE_SPACES[self.pose_space].uses_const:
            # What refines the target's code could make one out of nothing.
            codes = dataclasses.replace(codes, pose=jnp.zeros_like(codes.pose))
        coarse = POSE_SPACES[self.pose_space].coarse_layers
        if not coarse:
            return codes, gates
        # Pose lives in these codes: they go as a whole, whatever the selection decided.
        pose_from_source = overrides[self.selector.attribute_groups.index("pose")] == FROM_SOURCE
        pose_face = jnp.where(pose_from_source, faces.source.attributes, faces.target.attributes)
        merged = jnp.concatenate([pose_face[:, :coarse], codes.attributes[:, coarse:]], axis=1)
        decided = gates.attributes.at[:, :coarse].set(pose_from_source.astype(merged.dtype))
        return (
            dataclasses.replace(codes, attributes=merged),
            dataclasses.replace(gates, attributes=decided),
        )

    def replaced(
        self, encoding: FaceEncoding, overrides: Int[Array, " k"]
    ) -> Float[Array, "b r r 1"]:
        """Logits of what a swap replaces of a picture: the face, or the head that turns with it.

        A turned face inside hair that did not turn looks like no person.
        """
        if not self.head_labels:
            return encoding.region_logits
        head = _class_logits(encoding.parsing_logits, self.head_labels)
        whole = jnp.maximum(encoding.region_logits, head)
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
        source: Float[Array, "b h w 3"] | Float[Array, "b k h w 3"],
        target: Float[Array, "b h w 3"],
        overrides: Int[Array, " a"],
        source_weights: Float[Array, " n"] | None = None,
        frozen: FrozenGates | None = None,
    ) -> SwapOutput:
        """Swaps faces as at test time: no labels, discrete gates.

        Args:
            networks: variables by network.
            source: faces that give the identity; of k pictures each, the mean of their codes and
                embeddings counts.
            target: faces that give everything else.
            overrides: see ``overrides``.
            source_weights: fixed weights of the source, see ``SELECTORS``; None is as trained.
            frozen: decisions that are the same for all pairs.
        """
        pair = PairEncoding(
            self._encode_source(networks, source),
            self.encode(networks, target),
            self.embed(networks, source),
        )
        taken = self.select(networks, pair, overrides, None, source_weights, frozen)
        generated = self.generate(networks, taken.codes, taken.injected)
        # The generated face is encoded for its outline, which may be wider than the target's.
        drawn = self.encode(networks, generated)
        regions = (self.replaced(encoding, overrides) for encoding in (pair.target, drawn))
        image, mask = self.finish(networks, generated, target, *regions)
        return SwapOutput(image, generated, mask, taken.gates, taken.codes)

    def reconstruct(
        self, networks: Networks, images: Float[Array, "b h w 3"], with_features: bool = False
    ) -> Float[Array, "b h w 3"]:
        """Faces drawn from their own codes, not blended.

        Args:
            networks: variables by network.
            images: faces.
            with_features: whether the generator takes over the faces' own features as well, through
                the gates that a swap of the face with itself would have.
        """
        face = self.encode(networks, images)
        if not with_features:
            return self.generate(networks, face.codes)
        pair = PairEncoding(face, face, self.embed(networks, images))
        taken = self.select(networks, pair, self.overrides({}))
        return self.generate(networks, face.codes, taken.injected)

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


def _class_logits(
    logits: Float[Array, "b r r 19"], labels: tuple[int, ...]
) -> Float[Array, "b r r 1"]:
    """Logits of "some class of these" against "any other": a difference of logsumexp."""
    rest = sorted(set(range(NUM_PARSING_CLASSES)) - set(labels))
    inside, outside = (
        jax.nn.logsumexp(logits[..., jnp.asarray(numbers)], axis=-1) for numbers in (labels, rest)
    )
    return (inside - outside)[..., None]


def _w_avg(generator: Mapping[str, Any]) -> Float[Array, " d"]:
    return generator["constants"]["mapping"]["w_avg"]
