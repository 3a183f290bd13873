"""Selections: which codes a model takes from which face, and whether the pair decides it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from alrl_jax.evaluation.measuring import Measurement
from alrl_jax.evaluation.report import page
from alrl_jax.evaluation.report.page import Cell, Line

NEARLY_ALL = 0.98
"""A code counts as always from one face where at least this share of the pairs takes it so."""
GREATEST_SPREAD = 0.5
"""Standard deviation of a gate that half of the pairs open."""


def gate_shares(found: Measurement) -> Float[np.ndarray, "n rows k"] | None:
    """Share of the source in what every attribute group owns, by pair and W+ layer."""
    gates = found.gates.get("attributes")
    if gates is None or found.owners is None or found.owners.shape[1] != gates.shape[2]:
        return None
    total = np.einsum("nlg,lgk->nlk", gates, found.owners)
    return total / np.maximum(found.owners.sum(axis=1)[None], 1e-8)


def layer_names(layers: int) -> list[str]:
    """W+ layers with the side of the maps that they style, which starts at 4 and doubles."""
    sides = [4 * 2 ** min((i + 1) // 2, layers // 2 - 1) for i in range(layers)]
    return [f"layer {i} · {side}²" for i, side in enumerate(sides)]


def deciders(
    gates: Float[np.ndarray, "n l g"],
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Channel groups by layer: always from the source, by the pair, always from the target."""
    share = gates.mean(axis=0)
    source, target = share >= NEARLY_ALL, share <= 1 - NEARLY_ALL
    kinds = (source, ~source & ~target, target)
    always, varying, never = ([np.flatnonzero(row).tolist() for row in kind] for kind in kinds)
    return always, varying, never


def section(found: Measurement, group_names: tuple[str, ...]) -> page.Section | None:
    """Tables of the gates, and the codes by name; None for a model without any.

    Args:
        found: gates and their owners.
        group_names: attribute groups, in the order of the owners.
    """
    shares = gate_shares(found)
    if shares is None:
        return None
    if shares.shape[2] == 1:  # nothing is decided by group
        shares = shares[:, :, :0]
    count = shares.shape[2]
    # A model that takes no requests by group has more owners than names.
    named = len(group_names) >= count
    groups = group_names[:count] if named else tuple(f"group {k}" for k in range(count))
    whole = found.gates["attributes"].mean(axis=2, keepdims=True)
    table = np.concatenate([shares, whole], axis=2)
    pose = found.gates["pose"].mean(axis=1)[:, None, None]
    empty = np.full((len(table), 1, shares.shape[2]), np.nan)
    table = np.concatenate([np.concatenate([empty, pose], axis=2), table], axis=1)
    names = ["pose code 4²", *layer_names(shares.shape[1])]
    head = ["codes", *groups, "all"]
    return page.section(
        "Which codes come from which face",
        "Gates of the model's own selection: rows are layers of W+ with their feature resolution, "
        "columns the attribute groups weighted by their share in each code; 1 is the source, 0 the "
        "target. A spread of 0 everywhere would mean a fixed selection. Of a learned transfer, "
        "which selects nothing: how far a code has moved on the way to the source's.",
        page.heading("Mean share taken from the source"),
        _shaded("mean share taken from the source", head, names, table.mean(axis=0), 1.0),
        page.heading("Spread over pairs (standard deviation)"),
        _shaded("spread over pairs", head, names, table.std(axis=0), GREATEST_SPREAD),
        page.heading("Codes by the face that they come from"),
        _codes_table(found, groups),
    )


def _shaded(
    label: str,
    head: Sequence[str],
    names: Sequence[str],
    values: Float[np.ndarray, "r c"],
    high: float,
) -> Markup | None:
    """Figures as cells that are the darker the larger; NaN leaves a cell empty."""
    lines = [
        Line([name, *(_cell(float(value), high) for value in row)])
        for name, row in zip(names, values, strict=True)
    ]
    return page.table(label, head, lines)


def _cell(value: float, high: float) -> Cell | str:
    if np.isnan(value):
        return ""
    return Cell(f"{value:.2f}", order=value, shade=min(1.0, max(0.0, value / high)))


def _codes_table(found: Measurement, groups: Sequence[str]) -> Markup | None:
    """Every channel group of every layer by its number, with the attribute group that owns it."""
    gates, owners = found.gates["attributes"], found.owners
    assert owners is not None

    def named(layer: int, numbers: list[int]) -> Cell:
        owner = np.argmax(owners[layer], axis=-1)
        with_owner = [f"{g} ({groups[owner[g]]})" if groups else str(g) for g in numbers]
        return Cell(", ".join(with_owner) or "–", wide=True)

    names = layer_names(gates.shape[1])
    kinds = deciders(gates)
    lines = [
        Line([name, *(named(layer, kind[layer]) for kind in kinds)])
        for layer, name in enumerate(names)
    ]
    share = f"{100 * NEARLY_ALL:.0f}%"
    heads = [f"from the source (at least {share} of the pairs)", "depends on the pair"]
    head = ["channel groups of", *heads, f"from the target (at least {share})"]
    return page.table("codes by the face that they come from", head, lines)
