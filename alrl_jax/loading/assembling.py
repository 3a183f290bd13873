"""A swapper of converted parts, without training: generator, encoder, identity net, face parser.

The codes are selected by a fixed rule, the pose is that of the coarse codes, and the face region of
a parser, or an ellipse, blends.  Nothing is learned, so that all that the parts must agree in is
checked here.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.data.face_parsing import PARSER_KINDS, parser_network
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_encoder, build_generator
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.selection import BEST_FIXED, SELECTORS
from alrl_jax.models.swapper.swapper import PARSER_MASK
from alrl_jax.provenance import lineage
from alrl_jax.provenance.model_card import write_card
from alrl_jax.storage.model_directory import read_meta, read_model, save_model
from alrl_jax.training.tasks.loss_networks import IDENTITY_KINDS, LPIPS_KINDS, POSE_KINDS
from alrl_jax.training.tasks.warm_start import start_encoder
from alrl_jax.worlds.primitives.labels import FACE_LABELS, HEAD_LABELS

PyTree = Any
Values = dict[str, Any]

SWAPPER = "swapper"
KINDS: Mapping[str, tuple[str, ...]] = {
    "generator": ("generator", SWAPPER),
    "encoder": ("psp", "e4e", SWAPPER),
    "identity": IDENTITY_KINDS,
    "parser": PARSER_KINDS,
    "pose": POSE_KINDS,
    "lpips": LPIPS_KINDS,
}
"""Parts and the kinds of model that each may be; a swapper gives its generator or encoder."""

RULES = tuple(name for name, rule in SELECTORS.items() if rule is not None)
MASKS = (PARSER_MASK, "ellipse")
GROUPS = ("identity", "pose")
"""What can be asked of a fixed rule."""

FEATHER_SHARE = 32
"""The mask's side over the width of its soft edge, as in the shipped model."""

