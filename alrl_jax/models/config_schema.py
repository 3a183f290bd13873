"""What the ``config`` of a ``model.json`` may hold: a table of keys for each kind of model.

A directory may come from a stranger: its values are checked before a network is built from them,
and its arrays afterwards against the network (``alrl_jax.loading.soundness``). A new field of a
network needs its row here.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.models.build import COMPUTE_DTYPES
from alrl_jax.models.face_analyser import STAGES
from alrl_jax.models.published.lpips import BACKBONES as LPIPS_BACKBONES
from alrl_jax.models.swapper.backbones import BACKBONES
from alrl_jax.models.swapper.pose_space import POSE_SPACES
from alrl_jax.models.swapper.selection import GATE_MODES
from alrl_jax.models.swapper.swapper import MASKS, PARSER_MASK
from alrl_jax.models.swapper.target_features import SPACE_GATES
from alrl_jax.utils.printing import one_line

LARGEST_SIDE = 4096
"""Pixels; also the widest layer, and the most labels."""
_SHOWN = 80

Rule = Callable[[Any], "str | None"]
"""What was expected where a value is none of that; None where it is."""


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a table.

    Attributes:
        rule: for its value.
        required: whether it has to be there.
    """

    rule: Rule
    required: bool = True


Table = dict[str, Key]


def whole(least: int, most: int) -> Rule:
    """A whole number within bounds."""

    def check(value: Any) -> str | None:
        fits = type(value) is int and least <= value <= most
        return None if fits else f"a whole number from {least} to {most}"

    return check


def number(least: float, most: float) -> Rule:
    """A number within bounds."""

    def check(value: Any) -> str | None:
        plain = type(value) in (int, float) and math.isfinite(value)
        return None if plain and least <= value <= most else f"a number from {least} to {most}"

    return check


