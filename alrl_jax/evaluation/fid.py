"""FID: how far apart two sets of images are, by the features of an Inception network.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
NeurIPS 2017: the Frechet distance of two normal distributions that have the mean and covariance of
the features.  The protocol is that of pytorch-fid: images as 8-bit files hold them, all of a set,
features in float32, moments in float64 with the n - 1 of samples.
"""

import dataclasses
import functools
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int, UInt8

from alrl_jax.errors import UserError
from alrl_jax.evaluation.report.images import from_bytes, to_bytes
from alrl_jax.loading import InceptionModel
from alrl_jax.models.published.inception import SIDE, resize_for_inception
from alrl_jax.photos.decoding import UnreadableImageError, read_pixels
from alrl_jax.types import AnyArray
from alrl_jax.utils.files import write_arrays
from alrl_jax.utils.hashing import file_sha256, variables_sha256

PROTOCOL = "fid-1"
"""A new name for every change of the code that changes the statistics of a set."""
MIN_IMAGES = 2

StoredImage = UInt8[np.ndarray, "h w 3"]
Progress = Callable[[Iterable[Path]], Iterable[Path]]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean and covariance of the features of a set of images.

    Attributes:
        count: number of images.
        mean: of their features.
        covariance: of their features, over count - 1.
    """

    count: int
    mean: Float64[np.ndarray, " f"]
    covariance: Float64[np.ndarray, "f f"]

    @functools.cached_property
    def root(self) -> Float64[np.ndarray, "f r"]:
        """R with R R^T equal to the covariance; computed once, however often it is used."""
        return _root(self.covariance)


class Moments:
    """Mean and covariance of vectors that are added in parts.

    Exact however the vectors are divided: each part is centred first (Chan et al. 1979).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: np.ndarray = np.zeros(0)
        self._scatter: np.ndarray = np.zeros((0, 0))

    def add(self, vectors: Float[np.ndarray, "b f"]) -> None:
        """Adds vectors to the set."""
        # Sums of thousands of squares: in float32 their small eigenvalues would be rounding.
        x = np.asarray(vectors, np.float64)
        if not self.count:
            self._mean = np.zeros(x.shape[1])
            self._scatter = np.zeros((x.shape[1], x.shape[1]))
        if not len(x):
            return
        mean = x.mean(axis=0)
        centred, apart = x - mean, mean - self._mean
        total = self.count + len(x)
        self._scatter += centred.T @ centred
        # About the common mean, two sets have their own scatters and that of their two means.
        self._scatter += np.outer(apart, apart) * (self.count * len(x) / total)
        self._mean = self._mean + apart * (len(x) / total)
        self.count = total

    def statistics(self) -> Statistics:
        """Mean and covariance of all.

        Raises:
            UserError: of less than two vectors.
        """
        if self.count < MIN_IMAGES:
            raise UserError(
                f"got {self.count} images; expected at least {MIN_IMAGES}, for a stable FID "
                "thousands; name a larger set"
            )
        return Statistics(self.count, self._mean, self._scatter / (self.count - 1))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """The squared Frechet distance of two normal distributions.

    |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2)).  The eigenvalues of C_a C_b are the
    squares of the singular values of R_a^T R_b, where C = R R^T: so there is no root of a product,
    whose small eigenvalues are lost in rounding where a set has fewer images than features.

    Raises:
        UserError: if the statistics are of different features.
    """
    if a.mean.shape != b.mean.shape:
        raise UserError(
            f"got statistics of {a.mean.size} and of {b.mean.size} features; expected the same "
            "network for both sets"
        )
    # Of a small matrix where sets are small: the roots have as many columns as directions.
    singular = np.linalg.svd(a.root.T @ b.root, compute_uv=False)
    apart = float(np.sum(np.square(a.mean - b.mean)))
    spread = float(np.trace(a.covariance) + np.trace(b.covariance))
    # For equal sets, rounding can leave a little less than nothing.
    return max(apart + spread - 2.0 * float(np.sum(singular)), 0.0)


