"""Backbones of the dual-space encoder: one table, from which config, build and warm start read."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.published.psp import StyleEncoder
from alrl_jax.models.stylegan2 import ops
from alrl_jax.models.swapper.encoder import DualSpaceEncoder, StyleDualSpaceEncoder

Encoder = DualSpaceEncoder | StyleDualSpaceEncoder


class ResidualUnit(nn.Module):
    """Residual unit at the same resolution; starts as the identity function, without norms.

    Colours and light are attributes that the codes must carry, so their level is not normalised
    away.
    """

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = nn.Conv(self.width, (3, 3), padding=1)(nn.silu(x))
        y = nn.Conv(self.width, (3, 3), padding=1)(nn.silu(y))
        gain = self.param("gain", nn.initializers.constant(0.1), (self.width,), jnp.float32)
        return x + gain * y


class ResidualPyramid(nn.Module):
    """A small feature extractor.

    Attributes:
        widths: channels at 1/2, 1/4 and 1/8.
        depths: residual units there.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...] = (1, 1, 1)

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> list[Array]:
        """Feature maps, fine to coarse."""
        maps = []
        x = images
        for i, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            x = ops.mean_pool(x) if i else ops.space_to_depth(images)
            x = nn.Conv(width, (3, 3), padding=1, name=f"down{i}")(x)
            for j in range(depth):
                x = ResidualUnit(width, name=f"unit{i}_{j}" if j else f"unit{i}")(x)
            maps.append(x)
        return maps


@dataclasses.dataclass(frozen=True)
class CodeShapes:
    """The codes that a generator reads.

    Attributes:
        pose_channels: channels of the pose code.
        num_layers: layers of W+.
        code_width: width of a W+ code.
    """

    pose_channels: int
    num_layers: int
    code_width: int


@dataclasses.dataclass(frozen=True)
class Backbone:
    """What a backbone needs.

    Attributes:
        build: the encoder on it, of the plain values of a model's ``encoder``, the shapes of its
            codes, and what the backward pass keeps of a block (see ``REMAT_POLICIES``).
        stages: numbers that ``widths`` has.
        fields: of the config's ``encoder``, what ``build`` reads beside ``resolution``.
        published: whether it is the trunk of pSp and e4e, which starts from a converted encoder
            and brings heads of its own.
    """

    build: Callable[[Mapping[str, Any], CodeShapes, str], Encoder]
    stages: int
    fields: tuple[str, ...]
    published: bool = False


def _on_residual(values: Mapping[str, Any], shapes: CodeShapes, remat: str) -> DualSpaceEncoder:
    widths = tuple(values["widths"])
    # Models of 0.1.0 have one unit a stage and say nothing of it.
    body = ResidualPyramid(widths, tuple(values.get("depths", (1,) * len(widths))))
    return DualSpaceEncoder(body, shapes.pose_channels, shapes.num_layers, shapes.code_width)


def _on_style_trunk(
    values: Mapping[str, Any], shapes: CodeShapes, remat: str
) -> StyleDualSpaceEncoder:
    dtype = jnp.dtype(values["dtype"])
    trunk = StyleEncoder(
        resolution=values["resolution"],
        widths=tuple(values["widths"]),
        units=tuple(values["units"]),
        squeeze=values["squeeze"],
        num_styles=shapes.num_layers,
        code_width=shapes.code_width,
        offsets=values["offsets"],
        centred=values["centred"],
        dtype=dtype,
        remat=remat,
    )
    return StyleDualSpaceEncoder(trunk, shapes.pose_channels, dtype)


BACKBONES: dict[str, Backbone] = {
    "residual": Backbone(_on_residual, stages=3, fields=("widths", "depths")),
    "ir_se": Backbone(
        _on_style_trunk, stages=4, fields=("widths", "units", "squeeze"), published=True
    ),
}
"""``residual``: a small one of our own, trained from scratch. ``ir_se``: that of pSp and e4e."""
