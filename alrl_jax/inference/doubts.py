"""Why a swap that was made may be none: it keeps its status, and says so.

A model draws a face wherever it is asked to. What tells that there was none to draw: too much of
the place lies outside its photo; a crop without anything in it; a result whose identity is nobody's
that went in.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from alrl_jax.inference.job import Job, SwappedFace, measured
from alrl_jax.inference.settings import FACES, Settings
from alrl_jax.photos.alignment import Alignment
from alrl_jax.photos.face_photos import FacePhoto

FACE_SHARE = 0.5
"""Side of the middle of a crop that the face itself fills, over the crop's."""
LEAST_INSIDE = 0.5
"""Share of that middle that has to lie in the photo."""
LEAST_CONTRAST = 0.02
"""Standard deviation of a channel over a crop, of 2, below which nothing can be seen in it."""
LEAST_SIMILARITY = 0.15
"""Cosine of the identities of source and result below which they are strangers."""
_GRID = 32


def facts(job: Job, settings: Settings) -> dict[str, Any]:
    """What results say of a pair whose faces are swapped; see ``job.measured`` and ``doubts``."""
    assert job.source is not None and job.target is not None
    doubtful = doubts(job.source, job.target, job.swapped, settings)
    return measured(job) | {"doubtful": doubtful}


def doubts(
    source: FacePhoto, target: FacePhoto, swapped: tuple[SwappedFace, ...], settings: Settings
) -> str | None:
    """Why the swap of a pair may be none; None where nothing speaks for that.

    Args:
        source: the face that was put in.
        target: the photo, and the faces of it that were swapped.
        swapped: what the model drew, of each of them.
        settings: what was asked for.
    """
    photos = dict(zip(FACES, (source, target), strict=True))
    found = [_of_photo(name, photo) for name, photo in photos.items()]
    if settings.identity_from == "source":
        found += [_of_identity(face) for face in swapped]
    found += [_of_crops(face) for face in swapped]
    reasons = dict.fromkeys(reason for reasons in found for reason in reasons)
    return "; ".join(reasons) or None


def _of_photo(name: str, photo: FacePhoto) -> list[str]:
    reasons = []
    for face in photo.faces:
        inside = share_inside(face.alignment, photo.size)
        if inside < LEAST_INSIDE:
            reasons.append(f"{name}: {1 - inside:.0%} of the face lies outside the photo")
        if float(np.std(face.crop, axis=(-3, -2)).mean()) < LEAST_CONTRAST:
            reasons.append(f"{name}: nothing can be seen in the crop")
    return reasons


def _of_identity(face: SwappedFace) -> list[str]:
    similarity = face.identity_similarity
    if similarity >= LEAST_SIMILARITY:
        return []
    return [f"the result is unlike the source: cosine {similarity:.2f} of their identities"]


def _of_crops(face: SwappedFace) -> list[str]:
    """A model draws a face again from its codes, and cannot draw again what is none."""
    return [
        f"{name}: perhaps no face, as the model cannot draw it again ({psnr:.0f} dB)"
        for name, psnr in face.drawn_again.items()
    ]


def share_inside(alignment: Alignment, size: tuple[int, int]) -> float:
    """How much of the middle of a crop lies in its photo.

    Args:
        alignment: where the crop lies.
        size: width and height of the photo in px.
    """
    inside: Float[np.ndarray, " n"]
    middle = (np.arange(_GRID) + 0.5) / _GRID
    places = alignment.resolution * (0.5 + FACE_SHARE * (middle - 0.5))
    u, v = (axis.ravel() for axis in np.meshgrid(places, places))
    inverse = np.linalg.inv(alignment.matrix)
    x, y = inverse[:2] @ np.stack([u, v, np.ones_like(u)])
    inside = (x >= 0) & (x <= size[0]) & (y >= 0) & (y <= size[1])
    return float(np.mean(inside))
