"""Named ways to measure pairs of photographs: one table.

A figure compares only with figures of the same detector, crop, network, gallery and unit; a name
stands for all of them, and each is written into the result. A protocol that needs what cannot be
had here is refused rather than imitated.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Literal

from alrl_jax.errors import UserError

View = Literal["whole", "face"]
"""What an identity net sees of an FFHQ crop: all, or the face as pSp's identity loss cuts it."""

ROLES = {
    "identity": ("arcface", "iresnet", "identity", "judge"),
    "pose": ("hopenet", "judge"),
    "lpips": ("lpips",),
    "inception": ("inception",),
    "parser": ("face_parser",),
}
"""What can judge, and the kinds of models that can do it."""


OWN_VIEWS: Mapping[str, View] = {
    "arcface": "face",
    "iresnet": "face",
    "identity": "whole",
    "judge": "whole",
}
"""As each was trained."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How pairs are measured.

    Attributes:
        meaning: in words, for readers of the result.
        rows: the rows that it measures; None stands for all.
        kinds: kinds of judges that it allows, by role, where not all will do.
        required: roles that it cannot do without.
        views: what an identity net sees, by its kind.
        masked: whether identity nets see the face alone, all else black.
        differs: how it differs from what others released under the name.
        refused: why it cannot be had, and what to do; None where it can.
    """

    meaning: str
    rows: tuple[str, ...] | None = None
    kinds: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    required: tuple[str, ...] = ()
    views: Mapping[str, View] = dataclasses.field(default_factory=lambda: OWN_VIEWS)
    masked: bool = False
    differs: str | None = None
    refused: str | None = None


PROTOCOLS: dict[str, Preset] = {
    "pairs": Preset("everything that the judges at hand can say; this project's own"),
    "self_swap": Preset(
        "every target swapped with itself, whose true result is the target: what encoding, drawing "
        "and blending lose; this project's own",
        rows=("target_image", "self_swap"),
    ),
    "reface": Preset(
        "IR-SE50 on rows 35 to 223 and columns 32 to 220 of 256, pooled to its input, faces cut "
        "out by parsing; top-1 and top-5 by dot product among all sources; Hopenet in degrees, L2 "
        "over three angles at 224",
        kinds={"identity": ("arcface",), "pose": ("hopenet",)},
        required=("identity", "pose", "parser"),
        masked=True,
        differs="no expression, which needs Deep3DFaceRecon; the classes that count as face are "
        "this project's (see notes: face_region); FID against the folder or the targets that "
        "the result names",
    ),
    "ffpp_degrees": Preset(
        "an ArcFace-like net on the whole crop squeezed to its input; nearest by cosine among all "
        "sources; Hopenet in degrees, L2 over three angles at 224",
        kinds={"identity": ("arcface", "iresnet"), "pose": ("hopenet",)},
        required=("identity", "pose"),
        views={"arcface": "whole", "iresnet": "whole"},
        differs="released evaluations of FaceForensics++ retrieve with CosFace sphere20 and tell "
        "pose in raw logits; here the net is the one named, and pose is in degrees; no expression",
    ),
    "ffpp": Preset(
        "FaceForensics++ as released",
        refused="it needs CosFace sphere20, Deep3DFaceRecon and pose in raw logits, which cannot "
        "be had here; take ffpp_degrees",
    ),
    "casia": Preset(
        "CASIA's benchmark as released",
        refused="it needs CosFace sphere20 on faces aligned by five landmarks to 112 x 96, and "
        "3DDFA, which cannot be had here; take reface or pairs",
    ),
}
"""Protocols by name."""


def preset_of(name: str) -> Preset:
    """The protocol of a name.

    Raises:
        UserError: there is no such protocol, or it cannot be had.
    """
    if name not in PROTOCOLS:
        raise UserError(f"got --protocol={name}; expected one of {', '.join(PROTOCOLS)}; pick one")
    refused = PROTOCOLS[name].refused
    if refused is not None:
        raise UserError(f"got --protocol={name}; expected one that can be had: {refused}")
    return PROTOCOLS[name]


def check_judges(name: str, given: Mapping[str, str]) -> None:
    """Makes sure that a protocol can be had with the judges that are given.

    Args:
        name: key of ``PROTOCOLS``.
        given: kind of every judge that is given, by role.

    Raises:
        UserError: a judge is missing or of another kind.
    """
    preset = preset_of(name)
    for role in (*preset.required, *given):
        allowed = preset.kinds.get(role, ROLES[role])
        if given.get(role) not in allowed:
            got = f"{flag(role)} of kind {given[role]!r}" if role in given else f"no {flag(role)}"
            raise UserError(
                f"got {got} with --protocol={name}; expected the directory of a model of kind "
                f"{' or '.join(allowed)}; name one, or take --protocol=pairs"
            )


def rows_of_protocol(preset: Preset, rows: Collection[str]) -> list[str]:
    """Those of the rows that a protocol measures, in their order."""
    return [name for name in rows if preset.rows is None or name in preset.rows]


def flag(role: str) -> str:
    """The flag that names a judge."""
    return f"--{role}_judge" if role in ("identity", "pose") else f"--{role}"
