"""Which face of a photo is a person of whom there are pictures: by the swapper's identity net."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from alrl_jax.errors import UserError
from alrl_jax.inference.job import PairFailed
from alrl_jax.inference.protocols import FaceSampler, Swapper
from alrl_jax.photos.face_photos import Face, FacePhoto
from alrl_jax.photos.found_face import FaceNotFoundError

BATCH = 8
"""Faces that are embedded at a time: one shape, one compiled program."""

USUAL, OF_WORLDS = 0.4, 0.55
"""Cosine from which two faces are of one person: of published nets, where it was not measured, and
of nets that were trained in a world (``python -m tools.bench.measure_references``)."""

Embeddings = Float[np.ndarray, "n e"]


def usual_similarity(model: Swapper) -> float:
    """Cosine from which a swapper's identity net says that two faces are of one person."""
    knows_world = isinstance(model, FaceSampler) and model.samples_are_rendered
    return OF_WORLDS if knows_world else USUAL


def embed(model: Swapper, faces: Sequence[Face]) -> Embeddings:
    """Unit embeddings of faces; at least one."""
    found = []
    for start in range(0, len(faces), BATCH):
        crops = [face.crop for face in faces[start : start + BATCH]]
        padded = np.stack(crops + [crops[-1]] * (BATCH - len(crops)))
        found.append(np.asarray(model.embed(padded))[: len(crops)])
    return np.concatenate(found)


def mean_embedding(model: Swapper, photos: Sequence[FacePhoto]) -> Float[np.ndarray, " e"]:
    """Unit mean of the identities in photos with one face each."""
    mean = embed(model, [photo.faces[0] for photo in photos]).mean(axis=0)
    return mean / np.linalg.norm(mean)


class References:
    """The people whose faces are swapped.

    Args:
        model: whose identity net compares faces.
        people: of each person the pictures, each with one face.
        least: cosine of two faces from which they are of one person.
    """

    def __init__(self, model: Swapper, people: Sequence[Sequence[FacePhoto]], least: float) -> None:
        self._model, self._least = model, least
        self._people = np.stack([mean_embedding(model, photos) for photos in people])

    def among(self, photo: FacePhoto) -> FacePhoto:
        """A photo with those of its faces that are of these people, at most one of each.

        Args:
            photo: with all its faces.

        Raises:
            FaceNotFoundError: none is; the message names the nearest.
        """
        similar = embed(self._model, photo.faces) @ self._people.T
        chosen: dict[int, float] = {}
        left = similar.copy()
        while left.size and left.max() >= self._least:
            face, person = np.unravel_index(int(left.argmax()), left.shape)
            chosen[int(face)] = float(left[face, person])
            left[face], left[:, person] = -np.inf, -np.inf
        if not chosen:
            raise FaceNotFoundError(
                f"no face of the references among {len(photo.faces)}: cosine "
                f"{similar.max():.2f}, at least {self._least:g} expected"
            )
        faces = [
            dataclasses.replace(face, similarity=chosen[number])
            for number, face in enumerate(photo.faces)
            if number in chosen
        ]
        return dataclasses.replace(photo, faces=tuple(faces))


def open_references(
    model: Swapper, reader: Any, people: Sequence[Sequence[Path]], least: float
) -> References | None:
    """The people of ``--reference``; None where nobody is named.

    Args:
        model: whose identity net compares faces.
        reader: a ``PhotoReader``.
        people: of each person the files.
        least: see ``References``.

    Raises:
        UserError: a picture cannot be read, or has no face.
    """
    if not people:
        return None
    return References(model, open_people(reader, people, "reference"), least)


def open_people(reader: Any, people: Sequence[Sequence[Path]], flag: str) -> list[list[FacePhoto]]:
    """Pictures of people, with a face each.

    Args:
        reader: a ``PhotoReader``.
        people: of each person the files.
        flag: that named them.

    Raises:
        UserError: a picture cannot be read, or has no face.
    """
    return [[_read(reader, file, flag) for file in files] for files in people]


def _read(reader: Any, file: Path, flag: str) -> FacePhoto:
    try:
        return reader.source(file, reader.sha256("source", file))
    except PairFailed as error:
        reason = str(error).removeprefix("source: ")
        raise UserError(
            f"got --{flag}={file} ({reason}); expected a photo with a face; take another"
        ) from error
