"""A swapper that starts from a smaller one: what grows with the image, and how it starts.

The generator gets new blocks, whose colours are zero at first: the larger image is the smaller one,
upsampled. The encoder goes on seeing images of the smaller size. W+ gets two more codes for every
doubling; the encoder first gives ``w_avg`` for them. Whatever else has a part for every layer grows
by the rules of ``PER_LAYER``. The attention of an adaptive selection meets new tokens, which can
turn a gate that was nearly undecided; codes and weights of old layers are as they were.

Every array that differs in shape has to be named here: nothing grows by chance.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Literal

import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array

from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2.generator import block_resolutions
from alrl_jax.training.state import PyTree

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Growth:
    """From which swapper to which.

    Attributes:
        old_resolution: side of the images of the smaller one.
        resolution: of the larger one.
        code_width: of a W+ code.
        channel_groups: groups that the channels of a code are split into.
        pose_size: numbers of a pose code.
    """

    old_resolution: int
    resolution: int
    code_width: int
    channel_groups: int
    pose_size: int

    @property
    def layers(self) -> int:
        """Layers of W+ of the smaller one."""
        return 2 * len(block_resolutions(self.old_resolution))

    @property
    def new_layers(self) -> int:
        """Layers that the larger one has beside these; they are the last."""
        return 2 * len(block_resolutions(self.resolution)) - self.layers

    @property
    def units(self) -> dict[str, int]:
        """Entries of an array for each layer."""
        return {"layer": 1, "group": self.channel_groups, "code": self.code_width}


@dataclasses.dataclass(frozen=True)
class PerLayer:
    """An array with a part for each layer of W+, the last layer last.

    Attributes:
        axis: along which the layers lie.
        unit: what it has of each, see ``Growth.units``.
        start: of new layers: ``zero``, as ``fresh``, or as the ``last`` layer.
        faces: 0 where nothing but layers lies along the axis; else the pose codes of so many faces,
            their W+ codes, and what has no layers.
    """

    axis: int
    unit: Literal["layer", "group", "code"]
    start: Literal["zero", "fresh", "last"]
    faces: int = 0


PER_LAYER: dict[str, dict[str, PerLayer]] = {
    "encoder": {
        # The head of the finest level alone, as coarse and middle layers stay as many.
        r"params/attributes/Dense_2/kernel": PerLayer(1, "code", "zero"),
        r"params/attributes/Dense_2/bias": PerLayer(0, "code", "zero"),
    },
    "swap": {
        # What decides about a detail that is finer still: as about the finest so far.
        r"params/(places|owners|bias)": PerLayer(0, "group", "last"),
        # Fresh ones pass codes on as they are.
        r"params/transfer_(in|out)": PerLayer(0, "layer", "fresh"),
        r"params/context_in/kernel": PerLayer(0, "code", "zero", faces=2),
        r"params/(cell\d+_(in|select|shift)|layer\d+|out)_(weight|bias)": PerLayer(
            0, "layer", "fresh"
        ),
        r"params/mix": PerLayer(0, "layer", "fresh"),
    },
    # Gates of pairs read the context of all codes as well.
    "target_features": {r"params/context_in/kernel": PerLayer(0, "code", "zero", faces=2)},
    "probe": {r"params/weight": PerLayer(0, "layer", "zero")},
}
"""How arrays grow with the layers of W+, by network and pattern of their path."""

NEW_BLOCKS = {
    "generator": r"(?:params|constants)/synthesis/b(\d+)/.+",
    "discriminator": r"b(\d+)/.+",
}
"""Patterns of what a block holds, by network; a block above the old resolution starts fresh."""

STARTS_AT_ZERO = r"params/synthesis/b\d+/torgb/(weight|bias)"
"""What of a generator's new block: its colours, so that it adds nothing to the image."""

OLD_IMAGES = r"b(\d+)/fromrgb/.+"
"""What a discriminator loses: at the old resolution, it no longer reads an image."""