def _root(covariance: Float64[np.ndarray, "f f"]) -> Float64[np.ndarray, "f r"]:
    """``Statistics.root``, without the directions that hold rounding alone."""
    values, vectors = np.linalg.eigh(covariance)
    # The bound by which ``np.linalg.matrix_rank`` calls a value zero.
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


def as_stored(images: Float[AnyArray, "b h w 3"]) -> UInt8[np.ndarray, "b h w 3"]:
    """Images in [-1, 1] as an 8-bit file holds them; FID sees nothing finer."""
    return np.stack([to_bytes(image) for image in np.asarray(images)])


class FeatureMoments(Moments):
    """Moments of the features of images that come in batches of one size."""

    def __init__(self, model: InceptionModel) -> None:
        super().__init__()
        self._model = model

    def add_images(
        self, images: UInt8[np.ndarray, "b h w 3"], numbers: Int[np.ndarray, " n"]
    ) -> None:
        """Adds some of a batch of 8-bit images, by number, to the set; see ``as_stored``."""
        if len(numbers):
            self.add(np.asarray(self._model(from_bytes(images)))[numbers])


def measure_images(
    model: InceptionModel, images: Iterable[StoredImage], batch_size: int = 32
) -> Statistics:
    """Statistics of images in memory.

    Args:
        model: of kind ``inception``.
        images: 8-bit images, each of its own size; see ``as_stored``.
        batch_size: images that the network sees at a time.

    Raises:
        UserError: if there are fewer than two.
    """
    moments, waiting = Moments(), np.zeros((batch_size, SIDE, SIDE, 3), np.float32)
    filled = 0
    for image in images:
        # Here, not on the device, which would need a compiled program for every size.
        waiting[filled] = resize_for_inception(from_bytes(image[None]))[0]
        filled += 1
        if filled == batch_size:
            # ``np.asarray`` waits for the result: the array has been read and may be filled again.
            moments.add(np.asarray(model.features(waiting)))
            filled = 0
    if filled:
        # A whole batch, so that nothing is compiled for the last one; old images follow its own.
        moments.add(np.asarray(model.features(waiting))[:filled])
    return moments.statistics()


def measure_files(
    model: InceptionModel,
    paths: Sequence[Path],
    cache: Path | None = None,
    batch_size: int = 32,
    progress: Progress = iter,
) -> Statistics:
    """Statistics of image files, each at its own size, from the cache where they are known.

    Args:
        model: of kind ``inception``.
        paths: the files in any order; one that is named twice counts twice.
        cache: directory of statistics, named by the contents of the files, the weights and the
            protocol.  None computes them every time.
        batch_size: images that the network sees at a time.
        progress: wraps the loop over the files, e.g. in a progress bar.

    Raises:
        UserError: if a file cannot be read, or there are fewer than two.
    """
    if cache is None:
        return measure_images(model, _read(progress(paths)), batch_size)
    known = cache / f"{_content_key(model, paths)}.npz"
    statistics = _read_statistics(known)
    if statistics is None:
        statistics = measure_images(model, _read(progress(paths)), batch_size)
        _write_statistics(known, statistics)
    return statistics


def _read(paths: Iterable[Path]) -> Iterator[StoredImage]:
    for path in paths:
        try:
            yield read_pixels(path)
        except (OSError, UnreadableImageError) as error:
            raise UserError(
                f"got {path} ({error}); expected an image file; leave it out"
            ) from error


def _content_key(model: InceptionModel, paths: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{PROTOCOL} {variables_sha256(model.variables)}".encode())
    try:
        # By contents, whatever their order: a folder that was moved or copied is still known.
        contents = sorted(file_sha256(path) for path in paths)
    except OSError as error:
        raise UserError(
            f"got {error.filename} ({error.strerror}); expected an image file"
        ) from error
    for content in contents:
        digest.update(content.encode())
    return digest.hexdigest()


def _read_statistics(path: Path) -> Statistics | None:
    """Statistics from the cache; None where there is no file, or a truncated one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Statistics(int(stored["count"]), stored["mean"], stored["covariance"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write_statistics(path: Path, statistics: Statistics) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, dataclasses.asdict(statistics))
