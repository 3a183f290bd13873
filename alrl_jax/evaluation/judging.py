"""Figures from what judges read in images: retrieval, pose, attributes and landmarks."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from alrl_jax.types import AnyArray

JUDGED_GROUPS = {
    "expression": "expression_error",
    "gaze": "gaze_error",
    "light": "light_error",
    "skin": "skin_error",
}
"""Attribute groups whose error is reported, and the name of its metric."""


def resize(images: Float[AnyArray, "b h w 3"], resolution: int) -> Float[Array, "b r r 3"]:
    """Images of ``resolution`` pixels; those that have this size already are left as they are."""
    images = jnp.asarray(images)
    if images.shape[1:3] == (resolution, resolution):
        return images
    shape = (images.shape[0], resolution, resolution, 3)
    return jax.image.resize(images, shape, "linear", antialias=True)


def cosine(a: Float[AnyArray, "b k"], b: Float[AnyArray, "b k"]) -> Float[np.ndarray, " b"]:
    """Cosines of unit embeddings."""
    return np.sum(np.asarray(a) * np.asarray(b), axis=-1)


def retrieval(
    queries: Float[np.ndarray, "n k"],
    gallery: Float[np.ndarray, "m k"],
    owners: list[int] | None = None,
    top: int = 1,
) -> Float[np.ndarray, " n"]:
    """1 where the right person is among the ``top`` nearest of the gallery, else 0.

    Args:
        queries: unit embeddings of the swapped faces.
        gallery: unit embeddings, one image a person.
        owners: place in the gallery of each query's person; None where query i shows person i.
        top: how many of the nearest count. In a gallery no larger than ``top`` every query would
            be right; the result is NaN.
    """
    if len(gallery) <= top:
        return np.full(len(queries), np.nan, np.float32)
    places = np.arange(len(queries)) if owners is None else np.asarray(owners)
    scores = queries @ gallery.T
    own = scores[np.arange(len(queries)), places]
    # Ties count against the query: equal embeddings of all people retrieve no one.
    better = np.sum(scores >= own[:, None], axis=1) - 1
    return (better < top).astype(np.float32)


def pose_errors(
    degrees: Float[AnyArray, "b 3"], truth: Float[AnyArray, "b 3"]
) -> Float[np.ndarray, " b"]:
    """Euclidean distances over (yaw, pitch, roll), in degrees."""
    return np.linalg.norm(np.asarray(degrees) - np.asarray(truth), axis=-1)


def group_errors(
    factors: Float[AnyArray, "b a"],
    truth: Float[AnyArray, "b a"],
    names: tuple[str, ...],
    groups: dict[str, tuple[str, ...]],
) -> dict[str, Float[np.ndarray, " b"]]:
    """Root-mean-square errors of every judged attribute group, in standard deviations."""
    square = np.square(np.asarray(factors) - np.asarray(truth))
    errors = {}
    for group, metric in JUDGED_GROUPS.items():
        columns = [names.index(name) for name in groups[group]]
        errors[metric] = np.sqrt(np.mean(square[:, columns], axis=1))
    return errors


def landmark_errors(
    landmarks: Float[AnyArray, "b m 2"],
    truth: Float[AnyArray, "b m 2"],
    visible: Bool[AnyArray, "b m"],
) -> Float[np.ndarray, " b"]:
    """Mean distances over the visible landmarks, in the unit of the landmarks; NaN without any."""
    apart = np.linalg.norm(np.asarray(landmarks) - np.asarray(truth), axis=-1)
    weights = np.asarray(visible).astype(np.float32)
    count = weights.sum(axis=1)
    mean = (apart * weights).sum(axis=1) / np.maximum(count, 1.0)
    return np.where(count > 0, mean, np.nan).astype(np.float32)