def flag(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "true or false"


def name(value: Any) -> str | None:
    """A short text."""
    return None if isinstance(value, str) and 0 < len(value) <= _SHOWN else "a short name"


def one_of(known: Collection[str]) -> Rule:
    """A name of a table."""

    def check(value: Any) -> str | None:
        fits = isinstance(value, str) and value in known
        return None if fits else f"one of {', '.join(sorted(known))}"

    return check


def side(value: Any) -> str | None:
    """A side of images that StyleGAN2 draws: a power of two."""
    fits = type(value) is int and 4 <= value <= LARGEST_SIDE and value & (value - 1) == 0
    return None if fits else f"a power of two from 4 to {LARGEST_SIDE}"


def or_none(rule: Rule) -> Rule:
    """What a rule allows, or null."""
    return lambda value: None if value is None or rule(value) is None else f"{rule(value)}, or null"


def several(rule: Rule, most: int, least: int = 0) -> Rule:
    """A list of what a rule allows."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            return f"a list of {least} to {most}"
        wrong = next((fault for each in value if (fault := rule(each))), None)
        return None if wrong is None else f"a list, each {wrong}"

    return check


def by_name(rule: Rule, most: int) -> Rule:
    """A table of any names to what a rule allows."""

    def check(value: Any) -> str | None:
        fits = isinstance(value, dict) and len(value) <= most
        fits = fits and all(rule(each) is None for each in value.values())
        return None if fits else "a table, each " + str(rule(None))

    return check


_WIDTH, _COUNT = whole(1, LARGEST_SIDE), whole(0, 64)
_WIDTHS = Key(several(_WIDTH, 8, 1))
_CHANNELS = or_none(several(several(_WIDTH, 2, 2), 11, 1))
_SHARES = several(number(0.0, 1.0), 4096)

DISCRIMINATOR: Table = {
    "resolution": Key(side),
    "label_dim": Key(whole(0, 100_000), False),
    "channel_base": Key(whole(1, 2**20), False),
    "channel_max": Key(_WIDTH, False),
    "channels": Key(_CHANNELS, False),
    "mbstd_group_size": Key(or_none(whole(1, 4096)), False),
    "mbstd_num_channels": Key(_COUNT, False),
    "mbstd_blocks": Key(whole(1, 4096), False),
    "num_mapping_layers": Key(_COUNT, False),
    "cmap_dim": Key(or_none(whole(0, LARGEST_SIDE)), False),
    "conv_clamp": Key(or_none(number(0.0, 1e9)), False),
    "dtype": Key(one_of(COMPUTE_DTYPES), False),
}
GENERATOR: Table = {
    "resolution": Key(side),
    "z_dim": Key(_WIDTH, False),
    "w_dim": Key(_WIDTH, False),
    "label_dim": Key(whole(0, 100_000), False),
    "channel_base": Key(whole(1, 2**20), False),
    "channel_max": Key(_WIDTH, False),
    "channels": Key(_CHANNELS, False),
    "num_mapping_layers": Key(_COUNT, False),
    "conv_clamp": Key(or_none(number(0.0, 1e9)), False),
    "demod_convention": Key(one_of(("scaled", "unscaled")), False),
    "pose_latent_dim": Key(whole(0, LARGEST_SIDE), False),
    "dtype": Key(one_of(COMPUTE_DTYPES), False),
    "discriminator": Key(lambda value: fault_in(value, DISCRIMINATOR), False),
}
ANALYSER: Table = {
    "block": Key(one_of(STAGES)),
    "widths": _WIDTHS,
    "hidden": Key(_WIDTH),
    "resolution": Key(whole(1, LARGEST_SIDE), False),
    "identity_width": Key(_WIDTH),
    "attribute_width": Key(_WIDTH),
    "num_landmarks": Key(_WIDTH),
    "glimpses": Key(several(whole(0, LARGEST_SIDE), 16), False),
}
_BODY: Table = {
    "resolution": Key(whole(1, LARGEST_SIDE)),
    "widths": _WIDTHS,
    "units": Key(several(whole(1, 100), 8, 1)),
    "squeeze": Key(or_none(_WIDTH)),
    "dtype": Key(one_of(COMPUTE_DTYPES), False),
}
EMBEDDER: Table = _BODY | {"iresnet": Key(flag), "embedding_width": Key(_WIDTH)}
STYLE_ENCODER: Table = _BODY | {
    "input_channels": Key(whole(1, 64), False),
    "num_styles": Key(whole(1, 64)),
    "code_width": Key(_WIDTH),
    "offsets": Key(flag),
    "centred": Key(flag),
}
FACE_PARSER: Table = {
    "num_classes": Key(whole(1, 1000)),
    "width": Key(_WIDTH, False),
    "resolution": Key(whole(1, LARGEST_SIDE), False),
}
HOPENET: Table = {
    "depths": Key(several(whole(1, 100), 4, 4)),
    "width": Key(_WIDTH, False),
    "resolution": Key(whole(1, LARGEST_SIDE), False),
}
ENCODER: Table = {
    "backbone": Key(one_of(BACKBONES), False),
    "pose_space": Key(one_of(POSE_SPACES)),
    "resolution": Key(whole(0, LARGEST_SIDE), False),
    "widths": _WIDTHS,
    "depths": Key(several(whole(1, 100), 8, 1), False),
    "units": Key(several(whole(1, 100), 8, 1), False),
    "squeeze": Key(or_none(_WIDTH), False),
    "offsets": Key(flag, False),
    "centred": Key(flag, False),
    "dtype": Key(one_of(COMPUTE_DTYPES), False),
}
SWAP: Table = {
    "selector": Key(name, False),
    "source_weights": Key(_SHARES, False),
    "mask": Key(one_of((*MASKS, PARSER_MASK)), False),
    # A rule that is put together with converted parts has neither groups of codes nor a width.
    "channel_groups": Key(_WIDTH, False),
    "width": Key(_WIDTH, False),
    "gate_mode": Key(one_of(GATE_MODES), False),
    "pose_transfer": Key(flag, False),
    "context": Key(whole(0, LARGEST_SIDE), False),
    "normalised": Key(flag, False),
    "owner_deviation": Key(number(0.0, 1e6), False),
    "owners_trained": Key(flag, False),
    "owners_like_first": Key(number(-1.001, 1.001), False),
    "target_features": Key(one_of(SPACE_GATES), False),
    "feather": Key(whole(0, LARGEST_SIDE)),
    "head_labels": Key(several(whole(0, 1000), 1000), False),
    "face_labels": Key(several(whole(0, 1000), 1000), False),
}


def _identity(value: Any) -> str | None:
    """An analyser, or a published embedder that says its kind."""
    if isinstance(value, dict) and "kind" in value:
        return fault_in(value, EMBEDDER | {"kind": Key(one_of(("arcface", "iresnet")))})
    return fault_in(value, ANALYSER)


def _with_kind(tables: Mapping[str, Table]) -> Rule:
    """A network of others beside a swapper's own: it says its kind."""

    def check(value: Any) -> str | None:
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in tables:
            return f"a table with a kind, one of {', '.join(sorted(tables))}"
        return fault_in(value, tables[kind] | {"kind": Key(name)})

    return check


LPIPS: Table = {"backbone": Key(one_of(LPIPS_BACKBONES))}
SWAPPER: Table = {
    "resolution": Key(side),
    "generator": Key(lambda value: fault_in(value, GENERATOR)),
    "identity": Key(_identity),
    "encoder": Key(lambda value: fault_in(value, ENCODER)),
    "swap": Key(lambda value: fault_in(value, SWAP)),
    "attribute_groups": Key(several(name, 100, 1)),
    "selections": Key(by_name(_SHARES, 100), False),
    "parser": Key(
        lambda value: fault_in(
            value, FACE_PARSER | {"class_ids": Key(several(whole(0, 1000), 1000, 1))}
        ),
        False,
    ),
    "pose": Key(_with_kind({"hopenet": HOPENET}), False),
    "lpips": Key(_with_kind({"lpips": LPIPS, "identity": ANALYSER}), False),
}
SCHEMAS: dict[str, Table] = {
    "generator": GENERATOR,
    "discriminator": DISCRIMINATOR,
    "identity": ANALYSER,
    "judge": ANALYSER,
    "swapper": SWAPPER,
    "psp": STYLE_ENCODER,
    "e4e": STYLE_ENCODER,
    "arcface": EMBEDDER,
    "iresnet": EMBEDDER,
    "lpips": LPIPS,
    "face_parser": FACE_PARSER,
    "hopenet": HOPENET,
    "inception": {},
}
"""The keys of a configuration, by kind of model."""


def check_config(where: object, kind: str, config: Mapping[str, Any]) -> None:
    """Makes sure that a network can be built from a configuration.

    Args:
        where: the directory, for the message.
        kind: of the model; one that is not in ``SCHEMAS`` is left to whoever knows it.
        config: its plain values, with the fields of earlier versions under their present names.

    Raises:
        UserError: an unknown or missing key, or a value of another type or size.
    """
    fault = fault_in(dict(config), SCHEMAS[kind]) if kind in SCHEMAS else None
    if fault is not None:
        raise UserError(
            f"got {where}, whose model.json does not describe a model of kind {kind}: config"
            f"{fault}; copy the directory again, or update alrl_jax"
        )


def fault_in(values: Any, table: Table) -> str | None:
    """What is wrong with a table of values, as what follows its name; None where nothing is."""
    if not isinstance(values, dict):
        return f" is {_shown(values)}; expected a table"
    for found in values:
        if found not in table:
            meant = did_you_mean(found, table).removesuffix("; ")
            return f" has the unknown key {_shown(found)}" + (f"; {meant}" if meant else "")
    for known, key in table.items():
        if known not in values and key.required:
            return f" lacks {known!r}"
        fault = key.rule(values[known]) if known in values else None
        if fault is None:
            continue
        nested = fault.startswith((".", " has ", " lacks ", " is "))
        wrong = fault if nested else f" is {_shown(values[known])}; expected {fault}"
        return f".{known}{wrong}"
    return None


def _shown(value: Any) -> str:
    return one_line(repr(value)[:1000])[:_SHOWN]
