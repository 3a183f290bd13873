"""One pair on its way from files to a photo."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float

from alrl_jax.photos.face_photos import Face, FacePhoto
from alrl_jax.photos.pair_list import PairFiles

EARLIER = "done by an earlier run"
"""Reason why a pair is skipped."""
LEAST_FACE = 0.02
"""Share of a crop that the model takes for the face below which there can hardly be one."""
FAINT = "target: the model sees hardly a face in it, which was taken for a face crop"
STAGES = ("read", "swap", "write")
IDENTITY_NET = "the swapper's own identity net, on the crops"
"""What measures ``identity_similarity``: it guided the swap as well, so it cannot judge it."""


class PairFailed(Exception):
    """This pair cannot be swapped; the message says why."""


def fault(error: Exception) -> str:
    """One line about an unexpected error."""
    if isinstance(error, MemoryError):
        return "too large for this machine's memory"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@dataclasses.dataclass(frozen=True)
class SwappedFace:
    """What the model made of one pair of crops.

    Attributes:
        generated: what the generator drew, in [-1, 1], not blended yet.
        mask: share of the generated face in every pixel.
        attribute_gates: share of the source in every W+ layer.
        pose_gate: share of the source in the pose code.
        identity_similarity: cosine of the unit embeddings of source and blended swap.
        refined: steps of the optimisation and its losses before and after, where there was one.
        drawn_again: PSNR in dB of the model's reconstruction of a crop, by the name of the face,
            where that speaks against a face in it; see ``SwapperModel.least_face_psnr``.
    """

    generated: Float[np.ndarray, "r r 3"]
    mask: Float[np.ndarray, "r r 1"]
    attribute_gates: Float[np.ndarray, " l"]
    pose_gate: float
    identity_similarity: float
    refined: Mapping[str, Any] | None = None
    drawn_again: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def is_finite(self) -> bool:
        """Whether all pixels are numbers."""
        return bool(np.isfinite(self.generated).all() and np.isfinite(self.mask).all())


@dataclasses.dataclass(frozen=True)
class Job:
    """One pair: either ready (both faces), or at an end (status and reason).

    Attributes:
        number: of the pair, from 0.
        files: where it came from; None where it came from memory.
        source: the face to put in; several where each face of the target gets its own.
        target: the photo that it goes into.
        status: ``done``, ``skipped`` or ``failed``; empty while it is under way.
        reason: why it is not ``done``.
        swapped: a face each of ``places``, once the model has drawn them.
        seconds: by stage, of those that are over.
        facts: what was measured; see ``measured``.
        sidecar: what lies beside the output, once there is one.
    """

    number: int
    files: PairFiles | None = None
    source: FacePhoto | None = None
    target: FacePhoto | None = None
    status: str = ""
    reason: str | None = None
    swapped: tuple[SwappedFace, ...] = ()
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sidecar: Mapping[str, Any] | None = None

    @property
    def places(self) -> list[tuple[Face, Face]]:
        """The source's face and where it is to go, once for every face of the target."""
        if self.source is None or self.target is None:
            return []
        sources, targets = self.source.faces, self.target.faces
        if len(sources) == 1:
            sources = sources * len(targets)
        return list(zip(sources, targets, strict=True))

    @property
    def nbytes(self) -> int:
        """What it holds in memory, about."""
        photos = [photo for photo in (self.source, self.target) if photo is not None]
        return sum(photo.nbytes for photo in photos)

    def ended(self, status: str, reason: str | None = None, **changes: Any) -> "Job":
        """This pair at its end, its photos let go."""
        over = {"status": status, "reason": reason, "source": None, "target": None, "swapped": ()}
        return dataclasses.replace(self, **over | changes)


def measured(job: Job) -> dict[str, Any]:
    """What results say of a swap, as plain values; of several faces the mean.

    ``faces``: of each face of the target its box (left, top, right, bottom in px), and how sure the
    detector (``confidence``) and the network of its landmarks (``flag``) are, and its
    ``similarity`` to a reference; null where nothing was looked for, or nothing is said.
    ``notes``: what should be known of the photos. ``gates``: the share that came from the source,
    over all layers, in each layer (coarse to fine) and in the pose code. ``identity_similarity`` is
    null where it is no number. ``optimised``: a list, of every face, where the codes were refined;
    else null.
    """
    refined = [dict(face.refined) for face in job.swapped if face.refined is not None]
    layers = np.mean([face.attribute_gates for face in job.swapped], axis=0)
    similarity = float(np.mean([face.identity_similarity for face in job.swapped]))
    return {
        "gates": {
            "source_share": round(float(layers.mean()), 4),
            "source_share_by_layer": [round(float(share), 4) for share in layers],
            "source_share_of_pose": round(float(np.mean([f.pose_gate for f in job.swapped])), 4),
        },
        "identity_similarity": round(similarity, 4) if np.isfinite(similarity) else None,
        "identity_similarity_by": IDENTITY_NET,
        "faces": [_sighted(face) for face in job.target.faces] if job.target else [],
        "notes": _notes(job),
        "optimised": refined or None,
    }


def _notes(job: Job) -> list[str]:
    """What a user should know of the photos."""
    photos = {"source": job.source, "target": job.target}
    notes = [
        f"{name}: the first of {photo.pictures} pictures"
        for name, photo in photos.items()
        if photo is not None and photo.pictures > 1
    ]
    taken = job.target is not None and any(face.found is None for face in job.target.faces)
    least = min((float(face.mask.mean()) for face in job.swapped), default=1.0)
    return [*notes, FAINT] if taken and least < LEAST_FACE else notes


def _sighted(face: Face) -> dict[str, Any] | None:
    """What is said of a face that was found; None where it was not looked for."""
    found = face.found
    if found is None:
        return None
    sure = {"confidence": found.confidence, "flag": found.flag, "similarity": face.similarity}
    return {
        "box": [round(float(edge), 1) for edge in found.box],
        **{name: None if value is None else round(value, 4) for name, value in sure.items()},
    }


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Writes down how long a stage took."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = time.perf_counter() - begin
