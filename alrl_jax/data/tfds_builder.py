"""TFDS builders of this project's data sets.

    from alrl_jax.data.tfds_builder import SyntheticFaces
    builder = SyntheticFaces(config=SyntheticConfig(name="small", resolution=64, ...), data_dir=DIR,
                             file_format="array_record")
    builder.download_and_prepare()

``data.source=tfds`` with ``data.path=DIR/synthetic_faces/small/1.0.0`` reads it back. Only this
module needs TensorFlow Datasets; TensorFlow itself is not needed, as images are encoded here.
"""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

from alrl_jax import synthetic
from alrl_jax.data.folder import FolderSource
from alrl_jax.data.records import Layout
from alrl_jax.data.synthetic_faces import synthetic_layout, synthetic_plan

VERSION = "1.0.0"
CODE_PATH = epath.Path(__file__)
"""Said here because TFDS looks for it with a package that it does not depend on."""


@dataclasses.dataclass(eq=False)
class SyntheticConfig(tfds.core.BuilderConfig):
    """Size of a synthetic data set; ``splits`` are names of ``synthetic.SPLITS``."""

    resolution: int = 64
    num_identities: int = 1000
    images_per_identity: int = 6
    splits: tuple[str, ...] = ("train", "development", "test")


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """A tree of photographs; ``identities`` as in ``FolderSource``."""

    directory: str = ""
    resolution: int = 256
    identities: str = "image"


class SyntheticFaces(tfds.core.GeneratorBasedBuilder):
    """Rendered faces with everything that is known about them."""

    VERSION = tfds.core.Version(VERSION)
    code_path = CODE_PATH
    builder_config: SyntheticConfig
    BUILDER_CONFIGS = [SyntheticConfig(name="64", description="64 x 64 pixels")]

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes the features."""
        layout = synthetic_layout(self.builder_config.resolution)
        description = "Synthetic faces of people and circumstances that are known exactly."
        return _dataset_info(self, description, _labelled_features(layout))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """One generator a split."""
        unknown = set(self.builder_config.splits) - set(synthetic.SPLITS)
        if unknown:
            raise ValueError(
                f"got splits {unknown}; expected some of {', '.join(synthetic.SPLITS)}"
            )
        return {split: self._generate_examples(split) for split in self.builder_config.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Renders a split, a chunk at a time."""
        config = self.builder_config
        plan = synthetic_plan(
            config.resolution, config.num_identities, config.images_per_identity, split
        )
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
        """All pictures are for training."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Reads the tree."""
        config = self.builder_config
        source = FolderSource(Path(config.directory), config.resolution, config.identities)
        for index, name in enumerate(source.names):
            record = source[index]
            yield name, {"image": _png(record["image"]), "identity": record["identity"]}


def _dataset_info(
    builder: tfds.core.DatasetBuilder, description: str, features: dict[str, Any]
) -> tfds.core.DatasetInfo:
    """Puts the features into TFDS's form."""
    return tfds.core.DatasetInfo(
        builder=builder, description=description, features=tfds.features.FeaturesDict(features)
    )


def _labelled_features(layout: Layout) -> dict[str, Any]:
    """Features of a layout; the names of columns are their documentation."""

    def columns(names: tuple[str, ...], *shape: int) -> tfds.features.Tensor:
        return tfds.features.Tensor(
            shape=(len(names), *shape), dtype=np.float32, doc=", ".join(names)
        )

    return {
        "image": _image_feature(layout.resolution, 3),
        "parsing": _image_feature(layout.resolution, 1),
        "identity": np.int32,
        "identity_factors": columns(layout.identity_factors),
        "attribute_factors": columns(layout.attribute_factors),
        "pose_degrees": tfds.features.Tensor(shape=(3,), dtype=np.float32),
        "landmarks": columns(layout.landmarks, 2),
    }


def _labelled_example(record: np.void) -> dict[str, Any]:
    """One structured record in TFDS's form."""
    names = ("identity", "identity_factors", "attribute_factors", "pose_degrees", "landmarks")
    images = {name: _png(record[name]) for name in ("image", "parsing")}
    return images | {name: record[name] for name in names}


def _image_feature(side: int, channels: int) -> tfds.features.Image:
    """A square PNG."""
    return tfds.features.Image(shape=(side, side, channels), encoding_format="png")


def _png(pixels: np.ndarray) -> io.BytesIO:
    """Encodes pixels here, because TFDS would ask TensorFlow to."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file
