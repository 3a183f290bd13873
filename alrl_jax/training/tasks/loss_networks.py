"""The frozen networks that the losses of the task ``swap`` read with; a config names them by path.

A network is opened, and reads, only where a loss with a weight needs it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jaxtyping import Array, Bool, Float

from alrl_jax.data.face_parsing import PARSER_KINDS, parser_network
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_analyser, build_lpips, build_pose_network
from alrl_jax.models.face_analyser import FaceAnalyser
from alrl_jax.models.loss_networks import (
    IdentityNetwork,
    ParserNetwork,
    PerceptualNetwork,
    PoseNetwork,
    resize_smoothly,
)
from alrl_jax.training.losses.face_parts import FaceParts, face_parts
from alrl_jax.training.losses.table import readers
from alrl_jax.training.state import PyTree
from alrl_jax.training.tasks.attribute_control import asks_for, controlled_factors, members
from alrl_jax.training.tasks.pairs import interleave, separate
from alrl_jax.training.tasks.pretrained import Reader, read_pretrained, read_pretrained_meta
from alrl_jax.training.tasks.swap_forward import Drawn, Read, SwapPairs, Wanted
from alrl_jax.types import UNLABELLED, FaceBatch, ParsingLabels

EMBEDDERS = ("arcface", "iresnet")
"""Kinds of published identity nets."""

IDENTITY_KINDS = ("identity", *EMBEDDERS)

LPIPS_KINDS = ("lpips", "identity")
"""Kinds of networks whose features are compared: LPIPS, or an analyser of ours."""

POSE_KINDS = ("hopenet",)

DISTANCES = (
    "read.distance",
    "read.self_distance",
    "read.true_distance",
    "read.blended_distance",
)
LABELS = ("wanted.source_labels", "wanted.target_labels")
FACTORS = ("read.factors", "wanted.person", "wanted.attributes", "probe_factors")
POSES = ("read.pose_degrees", "wanted.pose_degrees")
PARTS = ("read.parts", "wanted.parts")
"""Parts of a forward pass that need a perceptual network, parsing labels, known factors, a pose
net, a parser."""

FACE_SIDE = 256
"""Side at which the parts of a face are measured, at most; the published parser decides at less."""


def identity_values(pretrained: Mapping[str, str], side: int) -> dict[str, Any]:
    """Plain values that rebuild the identity net.

    Args:
        pretrained: model directories by name.
        side: of the images that the losses see.

    Raises:
        UserError: if ``pretrained.identity`` is no directory of one, or the images cannot be pooled
            to its resolution.
    """
    meta = read_pretrained_meta(pretrained, "identity", IDENTITY_KINDS)
    if meta["kind"] in EMBEDDERS:  # which see a crop, at a resolution of their own
        return {"kind": meta["kind"], **meta["config"]}
    resolution = meta["config"].get("resolution", side)
    if side % resolution:
        raise UserError(
            f"pretrained.identity is {pretrained['identity']} of resolution {resolution}; expected "
            f"a divisor of what the losses see ({side}), to pool that; name another directory or "
            "change loss_resolution"
        )
    return meta["config"]


class LossNetworks:
    """Frozen networks, and what the losses read with them.

    Attributes:
        identity: the swapper's own identity net.
        perceptual: None where no loss reads a perceptual distance.
        parser: None without ``pretrained.parser``, or where no loss reads what it says.
        pose: None where no loss reads poses.
    """

    def __init__(
        self,
        identity: IdentityNetwork,
        pretrained: Mapping[str, str],
        weights: Mapping[str, float],
        perceptual_side: int = 0,
        controlled: Sequence[str] = (),
    ) -> None:
        """Looks at the directories, not at their weights.

        Args:
            identity: the swapper's own identity net.
            pretrained: model directories by name.
            weights: of the losses, by name.
            perceptual_side: of the images whose perceptual distances are measured; 0: as large as
                the losses see them, or as the identity net where that measures.
            controlled: names of the attributes that the identity net reads, where pairs ask for
                attributes; none where they do not.

        Raises:
            UserError: if a directory is missing or holds another kind of model, or a loss reads
                what no network can give.
        """
        self.identity = identity
        self._pretrained, self._weights = pretrained, weights
        self._readers = readers("swap", weights)
        self._measure = "lpips" if pretrained.get("lpips") else "identity"
        self._check_factors()
        self._members = members(controlled)
        self._check_controlled(len(controlled))
        measured = self._reader(DISTANCES)
        self.perceptual = self._open_perceptual(perceptual_side) if measured else None
        self.parser = self._open_parser() if self._reader((*LABELS, *PARTS)) else None
        self.pose = self._open_pose() if self._reader(POSES) else None

    def load_frozen(self, read: Reader) -> dict[str, PyTree]:
        """The weights by network; logs where masks come from."""
        pretrained = self._pretrained
        frozen = {"identity": read_pretrained(pretrained, "identity", IDENTITY_KINDS, read)}
        if self.perceptual is not None and self._measure == "lpips":
            frozen["lpips"] = read_pretrained(pretrained, "lpips", LPIPS_KINDS, read)
        if self.parser is not None:
            frozen["parser"] = read_pretrained(pretrained, "parser", PARSER_KINDS, read)
        if self.pose is not None:
            frozen["pose"] = read_pretrained(pretrained, "pose", POSE_KINDS, read)
        if self._reader(LABELS):
            parser = pretrained["parser"] if self.parser else None
            source = f"where a face has one, else from {parser}" if parser else "alone"
            logging.info("masks come from the data %s", source)
        return frozen

    def wanted(
        self, frozen: dict[str, PyTree], pairs: SwapPairs, embedding: Float[Array, "b e"]
    ) -> Wanted:
        """What the losses compare with.

        Args:
            frozen: weights by network.
            pairs: the batch.
            embedding: identity embeddings of the sources.
        """
        labels = self.labels(frozen, pairs)
        # What the identity net reads from one picture depends on light and pose. Compared with the
        # source itself, swaps learn to repeat what it misread there; compared with another picture
        # of the person, they can not.
        witness = pairs.source.image if pairs.witness is None else pairs.witness
        wants_person = "wanted.person" in self._readers
        wants_witness = pairs.witness is not None and "wanted.embedding" in self._readers
        person = None
        if wants_person or wants_witness:
            witnessed, person = self.identity.read(frozen["identity"], witness)
            embedding = embedding if pairs.witness is None else witnessed
        attributes = None
        if "wanted.attributes" in self._readers:
            _, attributes = self.identity.read(frozen["identity"], pairs.truth)
            if pairs.control is not None and attributes is not None:
                _, given = self.identity.read(frozen["identity"], pairs.source.image)
                assert given is not None
                attributes = controlled_factors(pairs.control, given, attributes, self._members)
        control = pairs.control
        asks = None if control is None else control.asks
        return Wanted(
            embedding,
            person,
            attributes,
            *labels,
            pose_degrees=self._wanted_pose(frozen, pairs),
            parts=self._parts(frozen, "wanted.parts", pairs.truth),
            keeps=jnp.ones_like(pairs.same_identity) if asks is None else ~asks,
        )

    def read(self, frozen: dict[str, PyTree], pairs: SwapPairs, drawn: Drawn) -> Read:
        """What is read from the drawn faces, where a loss reads it.

        Factors are read from the generated face before the blend: outside of the blend's mask no
        gradient would ever make a face wider. Nor does a face alone hold all of an identity: swaps
        that have to show all of it inside the mask become caricatures.
        """
        embedding = factors = blended = None
        if self._reader(("read.embedding", "read.factors")):
            embedding, factors = self.identity.read(frozen["identity"], drawn.generated)
        if self._reader(("read.blended_embedding",)):
            blended, _ = self.identity.read(frozen["identity"], drawn.image)
        return Read(
            embedding,
            factors,
            self._distance(frozen, "read.distance", drawn.generated, pairs.truth),
            self._distance(frozen, "read.self_distance", drawn.reconstructed, pairs.source.image),
            self._distance(frozen, "read.true_distance", drawn.generated, pairs.true_swap),
            blended,
            self._distance(frozen, "read.blended_distance", drawn.image, pairs.truth),
            self._degrees(frozen, drawn.generated),
            self._parts(frozen, "read.parts", drawn.generated),
        )

    def labels(
        self, frozen: dict[str, PyTree], pairs: SwapPairs
    ) -> tuple[ParsingLabels | None, ParsingLabels | None]:
        """What the pixels of source and target show.

        The data's own labels where a face has them; else those of the parser, if there is one. It
        runs only where a face of the batch has none.
        """
        if not self._reader(LABELS):
            return None, None
        faces = (pairs.source, pairs.target)
        source, target = (ParsingLabels(face.parsing, _has_parsing(face)) for face in faces)
        if self.parser is None:
            return source, target
        return jax.lax.cond(
            jnp.all(source.known & target.known),
            lambda: (_all_known(source), _all_known(target)),
            lambda: self._parsed(frozen, pairs, (source, target)),
        )

    def _parsed(
        self, frozen: dict[str, PyTree], pairs: SwapPairs, known: tuple[ParsingLabels, ...]
    ) -> tuple[ParsingLabels, ParsingLabels]:
        """The labels that are known, and the parser's where a face has none."""
        assert self.parser is not None
        # Whole images: the parser was trained on larger ones than the losses see.
        images = interleave(pairs.whole_source, pairs.whole_target)
        found = self.parser.labels(frozen["parser"], images, pairs.target.parsing.shape[1])
        source, target = (_complete(*x) for x in zip(known, separate(found), strict=True))
        return source, target

    def _degrees(
        self, frozen: dict[str, PyTree], images: Float[Array, "b h w 3"]
    ) -> Float[Array, "b 3"] | None:
        """Poses, if a loss reads them."""
        return None if self.pose is None else self.pose.degrees(frozen["pose"], images)

    def _wanted_pose(
        self, frozen: dict[str, PyTree], pairs: SwapPairs
    ) -> Float[Array, "b 3"] | None:
        """Poses of the targets as they are, but of the sources where pairs ask for those."""
        degrees, given = self._degrees(frozen, pairs.truth), None
        if pairs.control is not None:
            given = self._degrees(frozen, pairs.source.image)
        if degrees is None or given is None or pairs.control is None:
            return degrees
        return jnp.where(asks_for(pairs.control, "pose")[:, None], given, degrees)

    def _parts(
        self, frozen: dict[str, PyTree], part: str, images: Float[Array, "b h w 3"]
    ) -> FaceParts | None:
        """Eyes, brows, nose and lips, if a loss reads that part of a forward pass."""
        if part not in self._readers or self.parser is None:
            return None
        side = min(self.parser.resolution, images.shape[1], FACE_SIDE)
        logits = self.parser.logits(frozen["parser"], images, side)
        return face_parts(jax.nn.softmax(logits), resize_smoothly(images, side))

    def _reader(self, parts: tuple[str, ...]) -> str | None:
        """The first loss with a weight that reads one of these parts of a forward pass."""
        return next((self._readers[part] for part in parts if part in self._readers), None)

    def _distance(
        self,
        frozen: dict[str, PyTree],
        part: str,
        image: Float[Array, "b h w 3"] | None,
        wanted: Float[Array, "b h w 3"] | None,
    ) -> Float[Array, " b"] | None:
        """Perceptual distance of an image and what is wanted, if a loss reads that part."""
        if part not in self._readers or self.perceptual is None or image is None or wanted is None:
            return None
        return self.perceptual.distance(frozen[self._measure], image, wanted)

    def _open_perceptual(self, side: int) -> PerceptualNetwork:
        if self._measure == "lpips":
            meta = read_pretrained_meta(self._pretrained, "lpips", LPIPS_KINDS)
            build = build_lpips if meta["kind"] == "lpips" else build_analyser
            return PerceptualNetwork(build(meta["config"]), side)
        if isinstance(self.identity.network, FaceAnalyser):
            return PerceptualNetwork(self.identity.network, side or self.identity.side)
        name = self._reader(DISTANCES) or ""
        raise UserError(
            f"losses.{name} is {self._weights[name]} without pretrained.lpips; expected the "
            f"directory of a model of kind lpips, as {self._pretrained['identity']} has no "
            "features to compare; set --config.pretrained.lpips=DIR or the weight to 0"
        )

    def _open_parser(self) -> ParserNetwork | None:
        if self._pretrained.get("parser"):
            meta = read_pretrained_meta(self._pretrained, "parser", PARSER_KINDS)
            return parser_network(
                meta["config"], f"pretrained.parser is {self._pretrained['parser']}"
            )
        self._require("parser", PARSER_KINDS, self._reader(PARTS))
        return None

    def _open_pose(self) -> PoseNetwork:
        self._require("pose", POSE_KINDS, self._reader(POSES))
        meta = read_pretrained_meta(self._pretrained, "pose", POSE_KINDS)
        return build_pose_network(meta["config"])

    def _require(self, network: str, kinds: tuple[str, ...], loss: str | None) -> None:
        """UserError if a loss reads with a network that the run does not name."""
        if loss is not None and not self._pretrained.get(network):
            raise UserError(
                f"losses.{loss} is {self._weights[loss]} without pretrained.{network}; expected "
                f"the directory of a model of kind {' or '.join(kinds)}; set "
                f"--config.pretrained.{network}=DIR or the weight to 0"
            )

    def _check_controlled(self, count: int) -> None:
        """UserError if pairs ask for attributes of one world, and another world's are read."""
        network = self.identity.network
        if not count or not isinstance(network, FaceAnalyser):
            return
        if "wanted.attributes" in self._readers and network.attribute_width != count:
            raise UserError(
                f"pretrained.identity is {self._pretrained['identity']}, which reads "
                f"{network.attribute_width} attributes; expected the {count} that the data know, "
                "as swap.attribute_control asks for them by name; name a model that was trained on "
                "such data, or set --config.swap.attribute_control=0"
            )

    def _check_factors(self) -> None:
        name = self._reader(FACTORS)
        if name is not None and not self.identity.knows_factors:
            raise UserError(
                f"losses.{name} is {self._weights[name]}; expected 0, as "
                f"{self._pretrained['identity']} reads identities alone; set "
                f"--config.losses.{name}=0, or pretrained.identity to a model of kind identity"
            )


def _has_parsing(face: FaceBatch) -> Bool[Array, " b"]:
    return face.labelled & jnp.any(face.parsing != UNLABELLED, axis=(1, 2))


def _all_known(data: ParsingLabels) -> ParsingLabels:
    return ParsingLabels(data.classes, jnp.ones_like(data.known))


def _complete(data: ParsingLabels, found: Array) -> ParsingLabels:
    """The data's labels where a face has them, else what was found."""
    # Per face, not per pixel: two sources of labels in one picture would disagree at their border.
    classes = jnp.where(data.known[:, None, None], data.classes, found.astype(data.classes.dtype))
    return ParsingLabels(classes, jnp.ones_like(data.known))
