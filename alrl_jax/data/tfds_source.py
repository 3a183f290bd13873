"""TensorFlow data sets as a source, read without TensorFlow.

Any prepared data set with an image feature will do. Features that are named like the fields of
``records.Layout`` are used (those of ``alrl_jax.data.prepare.tfds_builder`` are); the names of
columns stand in the documentation of the feature, separated by commas. With a ``parsing`` feature
faces are labelled, but for those whose ``labelled`` feature says otherwise.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from alrl_jax.data.records import Layout, to_dict
from alrl_jax.data.shards import progress_bar
from alrl_jax.errors import UserError
from alrl_jax.photos.decoding import square

COLUMNS = ("identity_factors", "attribute_factors", "landmarks")
"""Features whose columns have names."""


class TfdsSource:
    """Reads a TFDS data set; see ``records.Source``."""

    def __init__(self, path: str, split: str, resolution: int, progress: bool = True) -> None:
        """Opens a split and reads the person numbers of its images.

        Args:
            path: directory of a prepared data set (it holds ``dataset_info.json``), or ``NAME`` or
                ``NAME:VERSION`` of one in TFDS's own data directory. Nothing is downloaded.
            split: for example "train" or "train[:10%]".
            resolution: side of the square images, in pixels.
            progress: whether to draw a progress bar.

        Raises:
            UserError: no such data set or split, or one that cannot be used.
        """
        builder = _builder(path)
        features = dict(builder.info.features or {})
        if "image" not in features:
            raise UserError(
                f"got TFDS data set {path} with features {', '.join(sorted(features))}; "
                "expected one called image; use another data set"
            )
        self._labelled = "parsing" in features
        self._known = [name for name in (*COLUMNS, "pose_degrees") if name in features]
        self.layout = _layout(features, resolution, self._labelled, path)
        self.report: list[tuple[str, str]] = []
        self._data = _open_split(builder, split, path, None)
        self.identities = _identities(builder, features, split, path, progress)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One record as a dictionary."""
        return to_dict(self.read(np.array([index]))[0], index)

    def read(self, indices: Int[np.ndarray, " b"]) -> np.ndarray:
        """The records of these images, structured, ``[b]``."""
        records = self.layout.empty(len(indices))
        records["identity"] = self.identities[indices]
        for place, index in enumerate(indices):
            element = self._data[int(index)]
            records["image"][place] = _fit(np.asarray(element["image"]), self.layout.resolution)
            if self._labelled and element.get("labelled", True):
                records["labelled"][place] = True
                records["parsing"][place] = np.asarray(element["parsing"])[..., 0]
                records["pose_degrees"][place] = np.nan  # unless it is known
                for name in self._known:
                    records[name][place] = element[name]
        return records


def _builder(path: str) -> Any:
    """Builder of a prepared data set."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            "got data.source=tfds without tensorflow-datasets; expected it to be installed; "
            "pip install tensorflow-datasets"
        ) from error
    try:
        if Path(path).is_dir():
            return tfds.builder_from_directory(path)
        return tfds.builder(path, file_format="array_record")
    # TFDS reports what is missing by any of these.
    except (OSError, AssertionError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        raise UserError(
            f"got TFDS data set {path} ({first}); expected NAME, NAME:VERSION or the directory "
            "that holds its dataset_info.json; set data.path"
        ) from error


def _open_split(builder: Any, split: str, path: str, decoders: dict[str, Any] | None) -> Any:
    """Random access to a split."""
    try:
        return builder.as_data_source(split, decoders=decoders)
    # Not prepared, no such split, not in ArrayRecord format.
    except (OSError, AssertionError, NotImplementedError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"got split {split!r} of TFDS data set {path} ({reason}); expected a prepared split in "
            "ArrayRecord format; prepare it with file_format='array_record'"
        ) from error


def _layout(features: dict[str, Any], resolution: int, labelled: bool, path: str) -> Layout:
    """Fields that the features give."""
    if not labelled:
        return Layout(resolution)
    side = features["parsing"].shape[0]
    if side != resolution:
        raise UserError(
            f"got resolution {resolution} for TFDS data set {path}; expected {side}, the size of "
            "its parsing; set resolution to it, or build the data set again"
        )
    known = [name for name in COLUMNS if name in features]
    columns = {name: tuple(features[name].doc.desc.split(", ")) for name in known}
    for name, titles in columns.items():
        if features[name].shape[0] != len(titles):
            raise UserError(
                f"got {len(titles)} column names of {name} in TFDS data set {path}; expected "
                f"{features[name].shape[0]}; document the feature as 'name, name, ...'"
            )
    return Layout(resolution, **columns)


def _identities(
    builder: Any, features: dict[str, Any], split: str, path: str, progress: bool
) -> Int[np.ndarray, " n"]:
    """Person number of every image; everybody is another person where nothing is said."""
    import tensorflow_datasets as tfds

    skip = {name: tfds.decode.SkipDecoding() for name in ("image", "parsing") if name in features}
    data = _open_split(builder, split, path, skip)
    if "identity" not in features:
        return np.arange(len(data), dtype=np.int32)
    numbers = np.empty(len(data), np.int32)
    with progress_bar(len(data), f"reading identities of {path}", progress) as bar:
        for i in range(len(data)):
            numbers[i] = data[i]["identity"]
            bar.update()
    return numbers


def _fit(image: np.ndarray, resolution: int) -> np.ndarray:
    """Cuts and resizes a decoded image ``[h, w, 1|3|4]``, as photographs are."""
    if image.shape == (resolution, resolution, 3):
        return image
    decoded = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return np.array(square(decoded, resolution))
