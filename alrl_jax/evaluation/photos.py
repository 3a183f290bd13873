"""The benchmark of photos: the true swaps are unknown, so judges measure.

Each judge may be missing; what it alone can measure is then left out. The one swap whose true
result is known is that of a photo with itself (row ``self_swap``).
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.evaluation import fid, image_metrics, judges, judging
from alrl_jax.evaluation.benchmark import DILATION_AT_64, background_of
from alrl_jax.evaluation.judges import Judges
from alrl_jax.evaluation.measuring import Collector, Measurement, batches, keep_row
from alrl_jax.evaluation.metric_table import Values
from alrl_jax.evaluation.presets import Preset
from alrl_jax.evaluation.report.images import from_bytes
from alrl_jax.evaluation.rows import Question, Row, RowImages, own_row
from alrl_jax.loading import InceptionModel
from alrl_jax.loading.protocols import MeasuringNetwork, Swapper
from alrl_jax.photos.decoding import UnreadableImageError
from alrl_jax.photos.face_photos import read_faces
from alrl_jax.photos.found_face import FaceNotFoundError
from alrl_jax.photos.landmarks import FaceFinder
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.types import AnyArray

SELF_SWAP = "self_swap"

GALLERY = "the source photos themselves, every file once"

NOTES = {
    "pictures": "crops and results are rounded to 8 bits, as files hold them, before anything is "
    "measured; no mark of provenance is in them yet",
    "identity": "cosine of unit embeddings of row and source; row self_swap: of row and target",
    "retrieval": f"gallery: {GALLERY}; nearest by cosine; ties count against the row; not measured "
    "in a gallery that is no larger than what is looked at",
    "pose_error_degrees": "L2 over yaw, pitch and roll, mean over pairs: judge's pose of the row, "
    "judge's pose of the target",
    "self_swap": "target swapped with itself, blended; psnr, ssim, lpips, face_psnr, face_ssim and "
    "mask_iou are to the target, which is its true result; that of other rows is unknown",
    "face_region": "skin, nose, glasses, eyes, brows, mouth and lips of the target, as the parser "
    "sees them",
    "background_psnr": "row to target, outside the face region of the target dilated by "
    f"{DILATION_AT_64} px at 64 px (square)",
    "mask_iou": "blending mask cut at 0.5 and face region",
    "fid": "8-bit images, features in float32, moments in float64 over n - 1; falls with the "
    "number of images: compare figures of equally many alone, thousands where you can",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How pairs of photos are measured.

    Attributes:
        preset: the protocol.
        resolution: of the face crops, in px.
        batch_size: pairs at a time; figures do not depend on it.
        num_shown: how many of the first pairs to keep images of.
        finder: finds the faces; None where photos are face crops already.
        fid_reference: statistics that FID compares with; None stands for the targets, every file
            once.
    """

    preset: Preset
    resolution: int
    batch_size: int = 20
    num_shown: int = 8
    finder: FaceFinder | None = None
    fid_reference: fid.Statistics | None = None


def read_crop(path: Path, resolution: int, finder: FaceFinder | None) -> Float[np.ndarray, "r r 3"]:
    """The crop of the largest face of a photo, in [-1, 1], in steps of 8 bits.

    Raises:
        UserError: the photo cannot be read, or has no face in it.
    """
    try:
        photo = read_faces(path, "", finder, "largest", resolution)
    except (UnreadableImageError, OSError) as error:
        raise UserError(f"got {path} ({error}); expected a photo; correct the list") from error
    except FaceNotFoundError as error:
        raise UserError(f"got {path} ({error}); expected a face in it; correct the list") from error
    return round_to_bytes(photo.faces[0].crop[None])[0]


def round_to_bytes(images: Float[AnyArray, "b h w 3"]) -> Float[np.ndarray, "b h w 3"]:
    """Images in [-1, 1], rounded as if they had been written to a file of 8 bits."""
    return from_bytes(fid.as_stored(images))


