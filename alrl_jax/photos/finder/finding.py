"""From a photo to its faces: BlazeFace's candidates that Face Mesh takes for faces."""

import dataclasses
from collections.abc import Callable

from alrl_jax.photos.alignment import Pixels
from alrl_jax.photos.finder.detector import candidates
from alrl_jax.photos.finder.mesh import fit
from alrl_jax.photos.finder.networks import NETWORKS, load_network
from alrl_jax.photos.finder.views import DetectorOptions, Pyramid
from alrl_jax.photos.found_face import FoundFace, left_to_right, merged, of_points


def open_finder(options: DetectorOptions) -> Callable[[Pixels], list[FoundFace]]:
    """A function from a photo's upright pixels to its faces, from left to right.

    The networks are compiled when the first photo comes. Threads may share it.

    Raises:
        UserError: the package with the networks is missing.
    """
    for name in NETWORKS:
        load_network(name)
    return lambda photo: find(photo, options)


def find(photo: Pixels, options: DetectorOptions) -> list[FoundFace]:
    """The faces of a photo with 468 landmarks each, from left to right.

    Of boxes that overlap, the one of which detector and mesh are surest counts.
    """
    pyramid = Pyramid(photo)
    places = candidates(pyramid, photo.shape[0], photo.shape[1], options)
    if not places:
        return []
    points, flags = fit(pyramid, places, options.min_confidence)
    found = [
        dataclasses.replace(of_points(own), confidence=place.score, flag=float(flag))
        for own, flag, place in zip(points, flags, places, strict=True)
        if flag >= options.min_confidence
    ]
    found.sort(key=lambda face: -(face.confidence or 0) * (face.flag or 0))
    return left_to_right(merged(found))
