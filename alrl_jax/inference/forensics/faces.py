"""The people of a forensics set: folders of photos, or rendered heads that are made as needed."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from alrl_jax.errors import UserError
from alrl_jax.photos.file_trees import list_images
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import png
from alrl_jax.utils.files import write_files
from alrl_jax.worlds import WORLDS

RENDERED = "faces"
"""Folder of rendered faces in a set's own."""
BATCH = 8
"""Faces that are rendered at a time."""


@dataclasses.dataclass(frozen=True)
class Folders:
    """Photos in a folder for each person.

    Attributes:
        root: where the folders lie.
    """

    root: Path

    def pictures(self) -> dict[str, list[str]]:
        """Names of the photos of every person.

        Raises:
            UserError: there is no such folder.
        """
        names = list_images(self.root) if self.root.is_dir() else []
        found: dict[str, list[str]] = {}
        for name in sorted(names):
            person, _, picture = name.partition("/")
            if picture:
                found.setdefault(person, []).append(picture)
        if not found:
            raise UserError(
                f"got --faces={self.root}; expected a directory with a folder of photos for each "
                "person; check the path"
            )
        return found

    def path(self, person: str, picture: str) -> Path:
        """Where a photo lies."""
        return self.root / person / picture

    def make(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Photos are there."""


@dataclasses.dataclass(frozen=True)
class Heads:
    """Rendered heads: file ``PERSON/PICTURE.png`` of a folder, written when they are needed.

    Attributes:
        root: folder for them.
        world: key of ``WORLDS``.
        people: how many there are.
        images: of each.
        seed: which people, and how they look.
        resolution: side of an image in px.
    """

    root: Path
    world: str
    people: int
    images: int
    seed: int
    resolution: int

    def pictures(self) -> dict[str, list[str]]:
        """Names of the images of every person."""
        names = [f"{image:03d}.png" for image in range(self.images)]
        return {f"{person:06d}": names for person in range(self.people)}

    def path(self, person: str, picture: str) -> Path:
        """Where an image lies, once it was made."""
        return self.root / person / picture

    def make(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Renders those that are not there yet.

        Raises:
            UserError: one cannot be written.
        """
        missing = sorted({one for one in wanted if not self.path(*one).exists()})
        for start in range(0, len(missing), BATCH):
            self._render(missing[start : start + BATCH])

    def _render(self, names: Sequence[tuple[str, str]]) -> None:
        world = WORLDS[self.world]
        padded = [*names, *[names[-1]] * (BATCH - len(names))]
        draws = [
            (self._draw(world, int(person), int(Path(picture).stem))) for person, picture in padded
        ]
        identities, attributes = (
            jax.tree.map(lambda *values: np.concatenate([np.asarray(v) for v in values]), *column)
            for column in zip(*draws, strict=True)
        )
        images = np.asarray(world.render(identities, attributes, self.resolution).image)
        for (person, picture), image in zip(names, images, strict=False):
            path = self.path(person, picture)
            pixels = np.rint((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_files({path: png.encode(pixels)})
            except OSError as error:
                raise UserError(
                    f"got {path} ({error.strerror}); expected a file that can be written; make room"
                ) from error

    def _draw(self, world: object, person: int, image: int) -> tuple[object, object]:
        """Identity and attributes of one image."""
        key = jax.random.key(self.seed)
        of_person = jax.random.fold_in(jax.random.fold_in(key, 0), person)
        of_image = jax.random.fold_in(jax.random.fold_in(key, 1), person * self.images + image)
        return (
            world.sample_identities(of_person, 1),  # type: ignore[attr-defined]
            world.sample_attributes(of_image, 1),  # type: ignore[attr-defined]
        )


Faces = Folders | Heads


def described(faces: Faces, pictures: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """What a recipe says of the faces."""
    count = {"people": len(pictures), "pictures": sum(map(len, pictures.values()))}
    if isinstance(faces, Folders):
        return {"faces": faces.root.name, **count}
    return {
        "world": faces.world,
        "seed_of_people": faces.seed,
        "resolution": faces.resolution,
        "digital_source_type": image_metadata.RENDERED_SOURCE_TYPE,
        **count,
    }
