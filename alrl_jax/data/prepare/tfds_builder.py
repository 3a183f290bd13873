"""TFDS builders of this project's data sets.

``SyntheticFaces`` renders, ``FolderFaces`` reads photographs, and ``PreparedFaces`` takes what
``alrl prepare-dataset`` wrote, so that FFHQ or CelebAMask-HQ with its masks get there, too:

    alrl prepare-dataset --source=CelebAMask-HQ --output=DIR --resolution=256

    from alrl_jax.data.prepare.tfds_builder import PreparedConfig, PreparedFaces
    config = PreparedConfig(name="celebamask_256", directories={"train": "DIR"})
    builder = PreparedFaces(config=config, data_dir=DATA, file_format="array_record")
    builder.download_and_prepare()

``--config.data.source=tfds --config.data.path=DATA/prepared_faces/celebamask_256/1.0.0`` reads it
back, with ``--config.data.split=train``. Only this module and ``data.source=tfds`` need TensorFlow
Datasets (``pip install tensorflow-datasets``); TensorFlow itself is not needed, as images are
encoded here and ArrayRecord files are read without it. Examples have ``image``, ``identity`` and,
as far as they are known, the other fields of ``records.Layout``. Elsewhere, the class names of
``parsing`` are those of ``alrl_jax.worlds.primitives.PARSING_LABELS``; 255 is what is not labelled.
"""

# TFDS has a property where builders are to declare the class of their configuration.
# pyright: reportIncompatibleMethodOverride=false

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

from alrl_jax.data.folder import FolderSource
from alrl_jax.data.records import Layout
from alrl_jax.data.request import DataRequest
from alrl_jax.data.shards import ShardSource, open_shards
from alrl_jax.data.sources import SOURCES
from alrl_jax.data.world_faces import world_layout, world_plan
from alrl_jax.worlds import WORLDS, World

VERSION = "1.0.0"
CODE_PATH = epath.Path(__file__)
"""Said here because TFDS looks for it with a package that it does not depend on."""


@dataclasses.dataclass(eq=False)
class SyntheticConfig(tfds.core.BuilderConfig):
    """Size of a rendered data set; ``splits`` are names of the world's ``SPLITS``.

    ``source`` is an entry of ``SOURCES`` that a world draws.
    """

    resolution: int = 64
    num_identities: int = 1000
    images_per_identity: int = 6
    splits: tuple[str, ...] = ("train", "development", "test")
    cover_share: float = 0.0
    source: str = "synthetic"

    @property
    def world(self) -> World:
        """The world that draws the faces."""
        name = SOURCES[self.source].world
        if name is None:
            raise ValueError(f"got source {self.source}; expected one that a world draws")
        return WORLDS[name]


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """A tree of photographs; ``person_per`` as in ``FolderSource``."""

    directory: str = ""
    resolution: int = 256
    person_per: str = "image"


@dataclasses.dataclass(eq=False)
class PreparedConfig(tfds.core.BuilderConfig):
    """Directories that ``alrl prepare-dataset`` wrote, by the split that each becomes."""

    directories: dict[str, str] = dataclasses.field(default_factory=dict)


class SyntheticFaces(tfds.core.GeneratorBasedBuilder):
    """Rendered faces with everything that is known about them."""

    VERSION = tfds.core.Version(VERSION)
    code_path = CODE_PATH
    builder_config: SyntheticConfig
    BUILDER_CONFIGS = [SyntheticConfig(name="64", description="64 x 64 pixels")]

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes the features."""
        layout = world_layout(self.builder_config.resolution, self.builder_config.world)
        description = "Synthetic faces of people and circumstances that are known exactly."
        return _dataset_info(self, description, _labelled_features(layout))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """One generator a split."""
        known = self.builder_config.world.SPLITS
        unknown = set(self.builder_config.splits) - set(known)
        if unknown:
            raise ValueError(f"got splits {unknown}; expected some of {', '.join(known)}")
        return {split: self._generate_examples(split) for split in self.builder_config.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Renders a split, a chunk at a time."""
        config = self.builder_config
        counts = config.num_identities, config.images_per_identity
        asked = {"split": split, "cover_share": config.cover_share}
        request = DataRequest(config.source, None, config.resolution, *counts, **asked)
        plan = world_plan(request, config.world)
        for start in range(0, len(plan.identities), plan.chunk_size):
            records = plan.make(start, min(start + plan.chunk_size, len(plan.identities)))
            for index, record in enumerate(records, start):
                yield index, _labelled_example(record)


