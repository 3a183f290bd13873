"""What inference needs of a model, as structural types: what ``alrl_jax.load`` gives has it."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from alrl_jax.types import AnyArray, SwapOutput

Images = Float[AnyArray, "b h w 3"]
"""Pixels in [-1, 1]."""


@runtime_checkable
class HasWeights(Protocol):
    """A model whose weights can be hashed; see ``hashing.variables_sha256``."""

    @property
    def kind(self) -> str:
        """What kind of model it is, as its directory says."""
        ...

    @property
    def variables(self) -> Mapping[str, Any]:
        """Weights by network."""
        ...


@runtime_checkable
class Swapper(HasWeights, Protocol):
    """A model that swaps faces in batches of crops."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Plain values; ``resolution`` is the side of the crops in px."""
        ...

    def swap(
        self,
        source: Images | Float[AnyArray, "b k h w 3"],
        target: Images,
        *,
        pose_from: str = "target",
        identity_from: str = "source",
        groups: Mapping[str, str] | None = None,
        selector: str | None = None,
    ) -> SwapOutput:
        """Target faces with the identity of source faces; "source" and "target" say whose.

        Of k pictures of each source, their mean counts. The last two are given only where a user
        asks for attribute groups or a selection.
        """
        ...

    def embed(self, images: Images | Float[AnyArray, "b k h w 3"]) -> Float[Array, "b e"]:
        """Unit embeddings of identity."""
        ...


@runtime_checkable
class DrawsAgain(Protocol):
    """A swapper that can show how well it knows a face."""

    @property
    def least_face_psnr(self) -> float | None:
        """PSNR in dB that ``reconstruct`` reaches with any face; None where it is not known."""
        ...

    def reconstruct(self, images: Images) -> Float[AnyArray, "b h w 3"]:
        """Faces as the model draws them from their own codes."""
        ...


@runtime_checkable
class FaceSampler(HasWeights, Protocol):
    """A model that draws faces from seeds."""

    @property
    def samples_are_rendered(self) -> bool:
        """Whether the procedural world draws the faces, not a trained network."""
        ...

    def sample_face(self, seed: int) -> Float[AnyArray, "r r 3"]:
        """A face in [-1, 1]; equal seeds give equal faces."""
        ...


def resolution_of(model: Swapper) -> int:
    """Side of a swapper's crops in px."""
    return int(model.config["resolution"])
