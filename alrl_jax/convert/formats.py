"""Foreign networks that can be converted: how each is known, and what its shapes say.

One row of ``FORMATS`` a network and project; a new format is a new row, with its rules.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.convert import rules
from alrl_jax.errors import UserError
from alrl_jax.models.discriminator import Discriminator
from alrl_jax.models.stylegan2 import Channels, Generator

Tensors = Mapping[str, np.ndarray]
Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of network as one project saves it.

    Attributes:
        kind: what the network is for.
        project: whose layout it is.
        signature: tensors that only such a network has.
        sections: names under which checkpoints keep it, the preferred one first.
        beside: tensors that stand beside the network in the checkpoint and belong to it.
        read_config: the architecture, from the shapes.
        rules: where the tensors go.
        shapes: the shapes of our variables, from the architecture.
        conventions: what a reader of the weights has to know.
    """

    kind: str
    project: str
    signature: tuple[str, ...]
    sections: tuple[str, ...]
    beside: tuple[str, ...]
    read_config: Callable[[Tensors], Config]
    rules: rules.Rules
    shapes: Callable[[Config], Any]
    conventions: Mapping[str, str]


def generator_module(config: Config) -> Generator:
    """Our generator of that architecture."""
    return _module(Generator, config)


def _module(module: type[nn.Module], config: Config) -> Any:
    channels = config.get("channels")
    return module(**{**config, "channels": channels and tuple(map(tuple, channels))})


def _generator_shapes(config: Config) -> Any:
    module = generator_module(config)
    z = jnp.zeros((1, module.z_dim))
    return jax.eval_shape(module.init, jax.random.key(0), z)


def _discriminator_shapes(config: Config) -> Any:
    images = jnp.zeros((1, config["resolution"], config["resolution"], 3))
    return jax.eval_shape(_module(Discriminator, config).init, jax.random.key(0), images)


def _shape(tensors: Tensors, name: str, axes: int) -> tuple[int, ...]:
    if name not in tensors:
        raise UserError(f"got a network without {name}; expected it beside the others; see --kind")
    shape = tensors[name].shape
    if len(shape) != axes:
        raise UserError(f"got {name} of shape {list(shape)}; expected {axes} axes; is it damaged?")
    return shape


def _count(tensors: Tensors, pattern: str) -> int:
    """How many different numbers stand at the group of ``pattern``."""
    matches = (re.fullmatch(pattern, name) for name in tensors)
    return len({match.group(1) for match in matches if match})


def _channels(table: Mapping[int, int]) -> Config:
    """The table as StyleGAN2's rule where it is one, else the table itself."""
    top = max(table)
    base, most = table[top] * top, table[min(table)]
    follows = all(min(base // side, most) == width for side, width in table.items())
    explicit: Channels | None = None if follows else tuple(sorted(table.items()))
    return {
        "channel_base": base,
        "channel_max": most,
        "channels": explicit and [list(pair) for pair in explicit],
    }


def _sides(blocks: int) -> tuple[int, ...]:
    """Resolutions from 8 up, with a limit that keeps damaged files from asking for the moon."""
    if not 1 <= blocks <= 10:
        raise UserError(f"got {blocks} resolutions above 4x4; expected 1 to 10; is it damaged?")
    return tuple(8 * 2**i for i in range(blocks))


def _rosinality_generator(tensors: Tensors) -> Config:
    sides = _sides(_count(tensors, r"to_rgbs\.(\d+)\.bias"))
    table = {4: _shape(tensors, "conv1.conv.weight", 5)[1]}
    for order, side in enumerate(sides):
        table[side] = _shape(tensors, f"convs.{2 * order}.conv.weight", 5)[1]
    depth = _count(tensors, r"style\.(\d+)\.weight")
    return {
        "resolution": sides[-1],
        "z_dim": _shape(tensors, "style.1.weight", 2)[1],
        "w_dim": _shape(tensors, f"style.{depth}.weight", 2)[0],
        "label_dim": 0,
        **_channels(table),
        "num_mapping_layers": depth,
        "conv_clamp": None,
        "demod_convention": "scaled",
    }


def _rosinality_discriminator(tensors: Tensors) -> Config:
    sides = _sides(_count(tensors, r"convs\.(\d+)\.conv1\.0\.weight"))
    table = {4: _shape(tensors, "final_conv.0.weight", 4)[0]}
    for order, side in enumerate(reversed(sides)):
        table[side] = _shape(tensors, f"convs.{order + 1}.conv1.0.weight", 4)[0]
    return {
        "resolution": sides[-1],
        "label_dim": 0,
        **_channels(table),
        "mbstd_group_size": 4,
        "mbstd_num_channels": 1,
        "mbstd_blocks": 1,
        "conv_clamp": None,
    }


_LAYOUT = {
    "image": "NHWC in [-1, 1]",
    "kernel": "HWIO, dense [in, out]",
    "gain": "raw weights, gains applied at run time",
}

FORMATS: tuple[Format, ...] = (
    Format(
        kind="generator",
        project="rosinality",
        signature=("input.input", "conv1.conv.modulation.weight", "style.1.weight"),
        sections=("g_ema", "g"),
        beside=("latent_avg",),
        read_config=_rosinality_generator,
        rules=rules.ROSINALITY_GENERATOR,
        shapes=_generator_shapes,
        conventions=_LAYOUT | {"demodulation": "epsilon on weights times 1/sqrt(fan in)"},
    ),
    Format(
        kind="discriminator",
        project="rosinality",
        signature=("convs.0.0.weight", "final_conv.0.weight", "final_linear.1.weight"),
        sections=("d",),
        beside=(),
        read_config=_rosinality_discriminator,
        rules=rules.ROSINALITY_DISCRIMINATOR,
        shapes=_discriminator_shapes,
        conventions=_LAYOUT,
    ),
)
"""Every network that is understood."""

KINDS = tuple(dict.fromkeys(row.kind for row in FORMATS))