_TRUNK = ("widths", "units", "squeeze", "offsets", "centred")
_NO_TRAINING = {
    "name": "none: assembled of converted parts, without training",
    "licence": "that of its parts, below",
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a swapper is assembled of.

    Attributes:
        directories: model directories by the names of ``KINDS``; the first three are needed.
        selector: a fixed rule of ``SELECTORS``, or ``best_fixed``.
        mask: what blends, of ``MASKS``.
        selection: what ``alrl search-selection`` printed, for ``best_fixed``.
    """

    directories: Mapping[str, str]
    selector: str
    mask: str
    selection: Path | None = None


def assemble(parts: Parts, output: Path, command: str = "") -> Values:
    """Writes a model directory of kind ``swapper``, whole or not at all, and its card.

    Args:
        parts: what it is assembled of.
        output: the directory.
        command: line that asked for it; stands in the card.

    Returns:
        The config of the model.

    Raises:
        UserError: if a part is missing, of another kind, or does not belong to the others.
    """
    named = {name: path for name, path in parts.directories.items() if path}
    metas = {name: _meta(name, path) for name, path in named.items()}
    config = _config(parts, metas)
    variables = {name: _read(name, path) for name, path in named.items()}
    generator = variables["generator"]
    variables["generator"] = {name: generator[name] for name in ("params", "constants")}
    if metas["encoder"]["kind"] != SWAPPER:
        variables["encoder"] = _encoder_variables(config, variables["encoder"])
    entries = lineage.entries(named)
    terms = lineage.terms({"name": "none", "licence": lineage.OWN_TERMS}, entries)
    source = {
        "command": command,
        "data": _NO_TRAINING,
        "pretrained": entries,
        "terms": terms,
        "licence": lineage.licence(terms),
        "config": {"selector": parts.selector, "mask": parts.mask},
    }
    save_model(output, SWAPPER, config, {"swap": {}, **variables}, source=source)
    write_card(output)
    return config


def _meta(name: str, directory: str) -> Values:
    meta, kinds = read_meta(directory), KINDS[name]
    if meta["kind"] not in kinds:
        raise UserError(
            f"got --{name}={directory}, a model of kind {meta['kind']}; expected one of kind "
            f"{' or '.join(kinds)}; name another directory"
        )
    return meta


def _read(name: str, directory: str) -> PyTree:
    meta, variables = read_model(directory)
    return variables[name] if meta["kind"] == SWAPPER else variables


def _part(name: str, meta: Values) -> Values:
    """The config of a part; that of a swapper holds it under its name."""
    return meta["config"][name] if meta["kind"] == SWAPPER else meta["config"]


def _config(parts: Parts, metas: Mapping[str, Values]) -> Values:
    """Plain values that rebuild the swapper; everything is checked before a weight is read."""
    generator = {**_part("generator", metas["generator"]), "dtype": "float32"}
    if generator.get("label_dim"):
        raise UserError(
            f"got --generator of {generator['label_dim']} classes; expected one without; name "
            "another directory"
        )
    resolution = int(generator["resolution"])
    encoder = _encoder_config(parts, metas["encoder"], generator)
    config: Values = {
        "resolution": resolution,
        "generator": generator,
        "identity": _identity_config(parts, metas["identity"], resolution),
        "encoder": encoder,
        "attribute_groups": list(GROUPS),
    }
    if "parser" in metas:
        where = f"got --parser={parts.directories['parser']}"
        network = parser_network(metas["parser"]["config"], where)
        ids = {"class_ids": list(network.class_ids), "resolution": network.resolution}
        config["parser"] = {**metas["parser"]["config"], **ids}
    for name in ("pose", "lpips"):
        if name in metas:
            config[name] = {"kind": metas[name]["kind"], **metas[name]["config"]}
    return config | {"swap": _swap_config(parts, config)}


def _swap_config(parts: Parts, config: Values) -> Values:
    if parts.mask == PARSER_MASK and "parser" not in config:
        raise UserError(
            "got --mask=parser without --parser; expected the directory of a face parser; name it, "
            "or take --mask=ellipse"
        )
    resolution = config["resolution"]
    side = config["encoder"].get("resolution", 0) or resolution
    by_parser = parts.mask == PARSER_MASK
    side = min(config["parser"]["resolution"], resolution) if by_parser else side
    labels = {"face_labels": list(FACE_LABELS), "head_labels": list(HEAD_LABELS)}
    swap: Values = {
        "selector": parts.selector,
        "mask": parts.mask,
        "feather": max(1, side // FEATHER_SHARE),
        **(labels if by_parser else {}),
    }
    if parts.selector == BEST_FIXED:
        swap["source_weights"] = _searched(parts.selection, num_latents(resolution))
    elif parts.selector not in RULES:
        raise UserError(
            f"got --selector={parts.selector}; expected one of {', '.join((*RULES, BEST_FIXED))}"
        )
    elif parts.selection is not None:
        raise UserError(f"got --selection with --selector={parts.selector}; leave it out")
    return swap


def _searched(path: Path | None, layers: int) -> list[float]:
    """The weights that an exhaustive search found."""
    expected = (
        f"expected what alrl search-selection prints, with {layers + 1} source_weights from 0 to 1"
    )
    if path is None:
        raise UserError(f"got --selector=best_fixed without --selection=FILE; {expected}; name it")
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))["source_weights"]
        values = [float(weight) for weight in weights]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UserError(f"got --selection={path} ({reason}); {expected}") from error
    if len(values) != layers + 1 or not all(0 <= value <= 1 for value in values):
        raise UserError(f"got --selection={path} with {len(values)} source_weights; {expected}")
    return values


def _encoder_config(parts: Parts, meta: Values, generator: Values) -> Values:
    found = _part("encoder", meta)
    where = f"got --encoder={parts.directories['encoder']}"
    resolution = int(generator["resolution"])
    if meta["kind"] == SWAPPER:
        wanted = {"resolution": resolution, "w_dim": generator["w_dim"]}
        own = {
            "resolution": meta["config"]["resolution"],
            "w_dim": meta["config"]["generator"]["w_dim"],
        }
        _check_same(where, own, wanted)
        return found
    codes = {"num_styles": num_latents(resolution), "code_width": generator["w_dim"]}
    _check_same(where, found, codes | {"input_channels": 3})
    side = int(found["resolution"])
    if resolution % side:
        raise UserError(
            f"{where}, which sees {side} px, with a generator of {resolution} px; expected an "
            "encoder whose images those of the generator can be pooled to; name another directory"
        )
    return {
        "backbone": "ir_se",
        "pose_space": "coarse_codes",
        "resolution": side,
        "dtype": "float32",
        **{name: found[name] for name in _TRUNK},
    }


def _check_same(where: str, found: Values, wanted: Values) -> None:
    for name, value in wanted.items():
        if found[name] != value:
            raise UserError(
                f"{where} with {name}={found[name]}; expected {value}, as the generator has; name "
                "parts that belong together"
            )


def _identity_config(parts: Parts, meta: Values, resolution: int) -> Values:
    config, kind = meta["config"], meta["kind"]
    if kind != "identity":  # a published embedder, which cuts its crop from faces of any size
        return {"kind": kind, **config}
    side = config.get("resolution", resolution)
    if resolution % side:
        raise UserError(
            f"got --identity={parts.directories['identity']}, which sees {side} px; expected a "
            f"divisor of the generator's {resolution} px; name another directory"
        )
    return config


def _encoder_variables(config: Values, trunk: PyTree) -> PyTree:
    """Variables of a dual-space encoder on a converted one; what has learned nothing is zero."""
    generator = build_generator(config["generator"])
    encoder, side = build_encoder(config["encoder"], generator), config["encoder"]["resolution"]
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    centre = jax.ShapeDtypeStruct((generator.w_dim,), jnp.float32)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), images, centre)
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    return start_encoder(fresh, {"trunk": trunk})
