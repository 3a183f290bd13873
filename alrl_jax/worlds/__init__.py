"""Face worlds: every factor of a face is known, and so is the true swap of every pair.

A world is a module with the functions of ``World``, and its line in ``WORLDS``.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int, Key

from alrl_jax.worlds import humans, primitives

__all__ = ["FACTOR_GROUPS", "WORLDS", "CoveringWorld", "RenderedFaces", "World"]


@runtime_checkable
class RenderedFaces(Protocol):
    """Rendered faces and their labels, arrays with one entry a face; a world may give more."""

    @property
    def image(self) -> Float[Array, "n r r 3"]:
        """SRGB values scaled to [-1, 1]."""
        ...

    @property
    def parsing(self) -> Int[Array, "n r r"]:
        """CelebAMask-HQ class of every pixel."""
        ...

    @property
    def pose_degrees(self) -> Float[Array, "n 3"]:
        """Yaw, pitch and roll of the head."""
        ...

    @property
    def landmarks(self) -> Float[Array, "n m 2"]:
        """Landmarks, x and y in pixels; the centre of the first pixel is (0.5, 0.5)."""
        ...


@runtime_checkable
class World(Protocol):
    """What every world has; its module is the object.

    Identities and attributes are structs of arrays of the world's own, one entry a face.

    Attributes:
        SPLITS: parts of its key space; people of one part never occur in another.
        IDENTITY_FACTORS: names of the columns of ``identity_vector``.
        ATTRIBUTE_FACTORS: names of the columns of ``attribute_vector``.
        ATTRIBUTE_GROUPS: the same names by what they are about; all worlds have the same groups.
        LANDMARKS: names of the landmarks that ``render`` gives.
    """

    __file__: str
    SPLITS: dict[str, int]
    IDENTITY_FACTORS: tuple[str, ...]
    ATTRIBUTE_FACTORS: tuple[str, ...]
    ATTRIBUTE_GROUPS: dict[str, tuple[str, ...]]
    LANDMARKS: tuple[str, ...]

    def split_key(self, split: str, seed: int = 0) -> Key[Array, ""]:
        """Key of the people and attributes of a part.

        Raises:
            UserError: there is no such part.
        """
        ...

    def identity_vector(self, identities: Any) -> Float[Array, "n i"]:
        """Factors of people, of mean 0 and deviation 1."""
        ...

    def attribute_vector(self, attributes: Any) -> Float[Array, "n a"]:
        """Factors of attributes, of mean 0 and deviation 1."""
        ...

    def sample_identities(self, key: Key[Array, ""], n: int) -> Any:
        """Draws ``n`` people; person i depends on ``key`` and i alone."""
        ...

    def sample_attributes(self, key: Key[Array, ""], n: int) -> Any:
        """Draws ``n`` sets of pose, expression, light and so on; set i depends on ``key`` and i.

        The same key may serve ``sample_identities``.
        """
        ...

    def render(self, identities: Any, attributes: Any, resolution: int) -> RenderedFaces:
        """Renders person i with the attributes i.

        A face depends on its own identity and attributes alone, so that the true swap is
        ``render(identities of the sources, attributes of the targets, resolution)``.

        Args:
            identities: from ``sample_identities``.
            attributes: as many, from ``sample_attributes``.
            resolution: side of the images in pixels, a multiple of 16 up to 1024.

        Raises:
            UserError: for another resolution, or numbers that differ.
        """
        ...


@runtime_checkable
class CoveringWorld(World, Protocol):
    """A world that can also draw what covers a face, a struct of its own with an entry a face."""

    def sample_covers(self, key: Key[Array, ""], n: int, share: float = 1.0) -> Any:
        """Draws covers of a share of ``n`` faces; cover i depends on ``key``, ``share`` and i."""
        ...

    def render(
        self, identities: Any, attributes: Any, resolution: int, covers: Any = None
    ) -> RenderedFaces:
        """Renders person i with the attributes i and, unless covers are None, the cover i.

        The true swap of a covered target has the target's cover.
        """
        ...


WORLDS: dict[str, World] = {"primitives": primitives, "humans": humans}
"""Worlds by name."""

FACTOR_GROUPS = {
    name: group
    for world in WORLDS.values()
    for group, names in {"identity": world.IDENTITY_FACTORS, **world.ATTRIBUTE_GROUPS}.items()
    for name in names
}
"""Group of every factor of every world: "identity", or one of its ``ATTRIBUTE_GROUPS``. A name that
several worlds know has the same group in all of them."""
