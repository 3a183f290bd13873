"""``alrl_jax.load``: a model directory or a work directory, ready to use."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.loading.base import Model
from alrl_jax.loading.faces import FaceEmbedderModel, StyleEncoderModel
from alrl_jax.loading.measuring import FaceParserModel, HopenetModel, InceptionModel, LPIPSModel
from alrl_jax.models.build import (
    build_analyser,
    build_discriminator,
    build_generator,
    build_swapper,
    constant_channels,
)
from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.stylegan2.generator import NoiseMode, num_latents
from alrl_jax.models.swapper.selection import FROM_SOURCE, FROM_TARGET, SELECTORS
from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.storage.model_directory import read_model, resolve_directory
from alrl_jax.storage.workdir import CONFIG_FILE, read_config
from alrl_jax.training.state import PyTree, TrainState
from alrl_jax.training.tasks import ExportedModel, make_task
from alrl_jax.training.tasks.generator import PoseCodeSampler
from alrl_jax.types import AnyArray, SwapOutput
from alrl_jax.worlds import primitives

Face = str
"""``source`` or ``target``."""
Images = Float[AnyArray, "b h w 3"]

ORIGINS: dict[str, int] = {"source": FROM_SOURCE, "target": FROM_TARGET}
"""Names by which callers say whose an attribute group shall be."""


NOBODY = 20230304
"""Seeds people of the procedural world who are in none of its splits."""
STILL = ("yaw", "pitch", "roll", "smile", "mouth_open", "blink", "brow_raise", "hair_fringe")
"""Attributes that are 0 where such a person is shown: upright, neutral, nothing over the face."""


class GeneratorModel(Model):
    """Kind ``generator``: latents to W+ codes to images.

    Attributes:
        network: the module, without weights.
        pose_latent_dim: width of the latents of its pose codes; 0 where it has none.  A generator
            that was trained with sampled pose codes draws well only with them.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self.network = build_generator(config)
        self.pose_latent_dim = int(config.get("pose_latent_dim", 0))
        static = ("truncation_psi", "truncation_cutoff", "noise_mode", "method")
        self._apply = jax.jit(self.network.apply, static_argnames=static)
        self._sample = jax.jit(PoseCodeSampler(constant_channels(self.network)).apply)
        self._networks = {name: self.variables[name] for name in ("params", "constants")}

    def map(
        self,
        z: Float[AnyArray, "b z"],
        label: Float[AnyArray, "b n"] | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Array, "b l d"]:
        """W+ codes of normal latents; see ``Generator.map``."""
        return self._apply(
            self._networks,
            z,
            label,
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
            method="map",
        )

    def pose_code(self, latents: Float[AnyArray, "b p"]) -> Float[Array, "b 4 4 c"]:
        """Pose codes of normal latents.

        Raises:
            UserError: if the generator has none, or the latents are not ``pose_latent_dim`` wide.
        """
        if not self.pose_latent_dim or latents.shape[-1] != self.pose_latent_dim:
            raise UserError(
                f"got pose latents of width {latents.shape[-1]}; expected {self.pose_latent_dim}, "
                "where 0 means that the generator has no pose codes; see pose_latent_dim"
            )
        return self._sample({"params": self.variables["pose"]}, latents)

    def synthesize(
        self,
        ws: Float[AnyArray, "b l d"],
        noise_mode: NoiseMode = "const",
        pose_code: Float[AnyArray, "b 4 4 c"] | None = None,
        noise_key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b h w 3"]:
        """Images of W+ codes; ``random`` noise without a key draws from seed 0."""
        if noise_mode == "random" and noise_key is None:
            noise_key = jax.random.key(0)
        return self._apply(
            self._networks,
            ws,
            pose_code,
            noise_mode=noise_mode,
            noise_key=noise_key,
            method="synthesize",
        )


class DiscriminatorModel(Model):
    """Kind ``discriminator``: images to logits."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self._apply = jax.jit(build_discriminator(config).apply)

    def __call__(
        self, images: Images, label: Float[AnyArray, "b n"] | None = None
    ) -> Float[Array, "b 1"]:
        """How real images look."""
        return self._apply(self.variables, images, label)


class AnalyserModel(Model):
    """Kinds ``identity`` and ``judge``: faces to the factors that made them."""

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, variables)
        self._apply = jax.jit(build_analyser(config).apply, static_argnames="method")

    def __call__(self, images: Images) -> Float[Array, "b e"]:
        """Unit embeddings of identity."""
        return self._apply(self.variables, images, method="embed")

    def predict(self, images: Images) -> FaceFactors:
        """Identity, attributes, pose in degrees and landmarks as a share of the image's size."""
        return self._apply(self.variables, images)

    def features(self, images: Images) -> list[Array]:
        """Feature maps, fine to coarse."""
        return self._apply(self.variables, images, method="features")


class SwapperModel(Model):
    """Kind ``swapper``: pairs of faces to swapped faces.

    Attributes:
        selectors: rules that can select codes, first the one that the model was trained with; the
            last are those that were found for this very model (``selections`` of its config).
        attribute_groups: groups that a caller can take from either face: of a model whose selection
            is not ``adaptive``, identity and pose alone.
    """

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        super().__init__(kind, config, {"swap": {}, **variables})  # a fixed rule has no weights
        self._selections = config.get("selections", {})
        self._own = config["swap"].get("selector", "adaptive")
        fixed = (*(name for name, rule in SELECTORS.items() if rule is not None), *self._selections)
        self.selectors = (self._own, *(name for name in fixed if name != self._own))
        self.attribute_groups = tuple(config["attribute_groups"])
        self._swapper = build_swapper(config)
        self._swap = jax.jit(self._swapper.swap)
        self._embed = jax.jit(self._swapper.embed)
        self._reconstruct = jax.jit(
            lambda networks, images: self._swapper.generate(
                networks, self._swapper.encode(networks, images).codes
            )
        )
        names = ("encoder", "swap", "generator", "identity")
        self._networks = {name: self.variables[name] for name in names}

    def swap(
        self,
        source: Images,
        target: Images,
        pose_from: Face = "target",
        identity_from: Face = "source",
        groups: Mapping[str, Face] | None = None,
        selector: str | None = None,
    ) -> SwapOutput:
        """Swaps faces.

        Args:
            source: faces that give the identity, pixels in [-1, 1].
            target: faces that give everything else.
            pose_from: whose pose the result has.
            identity_from: ``source`` swaps as trained; ``target`` takes everything from the target
                but what ``groups`` and ``pose_from`` say.
            groups: attribute groups by name that shall come from one face, whatever the module
                would decide; the adaptive selection alone knows which codes make them.
            selector: the model's own selection (the default) or a fixed rule, see ``selectors``.
                A rule that takes the pose code from the source does so whatever ``pose_from`` says.

        Raises:
            UserError: on an unknown face or selector, and on a group that is unknown or that the
                selector cannot take apart.
        """
        chosen = selector or self._own
        source_weights = self._source_weights(chosen)
        self._check_groups(chosen, groups or {})
        wanted = {"pose": pose_from, **(groups or {})}
        overrides = {name: self._origin(name, face) for name, face in wanted.items()}
        if self._origin("identity", identity_from) == FROM_TARGET:
            overrides = {**dict.fromkeys(self.attribute_groups, FROM_TARGET), **overrides}
        return self._swap(
            self._networks, source, target, self._swapper.overrides(overrides), source_weights
        )

    def embed(self, images: Images) -> Float[Array, "b e"]:
        """Unit embeddings of who faces are, by the identity net that guides the swap."""
        return self._embed(self._networks, images)

    @property
    def samples_are_rendered(self) -> bool:
        """Whether its identity net knows the people of the procedural world by their factors."""
        return self._swapper.identity.knows_factors

    def sample_face(self, seed: int) -> Float[Array, "r r 3"]:
        """A face of nobody, to be the source of a swap; the same for the same seed.

        Where ``samples_are_rendered``, one of the people of the procedural world, seen from the
        front, who is in no data set; else a sample of the swapper's generator, at truncation 0.7.
        """
        if self.samples_are_rendered:
            key = jax.random.fold_in(jax.random.key(NOBODY), np.uint32(seed))
            how = primitives.sample_attributes(key, 1)
            still = dict.fromkeys(STILL, jnp.zeros_like(how.yaw))
            how = dataclasses.replace(how, **still)
            who = primitives.sample_identities(key, 1)
            return primitives.render(who, how, int(self.config["resolution"])).image[0]
        generator = GeneratorModel(
            "generator", self.config["generator"], self.variables["generator"]
        )
        z = np.random.RandomState(seed).randn(1, generator.network.z_dim).astype(np.float32)
        return jnp.clip(generator.synthesize(generator.map(z, truncation_psi=0.7))[0], -1.0, 1.0)

    def reconstruct(self, images: Images) -> Float[Array, "b h w 3"]:
        """Faces drawn again from their own codes."""
        return self._reconstruct(self._networks, images)

    def _source_weights(self, selector: str) -> Float[Array, " n"] | None:
        """Fixed source_weights of the source by a selector's name; None for the model's own."""
        if selector not in self.selectors:
            raise UserError(f"selector is {selector!r}; expected one of {self.selectors}")
        if selector == self._own:
            return None
        if selector in self._selections:
            return jnp.asarray(self._selections[selector], jnp.float32)
        rule = SELECTORS[selector]
        assert rule is not None, "the others are fixed"
        layers = num_latents(self._swapper.generator.resolution)
        return jnp.asarray(rule(layers), jnp.float32)

    def _check_groups(self, selector: str, groups: Mapping[str, Face]) -> None:
        """Refuses attribute groups where nothing decides by attribute."""
        apart = sorted(groups.keys() - {"identity", "pose"})
        if apart and selector != "adaptive":
            raise UserError(
                f"got the attribute group {apart[0]!r} with selector {selector}; expected identity "
                "and pose alone, as it has no attribute queries; take a model trained with "
                "swap.selector adaptive"
            )

    def _origin(self, group: str, face: str) -> int:
        if group not in self.attribute_groups:
            raise UserError(
                f"attribute group is {group!r}; expected one of {self.attribute_groups}"
            )
        if face not in ORIGINS:
            raise UserError(f"{group} from {face!r}; expected 'source' or 'target'")
        return ORIGINS[face]


MODELS: dict[str, type[Model]] = {
    "generator": GeneratorModel,
    "discriminator": DiscriminatorModel,
    "identity": AnalyserModel,
    "judge": AnalyserModel,
    "swapper": SwapperModel,
    "psp": StyleEncoderModel,
    "e4e": StyleEncoderModel,
    "arcface": FaceEmbedderModel,
    "iresnet": FaceEmbedderModel,
    "lpips": LPIPSModel,
    "face_parser": FaceParserModel,
    "hopenet": HopenetModel,
    "inception": InceptionModel,
}
"""What ``load`` makes of a kind."""


def load(directory: str | Path) -> Any:
    """Opens a trained model.

    Args:
        directory: a model directory, a work directory (the averaged networks of its newest
            checkpoint), or ``embedded/NAME`` for a model that the package ships.

    Returns:
        The class of ``MODELS`` that belongs to the model's kind.

    Raises:
        UserError: if there is no model, or one of an unknown kind.
    """
    path = resolve_directory(directory)
    if (path / CONFIG_FILE).is_file() and newest_step(path) is not None:
        _, exported = export_workdir(path)
        kind, config, variables = exported.kind, exported.config, exported.variables
    else:
        meta, variables = read_model(path)
        kind, config = meta["kind"], meta["config"]
    if kind not in MODELS:
        raise UserError(
            f"{path} holds a model of kind {kind!r}; expected one of {tuple(MODELS)}; "
            "update alrl_jax or name another directory"
        )
    return MODELS[kind](kind, config, variables)


def load_kind(directory: str | Path, *kinds: str, remedy: str) -> Any:
    """Opens a model that must be of one of these kinds.

    Args:
        directory: see ``load``.
        kinds: keys of ``MODELS``.
        remedy: what to do about another kind, the last words of the error.

    Raises:
        UserError: nothing there, or a model of another kind.
    """
    model = load(directory)
    if model.kind not in kinds:
        raise UserError(
            f"got a model of kind {model.kind!r} in {directory}; expected "
            f"{' or '.join(map(repr, kinds))}; {remedy}"
        )
    return model


def export_workdir(workdir: Path) -> tuple[int, ExportedModel]:
    """The averaged networks of a run's newest checkpoint.

    Args:
        workdir: directory of a training run.

    Returns:
        The step of the checkpoint, and the model.

    Raises:
        UserError: if the directory holds no readable run.
    """
    values = read_config(workdir)
    if values is None:
        raise UserError(f"{workdir} holds no run; expected a directory that training wrote")
    # Nothing is learned any more: what only the losses ask for need not be at hand.
    task = make_task(Config.from_dict({**values, "losses": {}}))
    names = ("step", "params", "ema", "mutable")
    step, fields = read_fields(workdir, names)
    state = TrainState(**fields, opt_state={})
    return step, task.export(state, task.load_frozen())
