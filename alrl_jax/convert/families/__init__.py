"""Foreign networks that can be converted: how each is known, and where its tensors go.

One row a network and project, in a file a family; a new format is a new row, with its rules.
"""

from collections.abc import Mapping

from alrl_jax.convert.families.face_encoders.formats import FACES
from alrl_jax.convert.families.measuring.formats import JUDGES
from alrl_jax.convert.families.stylegan2.formats import STYLEGAN2
from alrl_jax.convert.format import Format

FORMATS: tuple[Format, ...] = (*STYLEGAN2, *FACES, *JUDGES)
"""Every network that is understood."""

LICENCES: Mapping[str, str] = dict.fromkeys(
    ("ffhq.pkl", "stylegan2-ffhq-config-f.pkl"),
    "as the file is named: NVIDIA Source Code License, non-commercial",
)
"""Terms of files that are known by name."""

KINDS = tuple(dict.fromkeys(row.kind for row in FORMATS))
