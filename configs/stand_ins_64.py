"""Stand-ins at 64 px for ArcFace, Hopenet and BiSeNet, for ``rehearsal_64.py`` to learn from.

    alrl train --config=configs/stand_ins_64.py:identity --workdir=runs/stand_in_identity
    alrl train --config=configs/stand_ins_64.py:pose --workdir=runs/stand_in_pose
    alrl train --config=configs/stand_ins_64.py:parser --workdir=runs/stand_in_parser
    alrl package-model --workdir=runs/stand_in_identity --output=models/identity_64
    alrl package-model --workdir=runs/stand_in_pose --output=models/pose_64
    alrl package-model --workdir=runs/stand_in_parser --output=models/parser_64

Each is a narrow network of the published one's class, trained from scratch on the training people
of the synthetic world, with the labels that the published one learned from: who a face is, where it
points, what its pixels show. None knows anything else.
"""

import ml_collections

from alrl_jax.config import recipes

STAND_INS = {
    "identity": ("arcface", {"arcface": 1.0}, (32, 64, 96, 128)),
    "pose": ("hopenet", {"pose_regression": 1.0}, (16,)),
    "parser": ("face_parser", {"parsing": 1.0}, (16,)),
}
"""Kind of model, losses and widths, by its name under ``pretrained``."""


def get_config(name: str = "identity") -> ml_collections.ConfigDict:
    """The recipe, for one of ``STAND_INS``.

    Raises:
        ValueError: an unknown name.
    """
    if name not in STAND_INS:
        raise ValueError(f"got {name!r}; expected one of {', '.join(STAND_INS)}; name one")
    kind, losses, widths = STAND_INS[name]
    config = recipes.stand_in_64(kind, losses)
    config.identity.widths = widths
    return config
