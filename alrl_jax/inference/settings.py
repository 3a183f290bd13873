"""What a user chooses about a run of swaps."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from alrl_jax.photos.finder.views import DetectorOptions
from alrl_jax.photos.landmarks import DEFAULT_SOURCE
from alrl_jax.photos.paste import PasteOptions

FACES = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a user chose; recorded beside every output.

    Attributes:
        pose_from: whose pose the result has, of ``FACES``.
        identity_from: whose identity the result has, of ``FACES``.
        aligned: photos are face crops; no face is looked for.
        aligned_source: only the sources are.
        landmarks_from: what finds the faces, an entry of ``LANDMARK_SOURCES``.
        detector: how the default detector looks for faces.
        landmarks_sha256: of the landmark file or the detector's model file, where one was given.
        face: which faces of a target; see ``landmarks.choose_faces``.
        source_face: which face of a source.
        paste: how faces are brought back.
        mark: whether outputs get the invisible mark.
        format: of the outputs, an entry of ``provenance.encoding.ENCODERS``.
        references_sha256: of the pictures of the people whose faces are swapped, by person; none
            where ``face`` says which.
        reference_similarity: cosine of two faces from which they are of one person.
        average: whether all sources are pictures of one person, who is their mean.
        masks: whether the share of the generated face in every pixel is kept as well.
        groups: the face of ``FACES`` that an attribute group comes from, by its name.
        selector: the rule that selects codes; None for the model's own.
        optimise: steps by which the codes of every pair are refined; 0 for none.
        tune_generator: steps by which the generator is tuned to every pair after that.
    """

    pose_from: str = "target"
    identity_from: str = "source"
    aligned: bool = False
    aligned_source: bool = False
    landmarks_from: str = DEFAULT_SOURCE
    detector: DetectorOptions = DetectorOptions()
    landmarks_sha256: str | None = None
    face: str = "largest"
    source_face: str = "largest"
    paste: PasteOptions = PasteOptions()
    mark: bool = True
    format: str = "png"
    references_sha256: tuple[tuple[str, ...], ...] = ()
    reference_similarity: float = 0.4
    average: bool = False
    masks: bool = False
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    selector: str | None = None
    optimise: int = 0
    tune_generator: int = 0

    def is_crop(self, face: str) -> bool:
        """Whether the photos of one of ``FACES`` are face crops already."""
        return self.aligned or (face == "source" and self.aligned_source)

    def asked(self) -> dict[str, Any]:
        """What the model is asked for, as arguments of ``swap``; what is not asked for is left."""
        more = {"groups": dict(self.groups), "selector": self.selector}
        faces = {"pose_from": self.pose_from, "identity_from": self.identity_from}
        return faces | {name: value for name, value in more.items() if value}

    def choice(self, face: str) -> str:
        """Which face of a photo of one of ``FACES`` counts, before references choose."""
        if face == "target" and self.references_sha256:
            return "all"
        return self.source_face if face == "source" else self.face


DEFAULTS = Settings()
"""What the command does without flags."""
