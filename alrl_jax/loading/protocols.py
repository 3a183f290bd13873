"""What an evaluation needs of the models that it opens, whatever their class.

The classes of ``alrl_jax.loading`` have it; so may stand-ins and models of others. Images are
``b h w 3`` in [-1, 1].
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int

from alrl_jax.loading.base import Images
from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.pair_codes import FrozenGates
from alrl_jax.types import SwapOutput


@runtime_checkable
class Described(Protocol):
    """A model that says what it is.

    Attributes:
        kind: what it does, a key of ``KINDS`` where it comes from ``alrl_jax.load``.
        config: plain values that rebuild its networks.
        variables: its weights, a tree of arrays.
    """

    kind: str
    config: dict[str, Any]
    variables: Any


@runtime_checkable
class Swapper(Described, Protocol):
    """A model that swaps faces.

    Attributes:
        selectors: rules that can select codes, first the model's own.
        attribute_groups: groups that a caller can take from either face.
        takes_features: whether the generator takes features of the target.
    """

    selectors: tuple[str, ...]
    attribute_groups: tuple[str, ...]

    @property
    def takes_features(self) -> bool: ...

    def swap(
        self,
        source: Images,
        target: Images,
        pose_from: str = "target",
        identity_from: str = "source",
        groups: Mapping[str, str] | None = None,
        selector: str | None = None,
        frozen: FrozenGates | None = None,
    ) -> SwapOutput:
        """Swaps faces; see ``SwapperModel.swap``."""
        ...

    def reconstruct(self, images: Images, with_features: bool = False) -> Float[Array, "b h w 3"]:
        """Faces that the generator draws from their own codes, and features."""
        ...

    def silhouettes(self, images: Images, resolution: int) -> Int[Array, "b r r"]:
        """Parsing class and distance to the face's edge; see ``SwapperModel.silhouettes``."""
        ...


@runtime_checkable
class Judge(Described, Protocol):
    """A network that reads the factors of faces, to measure swaps by them.

    Its ``config`` has ``resolution``, the side in pixels of the images that it takes. It was
    trained on other people than those that it measures, and no loss uses it.
    """

    def predict(self, images: Images) -> FaceFactors:
        """Identity, attributes, pose in degrees and landmarks as a share of the image's size."""
        ...

    def features(self, images: Images) -> list[Array]:
        """Feature maps from fine to coarse."""
        ...


@runtime_checkable
class MeasuringNetwork(Described, Protocol):
    """A network that makes one array of images: embeddings, degrees, logits or features."""

    def __call__(self, images: Images, /) -> Array:
        """One entry an image along the first axis."""
        ...


@runtime_checkable
class DistanceNetwork(Described, Protocol):
    """A network that says how different two images look."""

    def __call__(self, a: Images, b: Images, /) -> Array:
        """Distances, pair by pair."""
        ...