class FolderFaces(tfds.core.GeneratorBasedBuilder):
    """Photographs out of a directory tree, cut square and resized."""

    VERSION = tfds.core.Version(VERSION)
    code_path = CODE_PATH
    builder_config: FolderConfig

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes the features."""
        side = self.builder_config.resolution
        features = {"image": _image_feature(side, 3), "identity": np.int32}
        return _dataset_info(self, "Photographs of faces.", features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """All photos are for training."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Reads the tree."""
        config = self.builder_config
        source = FolderSource(Path(config.directory), config.resolution, config.person_per)
        for index, name in enumerate(source.names):
            record = source[index]
            yield name, {"image": _png(record["image"]), "identity": record["identity"]}


class PreparedFaces(tfds.core.GeneratorBasedBuilder):
    """Faces that were prepared before, with what is known about them."""

    VERSION = tfds.core.Version(VERSION)
    code_path = CODE_PATH
    builder_config: PreparedConfig

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes the features."""
        layouts = {source.layout for source in self._sources().values()}
        if len(layouts) != 1:
            raise ValueError(
                f"got directories of {len(layouts)} layouts; expected one layout; "
                "prepare all splits with the same resolution"
            )
        features = _labelled_features(layouts.pop()) | {"labelled": np.bool_}
        return _dataset_info(self, "Faces with masks where they are known.", features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """One generator a directory."""
        return {name: self._generate_examples(s) for name, s in self._sources().items()}

    def _generate_examples(self, source: ShardSource) -> Iterator[tuple[int, dict[str, Any]]]:
        """Reads a directory, record by record."""
        for index in range(len(source)):
            record = source.read(np.array([index]))[0]
            yield index, _labelled_example(record) | {"labelled": record["labelled"]}

    def _sources(self) -> dict[str, ShardSource]:
        """The directories, opened."""
        directories = self.builder_config.directories
        return {name: open_shards(Path(path)) for name, path in directories.items()}


def _dataset_info(
    builder: tfds.core.DatasetBuilder, description: str, features: dict[str, Any]
) -> tfds.core.DatasetInfo:
    """Puts the features into TFDS's form."""
    return tfds.core.DatasetInfo(
        builder=builder, description=description, features=tfds.features.FeaturesDict(features)
    )


def _labelled_features(layout: Layout) -> dict[str, Any]:
    """Features of a layout that have columns; their documentation is the columns' names."""

    def columns(names: tuple[str, ...], *shape: int) -> tfds.features.Tensor:
        return tfds.features.Tensor(
            shape=(len(names), *shape), dtype=np.float32, doc=", ".join(names)
        )

    features = {
        "image": _image_feature(layout.resolution, 3),
        "parsing": _image_feature(layout.resolution, 1),
        "identity": np.int32,
        "pose_degrees": tfds.features.Tensor(shape=(3,), dtype=np.float32),
    }
    widths = {"identity_factors": (), "attribute_factors": (), "landmarks": (2,)}
    known = {name: getattr(layout, name) for name in widths if getattr(layout, name)}
    return features | {name: columns(titles, *widths[name]) for name, titles in known.items()}


def _labelled_example(record: np.void) -> dict[str, Any]:
    """One structured record in TFDS's form."""
    names = ("identity", "identity_factors", "attribute_factors", "pose_degrees", "landmarks")
    images = {name: _png(record[name]) for name in ("image", "parsing")}
    return images | {name: record[name] for name in names if record[name].size}


def _image_feature(side: int, channels: int) -> tfds.features.Image:
    """A square PNG."""
    return tfds.features.Image(shape=(side, side, channels), encoding_format="png")


def _png(pixels: np.ndarray) -> io.BytesIO:
    """Encodes pixels here, because TFDS would ask TensorFlow to."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file
