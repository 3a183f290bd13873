"""Named ways to measure pairs of photos: one table.

A figure compares only with figures of the same detector, crop, network, gallery and unit; the name
of a protocol stands for all of them, and the result says each. A protocol that needs a network that
is not available here is refused, never imitated.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Literal

from alrl_jax.errors import UserError

View = Literal["whole", "face"]
"""The part of an FFHQ crop that an identity net sees: all, or the crop of pSp's identity loss."""

ROLES = {
    "identity": ("arcface", "iresnet", "identity", "judge"),
    "pose": ("hopenet", "judge"),
    "lpips": ("lpips",),
    "inception": ("inception",),
    "parser": ("face_parser",),
}
"""The roles of judges, and the kinds of models that can have them."""


OWN_VIEWS: Mapping[str, View] = {
    "arcface": "face",
    "iresnet": "face",
    "identity": "whole",
    "judge": "whole",
}
"""The view with which each kind was trained."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """How pairs are measured.

    Attributes:
        meaning: the protocol in words, for readers of the result.
        rows: the rows that it measures; None stands for all.
        kinds: kinds of judges that it allows, by role, where it does not allow all.
        required: roles that it needs.
        views: the view of an identity net, by its kind.
        masked: whether identity nets see only the face, on black.
        differs: how it differs from the evaluation that others released under this name.
        refused: why it is not available, and what to do; None where it is.
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
    "pairs": Preset("everything that the given judges can measure; this project's own"),
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
        differs="released evaluations of FaceForensics++ retrieve with CosFace sphere20 and give "
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
        UserError: there is no such protocol, or it is not available.
    """
    if name not in PROTOCOLS:
        raise UserError(f"got --protocol={name}; expected one of {', '.join(PROTOCOLS)}; pick one")
    refused = PROTOCOLS[name].refused
    if refused is not None:
        raise UserError(f"got --protocol={name}; expected one that can be had: {refused}")
    return PROTOCOLS[name]


def check_judges(name: str, given: Mapping[str, str]) -> None:
    """Makes sure that a protocol can be measured with the judges that are given.

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