def pictures_sha256(pairs: list[PairFiles]) -> str:
    """One hash of the contents of all photos, in the order of the pairs.

    Raises:
        UserError: one of them cannot be read.
    """
    digest, known = hashlib.sha256(), {}
    for path in (path for pair in pairs for path in (pair.source, pair.target)):
        try:
            if path not in known:
                known[path] = hashlib.sha256(path.read_bytes()).digest()
        except OSError as error:
            reason = error.strerror
            raise UserError(f"got {path} ({reason}); expected a photo; correct the list") from error
        digest.update(known[path])
    return digest.hexdigest()


def measure_photos(
    model: Swapper,
    judged_by: Judges,
    pairs: list[PairFiles],
    rows: dict[str, Row],
    settings: Settings,
) -> Measurement:
    """Measures pairs of photos by the judges that are given.

    Raises:
        UserError: a photo cannot be used, FID is asked of fewer than two, or the model generates
            numbers that are not finite.
    """
    if judged_by.inception is not None and len(pairs) < fid.MIN_IMAGES:
        raise UserError(
            f"got --inception with {len(pairs)} pairs; expected at least {fid.MIN_IMAGES}, for a "
            "stable FID thousands; leave it out"
        )
    examination = _Examination(judged_by, settings)
    todo = list(batches(len(pairs), settings.batch_size))
    for numbers, valid in tqdm(todo, desc="evaluate", unit="batch"):
        chosen = [pairs[i] for i in numbers]
        crop = lambda path: read_crop(path, settings.resolution, settings.finder)  # noqa: E731
        source = np.stack([crop(pair.source) for pair in chosen])
        target = np.stack([crop(pair.target) for pair in chosen])
        shown = max(0, min(valid, settings.num_shown - int(numbers[0])))
        examination.begin(source, target, [pair.target for pair in chosen], shown, valid)
        for name, row in rows.items():
            answer = row(model, Question(source, target))
            if not np.isfinite(np.asarray(answer.image)).all():
                raise UserError(
                    f"got numbers that are not finite in row {name}; expected images; is the "
                    "model damaged, or did its training diverge?"
                )
            answer = dataclasses.replace(answer, image=round_to_bytes(answer.image))
            examination.measure(name, answer)
            own = name == own_row(rows)
            keep_row(examination.collector, name, answer, shown, valid, own)
    return examination.finish(pairs, tuple(rows))


