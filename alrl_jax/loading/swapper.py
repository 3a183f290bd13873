"""Face swappers, as ``alrl_jax.load`` opens them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from alrl_jax.errors import UserError
from alrl_jax.loading.base import AnyImages, Images, Model, PyTree
from alrl_jax.loading.checking import check_images, check_pair
from alrl_jax.loading.generator import GeneratorModel
from alrl_jax.models.build import build_swapper
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.pair_codes import FROM_SOURCE, FROM_TARGET, FrozenGates
from alrl_jax.models.swapper.selection import SELECTORS
from alrl_jax.models.swapper.swapper import NETWORKS, Swapper
from alrl_jax.models.swapper.target_features import silhouette_cells
from alrl_jax.types import AnyArray, SwapOutput
from alrl_jax.worlds import primitives

Face = str
"""``source`` or ``target``."""

FACES: dict[Face, int] = {"source": FROM_SOURCE, "target": FROM_TARGET}
"""The two faces that an attribute group can come from, as the networks encode them."""

WITHOUT_OWNERS = ("identity", "pose")
"""What a caller can ask of a model that does not know which codes make an attribute group."""

LEAST_FACE_PSNR = 21.0
SAMPLE_SEED = 20230304
"""Seeds the sampled people of the procedural world; none of them is in a split of it."""
NEUTRAL = ("yaw", "pitch", "roll", "smile", "mouth_open", "blink", "brow_raise", "hair_fringe")
"""Attributes that are 0 in a sampled face: upright, neutral, nothing over the face."""


class SwapperModel(Model):
    """Kind ``swapper``: pairs of faces to swapped faces.

    Attributes:
        selectors: rules that can select codes, first the one that the model was trained with; the
            last are those that were found for this very model (``selections`` of its config).
        attribute_groups: groups that a caller can take from either face: of a model whose selection
            is not ``adaptive``, or whose ownership of codes was never trained, identity and pose
            alone.
        networks: variables of the networks that a swap reads.
    """

    selectors: tuple[str, ...]
    attribute_groups: tuple[str, ...]

    def __init__(self, kind: str, config: dict[str, Any], variables: PyTree) -> None:
        # A fixed rule has no weights, and a swapper may take no features of the target.
        super().__init__(kind, config, {"swap": {}, "target_features": {}, **variables})
        self._selections = config.get("selections", {})
        self._own = config["swap"].get("selector", "adaptive")
        fixed = (*(name for name, rule in SELECTORS.items() if rule is not None), *self._selections)
        self.selectors = (self._own, *(name for name in fixed if name != self._own))
        self._owners_trained = bool(config["swap"].get("owners_trained"))
        known = tuple(config["attribute_groups"])
        self.attribute_groups = known if self._owners_trained else WITHOUT_OWNERS
        self._swapper = build_swapper(config)
        self._swap = jax.jit(self._swapper.swap)
        self._embed = jax.jit(self._swapper.embed)
        self._reconstruct = jax.jit(self._swapper.reconstruct, static_argnames="with_features")
        self._silhouettes = jax.jit(
            lambda networks, images, side: silhouette_cells(
                self._swapper.encode(networks, images), side
            ),
            static_argnums=2,
        )
        self.networks = {n: self.variables[n] for n in NETWORKS if n in self.variables}

    def add_selection(self, name: str, source_weights: Sequence[float]) -> None:
        """Adds a fixed rule to ``selectors``, such as one that was found for a related model.

        Args:
            name: of the rule.
            source_weights: weight of the source in the pose code, then in every layer of W+.
        """
        self._selections = {**self._selections, name: list(source_weights)}
        self.selectors = (*self.selectors, name)

    def swap(
        self,
        source: AnyImages | Float[AnyArray, "b k h w 3"],
        target: AnyImages,
        pose_from: Face = "target",
        identity_from: Face = "source",
        groups: Mapping[str, Face] | None = None,
        selector: str | None = None,
        frozen: FrozenGates | None = None,
    ) -> SwapOutput:
        """Swaps faces.

        Args:
            source: faces that give the identity, pixels in [-1, 1]; k pictures of each person are
                averaged, by their codes and embeddings.
            target: faces that give everything else.
            pose_from: whose pose the result has.
            identity_from: ``source`` swaps as trained; ``target`` takes everything from the target
                but what ``groups`` and ``pose_from`` say.
            groups: the face that an attribute group, by name, comes from, whatever the module
                would decide; the adaptive selection alone knows which codes make them.
            selector: the model's own selection (the default) or a fixed rule, see ``selectors``.
                A rule that takes the pose code from the source does so whatever ``pose_from`` says.
            frozen: decisions that are the same for all pairs, in place of the model's own; see
                ``alrl_jax.evaluation.frozen``.

        Raises:
            UserError: on images of another shape, type or range, on an unknown face or selector,
                and on a group that is unknown or that the selector cannot take apart.
        """
        side = int(self.config["resolution"])
        if jnp.ndim(source) == 5:
            check_images(_pictures(source), side, name="source")
        check_pair(source[:, 0] if jnp.ndim(source) == 5 else source, target, side)
        source_weights, asked = self.asked(pose_from, identity_from, groups, selector)
        return self._swap(self.networks, source, target, asked, source_weights, frozen)

    def asked(
        self,
        pose_from: Face = "target",
        identity_from: Face = "source",
        groups: Mapping[str, Face] | None = None,
        selector: str | None = None,
    ) -> tuple[Float[Array, " n"] | None, Int[Array, " k"]]:
        """What a caller asks for as the networks read it; see ``swap``.

        Returns:
            Fixed weights of the source, None for the model's own selection; and which face decides
            over every attribute group.

        Raises:
            UserError: on an unknown face or selector, and on a group that is unknown or that the
                selector cannot take apart.
        """
        chosen = selector or self._own
        source_weights = self._source_weights(chosen)
        self._check_groups(chosen, groups or {})
        wanted = {"pose": pose_from, **(groups or {})}
        overrides = {name: self._face_code(name, face) for name, face in wanted.items()}
        if self._face_code("identity", identity_from) == FROM_TARGET:
            every = self._swapper.selector.attribute_groups
            overrides = {**dict.fromkeys(every, FROM_TARGET), **overrides}
        return source_weights, self._swapper.overrides(overrides)

    def embed(self, images: AnyImages | Float[AnyArray, "b k h w 3"]) -> Float[Array, "b e"]:
        """Unit embeddings of the identities of faces, by the identity net that guides the swap.

        Of k pictures of each person, the embedding of the mean.
        """
        check_images(_pictures(images), int(self.config["resolution"]))
        return self._embed(self.networks, images)

    def _facts(self) -> list[str]:
        selectors, groups = ", ".join(self.selectors), ", ".join(self.attribute_groups)
        return [*super()._facts(), f"selectors: {selectors}", f"groups: {groups}"]

    @property
    def module(self) -> Swapper:
        """The networks' modules and how they work together, without weights."""
        return self._swapper

    @property
    def samples_are_rendered(self) -> bool:
        """Whether ``sample_face`` renders, as the identity net reads the factors of a world."""
        return self._swapper.identity.knows_factors

    @property
    def least_face_psnr(self) -> float | None:
        """PSNR in dB that ``reconstruct`` reaches with the crop of a face, at least.

        None of models for which it was not measured, as those of photographs. Of
        ``embedded/swapper_64``, 24 rendered faces have 23.6 or more; the same faces turned by 90 or
        180 degrees, noise and landscapes 18.9 or less.
        """
        return LEAST_FACE_PSNR if self.samples_are_rendered else None

    def sample_face(self, seed: int) -> Float[Array, "r r 3"]:
        """A face of a person who does not exist, for the source of a swap.

        The same seed gives the same face.  Where ``samples_are_rendered``, it is rendered: a person
        of the procedural world who is in no data set, seen from the front.  Else the swapper's
        generator draws it, at truncation 0.7.
        """
        if self.samples_are_rendered:
            key = jax.random.fold_in(jax.random.key(SAMPLE_SEED), np.uint32(seed))
            sampled = primitives.sample_attributes(key, 1)
            neutral = dict.fromkeys(NEUTRAL, jnp.zeros_like(sampled.yaw))
            attributes = dataclasses.replace(sampled, **neutral)
            identities = primitives.sample_identities(key, 1)
            resolution = int(self.config["resolution"])
            return primitives.render(identities, attributes, resolution).image[0]
        generator = GeneratorModel(
            "generator", self.config["generator"], self.variables["generator"]
        )
        z = np.random.RandomState(seed).randn(1, generator.network.z_dim).astype(np.float32)
        return jnp.clip(generator.synthesize(generator.map(z, truncation_psi=0.7))[0], -1.0, 1.0)

    @property
    def takes_features(self) -> bool:
        """Whether the generator takes features of the target."""
        return self._swapper.target_features is not None

    def reconstruct(
        self, images: AnyImages, with_features: bool = False
    ) -> Float[Array, "b h w 3"]:
        """Faces that the generator draws from their own codes, and features if that is wanted.

        Raises:
            UserError: on images of another shape, type or range.
        """
        check_images(images, int(self.config["resolution"]))
        return self._reconstruct(self.networks, images, with_features=with_features)

    def silhouettes(self, images: Images, resolution: int) -> Int[Array, "b r r"]:
        """Parsing class and distance to the face's edge as the encoder sees them, as one number a
        pixel; see ``silhouette_cells``."""
        return self._silhouettes(self.networks, images, resolution)

    def _source_weights(self, selector: str) -> Float[Array, " n"] | None:
        """The fixed source weights of a selector; None for the model's own."""
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
        """Refuses attribute groups where the selector does not decide by attribute."""
        apart = sorted(groups.keys() - set(WITHOUT_OWNERS))
        if apart and selector != "adaptive":
            raise UserError(
                f"got the attribute group {apart[0]!r} with selector {selector}; expected identity "
                "and pose alone, as it has no attribute queries; take a model trained with "
                "swap.selector adaptive"
            )
        if apart and not self._owners_trained:
            raise UserError(
                f"got the attribute group {apart[0]!r} of a model whose ownership of codes was "
                "never trained; expected identity and pose alone, as its groups own codes by "
                "chance; take a model trained with losses.attribute_groups above 0"
            )

    def _face_code(self, group: str, face: str) -> int:
        if group not in self.attribute_groups:
            raise UserError(
                f"attribute group is {group!r}; expected one of {self.attribute_groups}"
            )
        if face not in FACES:
            raise UserError(f"{group} from {face!r}; expected 'source' or 'target'")
        return FACES[face]


def _pictures(images: AnyImages | Float[AnyArray, "b k h w 3"]) -> AnyImages:
    """All pictures as one batch, of people of whom there are several each."""
    return images.reshape(-1, *images.shape[2:]) if jnp.ndim(images) == 5 else images
