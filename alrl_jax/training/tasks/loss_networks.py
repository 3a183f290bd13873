"""Who teaches the swap task: frozen networks that a config names by path.

A network is opened and asked only where a loss with a weight needs it.
"""

from typing import Any

import jax.numpy as jnp
from absl import logging
from jaxtyping import Array, Bool, Float

from alrl_jax.config import Config
from alrl_jax.data.parsing_classes import BISENET_LABELS, BISENET_TO_CELEBAMASK
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_lpips, build_parser_network
from alrl_jax.models.face_analyser import FaceAnalyser, FaceFactors
from alrl_jax.models.loss_networks import IdentityNetwork, ParserNetwork, PerceptualNetwork
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.state import PyTree
from alrl_jax.training.tasks import pooling
from alrl_jax.training.tasks.attribute_control import AttributeControl, wanted_factors
from alrl_jax.training.tasks.pairs import interleave, separate
from alrl_jax.training.tasks.pretrained import Reader, read_pretrained, read_pretrained_meta
from alrl_jax.types import UNLABELLED, FaceBatch, PairBatch, ParsingLabels

EMBEDDERS = ("arcface", "iresnet")
"""Kinds of published identity nets."""

IDENTITY_KINDS = ("identity", *EMBEDDERS)

DISTANCE_LOSSES = ("perceptual", "self_perceptual", "supervised")
MASK_LOSSES = ("region", "parsing")
FACTOR_LOSSES = ("identity_factors", "attributes", "attribute_groups")
"""Losses that ask how different images look, what pixels show, what makes a face."""


def identity_config(config: Config) -> dict[str, Any]:
    """Plain values that rebuild the identity net.

    Raises:
        UserError: if ``pretrained.identity`` is no directory of one, or of another resolution.
    """
    meta = read_pretrained_meta(config, "identity", IDENTITY_KINDS, resolution=0)
    if meta["kind"] in EMBEDDERS:  # which see a crop, at a resolution of their own
        return {"kind": meta["kind"], **meta["config"]}
    side = config.loss_resolution or config.resolution
    return read_pretrained_meta(config, "identity", ("identity",), side)["config"]


