"""BlazeFace (full range): where faces may lie in a photo, how large, and how they are turned.

Source: Bazarevsky et al. 2019 (arXiv 1907.05047); MediaPipe's description of its anchors.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from alrl_jax.photos.finder.networks import open_network
from alrl_jax.photos.finder.views import DetectorOptions, Pyramid, ViewMatrix, views

OUTSIDE = 127
"""Grey level of what a view shows outside of its photo."""
CELLS = 48
"""Along a side of a view; each has one anchor in its middle."""
SAME_BOX = 0.5
"""Overlap of two boxes, over their union, from which the weaker one is dropped ..."""
SAME_ANGLE = math.radians(30)
"""... where both are turned alike."""
MOST_CANDIDATES = 256


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Where a face may be, in continuous coordinates of the photo.

    Attributes:
        score: of the detector, in [0, 1].
        centre: of its box.
        side: of its box, the longer one, px.
        angle: of the way from the eye that is left in the view to the other one, in radians.
    """

    score: float
    centre: Float[np.ndarray, "2"]
    side: float
    angle: float


def _anchors() -> Float[np.ndarray, "a 2"]:
    """Centres of the anchors, x and y in units of the view's side."""
    y, x = np.mgrid[:CELLS, :CELLS]
    return (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / CELLS


def candidates(
    pyramid: Pyramid, height: int, width: int, options: DetectorOptions
) -> list[Candidate]:
    """Where faces may be, the likeliest ones first."""
    places, centres = views(height, width, options), _anchors()
    network = open_network("full_range", 1 / 127.5, -1.0)
    boxes, logits = network([pyramid.cut(place, network.side, OUTSIDE) for place in places])
    scores = 1 / (1 + np.exp(-np.clip(logits[..., 0], -80, 80)))
    found = []
    for view, anchor in zip(*np.nonzero(scores >= options.min_confidence), strict=True):
        # x and y of: centre of the box, its size, eyes, nose, mouth, ears; from the anchor, in px.
        values = boxes[view, anchor].reshape(8, 2).astype(np.float64) / network.side
        score = float(scores[view, anchor])
        found.append(_candidate(score, values, centres[anchor], places[view]))
    found = [face for face in found if face.side >= options.min_face * max(height, width)]
    return _distinct(sorted(found, key=lambda face: -face.score))


def _candidate(
    score: float,
    values: Float[np.ndarray, "8 2"],
    anchor: Float[np.ndarray, "2"],
    place: ViewMatrix,
) -> Candidate:
    turn, shift = place[:, :2], place[:, 2]
    eyes = turn @ (values[3] - values[2])
    return Candidate(
        score=score,
        centre=turn @ (anchor + values[0]) + shift,
        side=float(values[1].max() * np.linalg.norm(turn[:, 0])),
        angle=math.atan2(eyes[1], eyes[0]),
    )


def _distinct(found: list[Candidate]) -> list[Candidate]:
    """Without those that a stronger one describes already."""
    kept: list[Candidate] = []
    for face in found:
        if len(kept) < MOST_CANDIDATES and not any(_alike(face, other) for other in kept):
            kept.append(face)
    return kept


def _alike(a: Candidate, b: Candidate) -> bool:
    sides = np.minimum(a.centre + a.side / 2, b.centre + b.side / 2) - np.maximum(
        a.centre - a.side / 2, b.centre - b.side / 2
    )
    common = float(np.prod(np.maximum(sides, 0)))
    turned = abs((a.angle - b.angle + math.pi) % (2 * math.pi) - math.pi)
    return turned < SAME_ANGLE and common > SAME_BOX * (a.side**2 + b.side**2 - common)
