"""StyleGAN2 as other projects keep it, for the export of our networks.

``nvidia``: the state dict of NVIDIA's PyTorch modules under ``G_ema`` or ``D``, beside it
``init_kwargs``, the arguments that build the module.  ``rosinality``: ``g_ema`` with
``latent_avg``, or ``d``, as its own converter writes them.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.families.stylegan2.centres import LATENT_AVERAGE
from alrl_jax.convert.networks import INIT_KWARGS
from alrl_jax.convert.rules import Row
from alrl_jax.convert.target import Arrays, Permissions, Target
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_discriminator, build_generator
from alrl_jax.models.stylegan2.discriminator import Discriminator
from alrl_jax.models.stylegan2.generator import IMAGE_CHANNELS, Generator, channel_table
from alrl_jax.models.stylegan2.layers import DemodConvention

Network = Generator | Discriminator

SAMPLER = "pose"
"""Collection of the sampler that draws the pose codes of our own GANs."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a project's networks can do.

    Attributes:
        demodulation: the convention of its generators.
        holds_labels: whether there are conditional networks.
        holds_clamp: whether activations may be clamped.
        mbstd: group size and channels of the minibatch statistic, where the project fixes them.
        remark: what the class upstream does not build by itself.
    """

    demodulation: DemodConvention
    holds_labels: bool
    holds_clamp: bool
    mbstd: tuple[int, int] | None
    remark: Callable[[Any], str | None]


def _check(
    limits: Limits,
    network: Network,
    variables: Mapping[str, Any],
    layout: str,
    permissions: Permissions,
) -> list[str]:
    """What is lost without harm, in sentences.

    Raises:
        UserError: if more than that would be lost, or the model draws its pose codes itself.
    """
    notes: list[str] = []
    if SAMPLER in variables:
        raise UserError(
            "got a generator that draws with sampled pose codes; expected one without, as no other "
            "project has them; train with --config.generator.pose_latent_dim=0"
        )
    if network.label_dim and not limits.holds_labels:
        raise UserError(
            f"got a network with {network.label_dim} classes; expected one without, as the layout "
            f"{layout} has none; take --format=nvidia"
        )
    if network.conv_clamp is not None and not limits.holds_clamp:
        if not permissions.drop_conv_clamp:
            raise UserError(
                f"got a network with conv_clamp={network.conv_clamp:g}; expected none, as the "
                f"layout {layout} has none; leave it out with --drop_conv_clamp"
            )
        notes.append(f"conv_clamp={network.conv_clamp:g} was left out; large activations differ.")
    if isinstance(network, Generator):
        if network.demod_convention != limits.demodulation and not permissions.rescale_kernels:
            raise UserError(
                f"got demodulation {network.demod_convention!r}; expected {limits.demodulation!r} "
                f"in the layout {layout}; let --rescale_kernels fit the kernels to it"
            )
    else:
        notes += _check_statistic(network, limits, layout)
    if jnp.dtype(network.dtype) != jnp.float32:
        notes.append(f"It was used in {jnp.dtype(network.dtype)}; the file says nothing of that.")
    remark = limits.remark(network)
    return [*notes, remark] if remark else notes


def _check_statistic(network: Discriminator, limits: Limits, layout: str) -> list[str]:
    statistic = (network.mbstd_group_size, network.mbstd_num_channels)
    if limits.mbstd is not None and statistic != limits.mbstd:
        raise UserError(
            f"got a minibatch statistic of groups of {statistic[0]} in {statistic[1]} channels; "
            f"expected {limits.mbstd[0]} and {limits.mbstd[1]} in the layout {layout}; "
            "take --format=nvidia"
        )
    if network.mbstd_blocks == 1:
        return []
    return [f"The {network.mbstd_blocks} blocks of a batch are left out; a batch is one block."]


def _adapt(limits: Limits, network: Network, flat: Arrays) -> list[str]:
    """Rescales the kernels where the project demodulates by the other convention."""
    if not isinstance(network, Generator) or network.demod_convention == limits.demodulation:
        return []
    _rescale_kernels(flat, unscaled_to_scaled=limits.demodulation == "scaled")
    return ["Kernels were rescaled to keep the images under another demodulation."]


def _rescale_kernels(flat: Arrays, unscaled_to_scaled: bool) -> None:
    """Lets another demodulation compute the same.

    "Unscaled" divides by sqrt(|k|^2 + e), "scaled" by sqrt(|k|^2 + e / g^2) with g = 1/sqrt(fan
    in): what one makes of a kernel k, the other makes of k / g, and back.
    """
    for path, kernel in flat.items():
        if path.startswith("params/synthesis/") and kernel.shape[:2] == (3, 3):
            root = math.sqrt(math.prod(kernel.shape[:3]))
            factor = np.float32(root if unscaled_to_scaled else 1 / root)
            flat[path] = np.asarray(kernel, np.float32) * factor


def _rows(table: rules.Rules, network: Network) -> dict[str, Row]:
    conditional = network.label_dim > 0
    # A discriminator without classes has no mapping network, whatever its depth says.
    mapped = isinstance(network, Generator) or conditional
    depth = network.num_mapping_layers if mapped else 0
    return rules.expand(table, network.resolution, depth, conditional)


def _widths(network: Network) -> dict[int, int]:
    return channel_table(
        network.resolution, network.channel_base, network.channel_max, network.channels
    )


def _width_kwargs(network: Network) -> dict[str, Any]:
    """Arguments for the channels; a table that no rule gives stands as it is."""
    if network.channels is not None:
        return {"channels": {str(side): width for side, width in _widths(network).items()}}
    return {"channel_base": network.channel_base, "channel_max": network.channel_max}


def _nvidia_generator_arguments(network: Generator) -> dict[str, Any]:
    arguments = {
        "z_dim": network.z_dim,
        "c_dim": network.label_dim,
        "w_dim": network.w_dim,
        "img_resolution": network.resolution,
        "img_channels": IMAGE_CHANNELS,
        "mapping_kwargs": {"num_layers": network.num_mapping_layers},
        "synthesis_kwargs": {
            **_width_kwargs(network),
            "num_fp16_res": 0,
            "conv_clamp": network.conv_clamp,
        },
    }
    return {INIT_KWARGS: arguments}


def _nvidia_discriminator_arguments(network: Discriminator) -> dict[str, Any]:
    arguments = {
        "c_dim": network.label_dim,
        "img_resolution": network.resolution,
        "img_channels": IMAGE_CHANNELS,
        **_width_kwargs(network),
        "num_fp16_res": 0,
        "conv_clamp": network.conv_clamp,
        "cmap_dim": network.cmap_dim,
        "block_kwargs": {},
        "mapping_kwargs": {"num_layers": network.num_mapping_layers},
        "epilogue_kwargs": {
            "mbstd_group_size": network.mbstd_group_size,
            "mbstd_num_channels": network.mbstd_num_channels,
        },
    }
    return {INIT_KWARGS: arguments}


def _nvidia_remark(network: Network) -> str | None:
    if network.channels is None:
        return None
    return "The class upstream has no channel_base for these widths; build it with the table."


def _rosinality_remark(network: Network) -> str | None:
    odd = isinstance(network, Generator) and network.z_dim != network.w_dim
    table = _widths(network)
    if not odd and any(table == _rosinality_widths(table, multiplier) for multiplier in (1, 2)):
        return None
    widths = ", ".join(f"{side}: {width}" for side, width in sorted(table.items()))
    latents = f", z of {network.z_dim}, w of {network.w_dim}" if odd else ""
    return f"The class upstream has other widths; build it with these: {widths}{latents}."


def _rosinality_widths(sides: Mapping[int, int], multiplier: int) -> dict[int, int]:
    """The table that is written into rosinality's classes."""
    return {side: 512 if side <= 32 else 16384 // side * multiplier for side in sides}


_NVIDIA = Limits(
    demodulation="unscaled",
    holds_labels=True,
    holds_clamp=True,
    mbstd=None,
    remark=_nvidia_remark,
)
_ROSINALITY = Limits(
    demodulation="scaled",
    holds_labels=False,
    holds_clamp=False,
    mbstd=(4, 1),
    remark=_rosinality_remark,
)


def _target(
    build: Callable[[Mapping[str, Any]], Network],
    table: rules.Rules,
    limits: Limits,
    section: str,
    **fields: Any,
) -> Target:
    return Target(
        build=build,
        rows=functools.partial(_rows, table),
        section=section,
        check=functools.partial(_check, limits),
        layouts=rules.LAYOUTS,
        adapt=functools.partial(_adapt, limits),
        **fields,
    )


TARGETS: Mapping[str, Mapping[str, Target]] = {
    "generator": {
        "nvidia": _target(
            build_generator,
            rules.NVIDIA_GENERATOR,
            _NVIDIA,
            "G_ema",
            arguments=_nvidia_generator_arguments,
        ),
        "rosinality": _target(
            build_generator,
            rules.ROSINALITY_GENERATOR,
            _ROSINALITY,
            "g_ema",
            beside=(LATENT_AVERAGE,),
        ),
    },
    "discriminator": {
        "nvidia": _target(
            build_discriminator,
            rules.NVIDIA_DISCRIMINATOR,
            _NVIDIA,
            "D",
            arguments=_nvidia_discriminator_arguments,
        ),
        "rosinality": _target(
            build_discriminator, rules.ROSINALITY_DISCRIMINATOR, _ROSINALITY, "d"
        ),
    },
}
"""Layouts by kind of network and project."""