class LossNetworks:
    """The networks that teach, and what the losses ask them.

    Attributes:
        identity: the swapper's own identity net.
        perceptual: None where no loss asks how different images look.
        parser: None without ``pretrained.parser``, or where no loss asks what pixels show.
    """

    def __init__(self, config: Config, identity: IdentityNetwork) -> None:
        """Looks at the directories, not at their weights.

        Raises:
            UserError: if a directory is missing or holds another kind of model, or a loss asks what
                no network can tell.
        """
        self._config = config
        self.identity = identity
        self._check_factors()
        self.perceptual = self._open_perceptual() if self._asked(*DISTANCE_LOSSES) else None
        self.parser = self._open_parser() if self._asked(*MASK_LOSSES) else None

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """The weights by network; logs where masks come from."""
        config = self._config
        frozen = {"identity": read_pretrained(config, "identity", IDENTITY_KINDS, read, 0)}
        if self.perceptual is not None and self._measures() == "lpips":
            frozen["lpips"] = read_pretrained(config, "lpips", ("lpips",), read, 0)
        if self.parser is not None:
            frozen["parser"] = read_pretrained(config, "parser", ("face_parser",), read, 0)
        if self._asked(*MASK_LOSSES):
            parser = config.pretrained["parser"] if self.parser else None
            where = f"where a face has one, else from {parser}" if parser else "alone"
            logging.info("masks come from the data %s", where)
        return frozen

    def read(
        self, frozen: dict[str, PyTree], image: Float[Array, "b h w 3"], *losses: str
    ) -> tuple[Float[Array, "b e"] | None, FaceFactors | None]:
        """Identity and factors of an image, if one of the losses that ask for them has a weight."""
        if not self._asked(*losses):
            return None, None
        return self.identity.read(frozen["identity"], image)

    def person(
        self, frozen: dict[str, PyTree], batch: PairBatch, embedding: Float[Array, "b e"]
    ) -> tuple[Float[Array, "b e"], FaceFactors | None]:
        """How the identity net should see the swap: as it sees the source's person.

        What it reads from one picture depends on light and pose. Compared with the source itself,
        swaps learn to repeat what it misread there; compared with another picture, they can not.

        Args:
            frozen: weights by network.
            batch: the pairs as the data have them; without witnesses, the sources have to do.
            embedding: identity embeddings of the sources.
        """
        side = self._config.loss_resolution or self._config.resolution
        if batch.witness is None:
            image = pooling.pool_images(batch.source.image, side)
            return embedding, self.read(frozen, image, "identity_factors")[1]
        image = pooling.pool_images(batch.witness, side)
        witnessed, factors = self.read(frozen, image, "identity", "identity_factors")
        return (embedding if witnessed is None else witnessed), factors

    def wanted_factors(
        self,
        frozen: dict[str, PyTree],
        source: Float[Array, "b h w 3"],
        target: Float[Array, "b h w 3"],
        asked: AttributeControl | None,
    ) -> FaceFactors | None:
        """What the identity net should read from swaps beside who they are, if a loss asks."""
        _, wanted = self.read(frozen, target, "attributes")
        _, given = self.read(frozen, source, "attributes") if asked is not None else (None, None)
        if asked is None or wanted is None or given is None:
            return wanted
        return wanted_factors(asked, given, wanted)

    def distance(
        self,
        frozen: dict[str, PyTree],
        loss: str,
        image: Float[Array, "b h w 3"],
        wanted: Float[Array, "b h w 3"],
    ) -> Float[Array, " b"] | None:
        """How different an image looks from what is wanted, if that loss has a weight."""
        if self.perceptual is None or not self._asked(loss):
            return None
        return self.perceptual.distance(frozen[self._measures()], image, wanted)

    def labels(
        self, frozen: dict[str, PyTree], source: FaceBatch, target: FaceBatch, whole: PairBatch
    ) -> tuple[ParsingLabels | None, ParsingLabels | None]:
        """What the pixels of source and target show.

        The data's own labels where a face has them; else those of the parser, if there is one.

        Args:
            frozen: weights by network.
            source: as the losses see it.
            target: likewise.
            whole: both as the data have them, which is what the parser sees.
        """
        if not self._asked(*MASK_LOSSES):
            return None, None
        known = [ParsingLabels(face.parsing, _has_parsing(face)) for face in (source, target)]
        if self.parser is not None:
            images = interleave(whole.source.image, whole.target.image)
            found = self.parser.labels(frozen["parser"], images, target.parsing.shape[1])
            known = [_complete(*x) for x in zip(known, separate(found), strict=True)]
        return known[0], known[1]

    def _asked(self, *losses: str) -> bool:
        """Whether one of these losses has a weight."""
        return any(self._config.losses.get(name, 0.0) for name in losses)

    def _measures(self) -> str:
        """Which network's weights the distances need."""
        return "lpips" if self._config.pretrained.get("lpips") else "identity"

    def _open_perceptual(self) -> PerceptualNetwork:
        network = self.identity.network
        if self._measures() == "lpips":
            meta = read_pretrained_meta(self._config, "lpips", ("lpips",), resolution=0)
            return PerceptualNetwork(build_lpips(meta["config"]))
        if isinstance(network, FaceAnalyser):
            return PerceptualNetwork(network)
        name = next(name for name in DISTANCE_LOSSES if self._asked(name))
        raise UserError(
            f"losses.{name} is {self._config.losses[name]} without pretrained.lpips; expected the "
            f"directory of a model of kind lpips, as {self._config.pretrained['identity']} has no "
            "features to compare; set --config.pretrained.lpips=DIR or the weight to 0"
        )

    def _open_parser(self) -> ParserNetwork | None:
        directory = self._config.pretrained.get("parser")
        if not directory:
            return None
        meta = read_pretrained_meta(self._config, "parser", ("face_parser",), resolution=0)
        classes = meta["config"]["num_classes"]
        if classes != len(BISENET_LABELS):
            raise UserError(
                f"pretrained.parser is {directory} of {classes} classes; expected the "
                f"{len(BISENET_LABELS)} of CelebAMask-HQ; name another directory"
            )
        ids = tuple(BISENET_TO_CELEBAMASK[number] for number in range(classes))
        return build_parser_network(meta["config"], ids)

    def _check_factors(self) -> None:
        name = next((name for name in FACTOR_LOSSES if self._asked(name)), None)
        if name is not None and not self.identity.knows_factors:
            raise UserError(
                f"losses.{name} is {self._config.losses[name]}; expected 0, as "
                f"{self._config.pretrained['identity']} reads identities alone; set "
                f"--config.losses.{name}=0, or pretrained.identity to a model of kind identity"
            )


def _has_parsing(face: FaceBatch) -> Bool[Array, " b"]:
    return face.labelled & jnp.any(face.parsing != UNLABELLED, axis=(1, 2))


def _complete(data: ParsingLabels, found: Array) -> ParsingLabels:
    """The data's labels where a face has them, else what was found."""
    classes = jnp.where(data.known[:, None, None], data.classes, found.astype(data.classes.dtype))
    return ParsingLabels(classes, jnp.ones_like(data.known))