def larger_generator(values: Values, resolution: int) -> Values:
    """Plain values of a generator with further blocks.

    Args:
        values: of the smaller one.
        resolution: of the larger one. An explicit table of channels goes on by halves.
    """
    channels = sorted(list(pair) for pair in values.get("channels") or ())
    for side in block_resolutions(resolution)[len(channels) :] if channels else ():
        channels.append([side, max(channels[-1][1] // 2, 1)])
    return {**values, "resolution": resolution, **({"channels": channels} if channels else {})}


def grow(name: str, found: PyTree, fresh: PyTree, growth: Growth) -> PyTree:
    """Variables of a network of the smaller swapper, as large as those of the larger one.

    Args:
        name: of the network.
        found: of the smaller swapper.
        fresh: of the larger one, before training.
        growth: from which to which.

    Raises:
        UserError: naming the first array of which no rule says how it grows.
    """
    old, new = _flat(found), _flat(fresh)
    for path in sorted(old.keys() - new.keys()):
        if _side(OLD_IMAGES if name == "discriminator" else "", path) != growth.old_resolution:
            raise _no_rule(name, path, old[path].shape, None, growth)
    grown = {path: _grown(name, path, old.get(path), new[path], growth) for path in sorted(new)}
    return traverse_util.unflatten_dict(grown, sep="/")


def _flat(tree: PyTree) -> dict[str, Any]:
    return dict(traverse_util.flatten_dict(tree, sep="/"))


def _grown(name: str, path: str, old: Array | None, fresh: Array, growth: Growth) -> Array:
    if old is None:
        if _side(NEW_BLOCKS.get(name, ""), path) <= growth.old_resolution:
            raise _no_rule(name, path, None, fresh.shape, growth)
        starts_at_zero = name == "generator" and re.fullmatch(STARTS_AT_ZERO, path)
        return jnp.zeros_like(fresh) if starts_at_zero else fresh
    if old.shape == fresh.shape:
        return old
    rules = PER_LAYER.get(name, {})
    rule = next((r for pattern, r in rules.items() if re.fullmatch(pattern, path)), None)
    if rule is None or not _fits(rule, old.shape, fresh.shape, growth):
        raise _no_rule(name, path, old.shape, fresh.shape, growth)
    return jnp.concatenate(list(_parts(rule, old, fresh, growth)), axis=rule.axis)


def _fits(rule: PerLayer, old: tuple[int, ...], fresh: tuple[int, ...], growth: Growth) -> bool:
    """Whether the shapes differ by the new layers and by nothing else."""
    expected = list(old)
    expected[rule.axis] += max(rule.faces, 1) * growth.new_layers * growth.units[rule.unit]
    return tuple(expected) == fresh


def _parts(rule: PerLayer, old: Array, fresh: Array, growth: Growth) -> Iterator[Array]:
    """Old and new layers by turns, and what lies behind them."""
    axis, unit = rule.axis, growth.units[rule.unit]
    added = growth.new_layers * unit
    before = rule.faces * growth.pose_size
    ends = [before + (face + 1) * growth.layers * unit for face in range(rule.faces)]
    begin = 0
    for number, end in enumerate(ends or [old.shape[axis]]):
        yield _cut(old, axis, begin, end)
        if rule.start == "last":
            yield from [_cut(old, axis, end - unit, end)] * growth.new_layers
        else:
            place = end + number * added
            piece = _cut(fresh, axis, place, place + added)
            yield jnp.zeros_like(piece) if rule.start == "zero" else piece
        begin = end
    yield _cut(old, axis, begin, old.shape[axis])


def _cut(x: Array, axis: int, begin: int, end: int) -> Array:
    return x[(*[slice(None)] * axis, slice(begin, end))]


def _side(pattern: str, path: str) -> int:
    """Resolution of the block that a path lies in, by its pattern; 0 where it lies in none."""
    found = re.fullmatch(pattern, path)
    return int(found[1]) if found else 0


def _no_rule(
    name: str,
    path: str,
    old: tuple[int, ...] | None,
    fresh: tuple[int, ...] | None,
    growth: Growth,
) -> UserError:
    shapes = f"{old or 'missing'}, in the run {fresh or 'missing'}"
    return UserError(
        f"pretrained.swapper cannot grow from resolution {growth.old_resolution} to "
        f"{growth.resolution}: {name} {path} is {shapes}; "
        "expected the same architecture, or an array that is known to grow; change the config "
        f"to match the model, or train at resolution {growth.old_resolution}"
    )