class _Examination:
    """The judges, and what they have measured so far."""

    def __init__(self, judged_by: Judges, settings: Settings) -> None:
        self.collector = Collector()
        self._judges, self._preset = judged_by, settings.preset
        self._reference = settings.fid_reference
        self._moments: dict[str, fid.FeatureMoments] = {}
        self._targets: set[Path] = set()

    def begin(
        self,
        source: Float[np.ndarray, "b h w 3"],
        target: Float[np.ndarray, "b h w 3"],
        target_files: list[Path],
        shown: int,
        valid: int,
    ) -> None:
        """Measures sources and targets of the next pairs, of which the first ``valid`` count."""
        by = self._judges
        self._target, self._valid = target, valid
        self.collector.add("images", "source", source, shown)
        self.collector.add("images", "target", target, shown)
        self._region = None if by.parser is None else judges.face_region(by.parser, target)
        self._pose = None if by.pose is None else judges.pose_degrees(by.pose, target)
        if by.identity is not None:
            self._people = {
                "source": self._embed(by.identity, source),
                "target": self._embed(by.identity, target),
            }
            self.collector.add("people", "source", self._people["source"], valid)
        if by.inception is not None and self._reference is None:
            files = [path.resolve() for path in target_files[:valid]]
            first = {path: i for i, path in reversed(list(enumerate(files)))}
            fresh = sorted(i for path, i in first.items() if path not in self._targets)
            self._targets.update(files)
            self._moments_of("", by.inception).add_images(
                fid.as_stored(target), np.array(fresh, np.int64)
            )

    def measure(self, name: str, answer: RowImages) -> None:
        """Measures the images of a row."""
        by, image = self._judges, np.asarray(answer.image)
        itself = name == SELF_SWAP
        if by.identity is not None:
            embedding = self._embed(by.identity, image)
            own = self._people["target" if itself else "source"]
            self._add(name, "identity_similarity", judging.cosine(embedding, own))
            self.collector.add("embedding", name, embedding, self._valid)
        if by.pose is not None:
            degrees = judges.pose_degrees(by.pose, image)
            self._add(name, "pose_error_degrees", judging.pose_errors(degrees, self._pose))
        if self._region is not None:
            background = background_of(self._region)
            values = image_metrics.psnr(image, self._target, background)
            self._add(name, "background_psnr", values)
        if itself:
            self._measure_against_truth(name, answer)
        if by.inception is not None:
            stored = fid.as_stored(image)
            self._moments_of(name, by.inception).add_images(stored, np.arange(self._valid))

    def _measure_against_truth(self, name: str, answer: RowImages) -> None:
        image, truth, region = np.asarray(answer.image), self._target, self._region
        self._add(name, "psnr", image_metrics.psnr(image, truth))
        self._add(name, "ssim", image_metrics.ssim(image, truth))
        if self._judges.lpips is not None:
            self._add(name, "lpips", self._judges.lpips(image, truth))
        if region is not None:
            self._add(name, "face_psnr", image_metrics.psnr(image, truth, region))
            self._add(name, "face_ssim", image_metrics.ssim(image, truth, region))
            if answer.mask is not None:
                self._add(name, "mask_iou", image_metrics.mask_iou(answer.mask, region))

    def _embed(
        self, network: MeasuringNetwork, images: Float[np.ndarray, "b h w 3"]
    ) -> Float[np.ndarray, "b k"]:
        face = None
        if self._preset.masked:
            assert self._judges.parser is not None, "check_judges asks for one"
            face = judges.face_region(self._judges.parser, images)
        return judges.embed(network, self._preset.views[network.kind], images, face)

    def _add(self, row: str, metric: str, values: Float[AnyArray, " b"]) -> None:
        self.collector.add(row, metric, values, self._valid)

    def _moments_of(self, row: str, inception: InceptionModel) -> fid.FeatureMoments:
        return self._moments.setdefault(row, fid.FeatureMoments(inception))

    def finish(self, pairs: list[PairFiles], rows: tuple[str, ...]) -> Measurement:
        """All figures, with those of retrieval and FID, which need all pairs."""
        collector = self.collector
        values = {name: collector.get(name) for name in rows}
        if self._judges.identity is not None:
            self._retrieve(pairs, values)
        distances = {}
        if self._judges.inception is not None:
            reference = self._reference or self._moments[""].statistics()
            for name in rows:
                moments = self._moments[name].statistics()
                distances[name] = {"fid": fid.frechet_distance(moments, reference)}
        shares = collector.get("owners").get("owners")
        return Measurement(
            values=values,
            tones=np.zeros(0, np.float32),
            images=collector.get("images"),
            gates=collector.get("gates"),
            owners=None if shares is None else shares[0],
            of_sets=distances,
        )

    def _retrieve(self, pairs: list[PairFiles], values: dict[str, Values]) -> None:
        """Adds retrieval to the figures of all rows that have a source."""
        files = [pair.source.resolve() for pair in pairs]
        first: dict[Path, int] = {}
        places = [first.setdefault(path, i) for i, path in enumerate(files)]
        people = {place: number for number, place in enumerate(first.values())}
        gallery = self.collector.get("people")["source"][list(people)]
        owners, embeddings = [people[i] for i in places], self.collector.get("embedding")
        for name in values:
            for top in (1, 5) if name != SELF_SWAP else ():
                found = judging.retrieval(embeddings[name], gallery, owners, top)
                values[name][f"identity_top{top}"] = found


def skin_tones(pairs: list[PairFiles]) -> tuple[np.ndarray, list[str]]:
    """The bin of every target, and the names of the bins in order.

    There are no names where the list has no tones. Pairs without a tone are in no bin: their number
    is the count of the names.
    """
    names = sorted({pair.skin_tone for pair in pairs} - {""})
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(pair.skin_tone, len(names)) for pair in pairs]), names
