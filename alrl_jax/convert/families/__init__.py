"""Foreign networks that can be converted: how each is known, and where its tensors go.

A family lies in one file or folder here, with a ``Format`` for each network and project; a new
family is its file and its line in ``FAMILIES``, a new format is an entry of its family.
"""

import itertools
from collections.abc import Mapping

from alrl_jax.convert.families import face_parser, hopenet, inception, lpips
from alrl_jax.convert.families.face_encoders import formats as face_encoders
from alrl_jax.convert.families.stylegan2 import formats as stylegan2
from alrl_jax.convert.families.stylegan2 import targets as stylegan2_targets
from alrl_jax.convert.format import Format
from alrl_jax.convert.target import Target

FAMILIES: Mapping[str, tuple[Format, ...]] = {
    "stylegan2": stylegan2.FORMATS,
    "face_encoders": face_encoders.FORMATS,
    "lpips": lpips.FORMATS,
    "face_parser": face_parser.FORMATS,
    "hopenet": hopenet.FORMATS,
    "inception": inception.FORMATS,
}
"""What belongs together, by the name of its file or folder."""

FORMATS: tuple[Format, ...] = tuple(itertools.chain.from_iterable(FAMILIES.values()))
"""Every network that is understood."""

KINDS: tuple[str, ...] = tuple(dict.fromkeys(entry.kind for entry in FORMATS))
"""What the networks are for, each once."""

TARGETS: Mapping[str, Mapping[str, Target]] = {**stylegan2_targets.TARGETS}
"""Layouts that our networks can be written in, by the network's kind and the project."""
