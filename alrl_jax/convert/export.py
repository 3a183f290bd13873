"""Writes our networks as other projects keep them: the converter's tables, run backwards.

Constant buffers are included, so that a strict ``load_state_dict`` finds all it expects.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from alrl_jax.convert.families import TARGETS
from alrl_jax.convert.target import Arrays, Permissions, Target
from alrl_jax.errors import UserError

WEIGHTS = ("params", "constants")
"""Collections that belong to the network itself."""

FORMATS: tuple[str, ...] = tuple(dict.fromkeys(name for rows in TARGETS.values() for name in rows))
"""Names of the layouts."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """A network in a foreign layout.

    Attributes:
        content: what goes into the checkpoint.
        tensors: the network's tensors by their foreign names, a part of ``content``.
        notes: what a user of the file has to know, in sentences.
    """

    content: dict[str, Any]
    tensors: Arrays
    notes: list[str]


def export(
    meta: Mapping[str, Any],
    variables: Mapping[str, Any],
    layout: str,
    permissions: Permissions = Permissions(),  # noqa: B008 (frozen)
) -> Exported:
    """Rearranges a model directory's network into a foreign layout.

    Args:
        meta: ``kind`` and ``config`` of the model.
        variables: its weights, host arrays.
        layout: one of ``FORMATS``.
        permissions: which differences are accepted.

    Raises:
        UserError: if the layout cannot hold what the network does.
    """
    kind = meta["kind"]
    if kind not in TARGETS:
        raise UserError(
            f"got a model of kind {kind!r}; expected one of {', '.join(TARGETS)}; name another"
        )
    target = TARGETS[kind][layout]
    network = target.build(meta["config"])
    notes = target.check(network, variables, layout, permissions)
    flat = _flat_weights(variables, notes)
    notes += target.adapt(network, flat)
    tensors = _rearrange(flat, target, network)
    inside = {name: value for name, value in tensors.items() if name not in target.beside}
    content: dict[str, Any] = {target.section: inside}
    content |= {name: tensors[name] for name in target.beside if name in tensors}
    return Exported(content | target.arguments(network), tensors, notes)


def _flat_weights(variables: Mapping[str, Any], notes: list[str]) -> Arrays:
    """The network's own arrays by path; what else there is goes into the notes."""
    others = sorted(set(variables) - set(WEIGHTS))
    if others:
        notes.append(f"Left out of the model: {', '.join(others)}.")
    kept = {name: variables[name] for name in WEIGHTS if name in variables}
    return {name: np.asarray(x) for name, x in traverse_util.flatten_dict(kept, sep="/").items()}


def _rearrange(flat: Arrays, target: Target, network: Any) -> Arrays:
    """The tensors by their foreign names, every array of ours used exactly once.

    Raises:
        UserError: if an array is missing or left over.
    """
    rows = target.rows(network)
    paths = {path for path, _ in rows.values() if path is not None}
    if paths != set(flat):
        odd = sorted(paths ^ set(flat))
        raise UserError(
            f"got weights that differ from the config in {odd[0]} and {len(odd) - 1} more; "
            "expected those of the config; copy the model directory again"
        )
    tensors: Arrays = {}
    for name, (path, key) in rows.items():
        layout = target.layouts[key]
        if path is None:
            tensors[name] = np.asarray(layout.constant, np.float32)
            continue
        assert layout.invert is not None, f"{key}: a layout that is read, never written"
        tensors[name] = np.asarray(layout.invert(flat[path]), np.float32, order="C")
    return tensors
