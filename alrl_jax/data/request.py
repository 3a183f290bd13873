"""What is asked of a source of faces: one struct from the config to whoever opens the data."""

import dataclasses
import os
from pathlib import Path

from alrl_jax.utils.paths import local_path, path_or_mirror

FROM_BUCKETS = ("prepared", "folder")
"""Sources that are fetched from buckets; worlds are drawn where the disk is."""


@dataclasses.dataclass(frozen=True)
class DataRequest:
    """Values of the config's ``data`` section, and what else defines the faces.

    A source ignores what it has no use for.

    Attributes:
        source: entry of ``SOURCES``.
        path: where the data lie. None lets a world use a folder in the user's cache that is keyed
            by all that defines the images.
        resolution: side of the square images, in pixels.
        num_identities: number of people that a world makes.
        images_per_identity: images of each of them.
        split: part of a world's people, or of a TFDS data set.
        seed: number of the world.
        person_per: what shows a person of its own in a folder: every ``"image"`` or every
            ``"folder"`` in it; see ``folder.PERSON_PER``.
        cover_share: share of a world's images in which something covers the face.
        true_swaps: whether pairs come with their true swap, which only worlds know.
        progress: whether to draw progress bars.
    """

    source: str
    path: str | os.PathLike[str] | None
    resolution: int
    num_identities: int = 0
    images_per_identity: int = 0
    _: dataclasses.KW_ONLY
    split: str = "train"
    seed: int = 0
    person_per: str = "image"
    cover_share: float = 0.0
    true_swaps: bool = False
    progress: bool = True

    @property
    def directory(self) -> Path | None:
        """The path, with the user's home in place of ``~``; of an address its mirror."""
        if self.path is None:
            return None
        of_bucket = path_or_mirror if self.source in FROM_BUCKETS else local_path
        return Path(of_bucket(str(self.path)))
