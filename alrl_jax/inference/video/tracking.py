"""One face through the frames of a video: which of the found faces it is, and its smoothed place.

Landmarks are smoothed in units of the face's size, so that parameters mean the same in every video.
Where the video cuts, time does not rise, or the face is lost or jumps, smoothing starts again.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from PIL import Image

from alrl_jax.inference.video.one_euro import OneEuro, OneEuroFilter
from alrl_jax.photos.alignment import Pixels
from alrl_jax.photos.found_face import (
    SAME_FACE,
    FaceNotFoundError,
    FoundFace,
    choose_faces,
    overlap,
)

SMOOTHING = OneEuro(min_cutoff=1.0, beta=8.0)
"""Speeds are in sides of the face's box a second."""
CUT_DIFFERENCE = 0.12
"""Mean absolute difference of two thumbnails' luminance, of 1, that marks a cut."""
THUMBNAIL = 32
HELD = 1.0
"""Seconds for which a lost face is waited for, rather than another one that was beside it taken."""

Thumbnail = Float[np.ndarray, "t t"]


@dataclasses.dataclass(frozen=True)
class Sighting:
    """What a detector saw in a frame.

    Attributes:
        faces: that it found.
        thumbnail: of the frame, for cuts.
        seconds: of the frame in its video.
        problem: why nothing could be looked for; None where it could.
    """

    faces: list[FoundFace]
    thumbnail: Thumbnail
    seconds: float
    problem: str | None = None


def thumbnail(image: Pixels) -> Thumbnail:
    """The luminance of a frame, small, in [0, 1]."""
    small = Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small.convert("L")).astype(np.float32) / 255


class FaceTrack:
    """Follows a face from frame to frame, in order.

    Args:
        choice: which face, where none is followed yet; see ``landmarks.choose_faces``.
        smoothing: of the landmarks; None leaves them as they were found.
    """

    def __init__(self, choice: str, smoothing: OneEuro | None = SMOOTHING) -> None:
        self._choice = choice
        self._filter = None if smoothing is None else OneEuroFilter(smoothing)
        self._before: Thumbnail | None = None
        self._seconds = -math.inf
        self._face: FoundFace | None = None
        # Where it was last and who was beside it, for when it is lost.
        self._last: FoundFace | None = None
        self._last_seconds = -math.inf
        self._others: list[FoundFace] = []
        self._size = 1.0
        self.resets = 0

    def follow(self, seen: Sighting) -> FoundFace:
        """The face in the next frame.

        Raises:
            FaceNotFoundError: it is not there.
        """
        if seen.seconds <= self._seconds:
            self._forget()
        self._seconds = seen.seconds
        before, self._before = self._before, seen.thumbnail
        if before is not None and np.abs(before - seen.thumbnail).mean() > CUT_DIFFERENCE:
            self._forget()
        if seen.seconds - self._last_seconds > HELD:
            self._last, self._others = None, []
        try:
            if seen.problem is not None:
                raise FaceNotFoundError(seen.problem)
            found = self._same(seen.faces) or self._chosen(seen.faces)
        except FaceNotFoundError:
            self._lose()
            raise
        begins, self._face = self._face is None, found
        self._last, self._last_seconds = found, seen.seconds
        self._others = [face for face in seen.faces if face is not found]
        return self._smoothed(found, seen.seconds, begins)

    def _lose(self) -> None:
        if self._face is not None:
            self.resets += 1
        self._face = None

    def _forget(self) -> None:
        """What comes next may be anybody."""
        self._lose()
        self._last, self._others = None, []

    def _chosen(self, faces: list[FoundFace]) -> FoundFace:
        """The face that begins to be followed: the lost one where it was, else one that is new.

        Whoever was beside the lost face is somebody else.

        Raises:
            FaceNotFoundError: there is none.
        """
        last = self._last
        if last is None:
            return choose_faces(faces, self._choice)[0]
        back = [face for face in faces if overlap(face, last) >= SAME_FACE]
        if back:
            return max(back, key=lambda face: overlap(face, last))
        known = [any(overlap(f, other) >= SAME_FACE for other in self._others) for f in faces]
        if faces and all(known):
            self._others = faces
            raise FaceNotFoundError("the followed face is not there, others are")
        fresh = [face for face, is_known in zip(faces, known, strict=True) if not is_known]
        return choose_faces(fresh, "largest")[0]

    def _same(self, faces: list[FoundFace]) -> FoundFace | None:
        """The face that is where the followed one was."""
        followed = self._face
        if followed is None or not faces:
            return None
        nearest = max(faces, key=lambda face: overlap(face, followed))
        alike = len(_points(nearest)) == len(_points(followed))
        if alike and overlap(nearest, followed) >= SAME_FACE:
            return nearest
        self._lose()
        return None

    def _smoothed(self, face: FoundFace, seconds: float, begins: bool) -> FoundFace:
        if self._filter is None:
            return face
        if begins:
            self._filter.reset()
            self._size = max(1.0, face.area**0.5)
        points = self._filter(_points(face) / self._size, seconds) * self._size
        if face.points is None:
            (left, top), (right, bottom) = points
            return FoundFace((float(left), float(top), float(right), float(bottom)))
        return dataclasses.replace(face, points=points)


def _points(face: FoundFace) -> Float[np.ndarray, "n 2"]:
    """What is smoothed: landmarks, or two corners of the box."""
    if face.points is not None:
        return face.points
    return np.array(face.box, np.float64).reshape(2, 2)
