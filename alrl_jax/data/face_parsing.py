"""Face parsers that say what every pixel shows where no data set does: in training, or once."""

from collections.abc import Mapping
from typing import Any

from alrl_jax.data.parsing_classes import BISENET_LABELS, BISENET_TO_CELEBAMASK
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_parser_network
from alrl_jax.models.loss_networks import ParserNetwork

PARSER_KINDS = ("face_parser",)
"""Kinds of models that parse faces."""


def parser_network(config: Mapping[str, Any], where: str) -> ParserNetwork:
    """A face parser whose labels have the ids of CelebAMask-HQ.

    Args:
        config: of the model, which numbers its classes as BiSeNet does.
        where: names the model in an error: "pretrained.parser is DIR".

    Raises:
        UserError: if it has other classes.
    """
    classes = config["num_classes"]
    if classes != len(BISENET_LABELS):
        raise UserError(
            f"{where} of {classes} classes; expected the {len(BISENET_LABELS)} of CelebAMask-HQ; "
            "name another directory"
        )
    ids = tuple(BISENET_TO_CELEBAMASK[number] for number in range(classes))
    return build_parser_network(config, ids)
