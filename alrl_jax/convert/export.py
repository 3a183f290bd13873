"""Writes our StyleGAN2 networks as other projects keep them: the converter's tables, run backwards.

``nvidia``: the state dict of NVIDIA's PyTorch modules under ``G_ema`` or ``D``, beside it
``init_kwargs``, the arguments that build the module.  ``rosinality``: ``g_ema`` with
``latent_avg``, or ``d``, as its own converter writes them.  Constant buffers are included, so that
a strict ``load_state_dict`` finds all it expects.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from alrl_jax.convert.families.stylegan2 import rules
from alrl_jax.convert.networks import INIT_KWARGS
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_discriminator, build_generator
from alrl_jax.models.stylegan2.discriminator import Discriminator
from alrl_jax.models.stylegan2.generator import IMAGE_CHANNELS, Generator, channel_table

Network = Generator | Discriminator
Arrays = dict[str, np.ndarray]

WEIGHTS = ("params", "constants")
"""Collections that belong to the network itself."""
SAMPLER = "pose"
"""Collection of the sampler that draws the pose codes of our own GANs."""


@dataclasses.dataclass(frozen=True)
class Permissions:
    """Differences that the caller accepts where a layout cannot hold what a network does.

    Attributes:
        rescale_kernels: multiply the kernels of the generator by the constant that makes the
            layout's demodulation compute the same; equal up to the rounding of float32.
        drop_conv_clamp: leave the clamp out; pictures change where activations reach it.
    """

    rescale_kernels: bool = False
    drop_conv_clamp: bool = False


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


@dataclasses.dataclass(frozen=True)
class Target:
    """How a project keeps one kind of network.

    Attributes:
        rules: where the tensors go.
        section: name of the network in the checkpoint.
        beside: tensors that stand beside the network rather than in it.
        demodulation: the project's ``layers.DemodConvention``.
        holds_labels: whether there are conditional networks.
        holds_clamp: whether activations may be clamped.
        mbstd: group size and channels of the minibatch statistic, where the project fixes them.
        kwargs: arguments that build the module, where they are kept.
        remark: what the class upstream does not build by itself.
    """

    rules: rules.Rules
    section: str
    beside: tuple[str, ...] = ()
    demodulation: str = "unscaled"
    holds_labels: bool = True
    holds_clamp: bool = True
    mbstd: tuple[int, int] | None = None
    kwargs: Callable[[Any], dict[str, Any]] | None = None
    remark: Callable[[Any], str | None] = lambda network: None


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
    network = _BUILDERS[kind](meta["config"])
    target = TARGETS[kind][layout]
    notes = _check(network, target, layout, permissions)
    flat = _flat_weights(variables, notes)
    if isinstance(network, Generator) and network.demod_convention != target.demodulation:
        _rescale_kernels(flat, unscaled_to_scaled=target.demodulation == "scaled")
        notes.append("Kernels were rescaled to keep the pictures under another demodulation.")
    tensors = _rearrange(flat, target.rules, network)
    inside = {name: value for name, value in tensors.items() if name not in target.beside}
    content: dict[str, Any] = {target.section: inside}
    content |= {name: tensors[name] for name in target.beside if name in tensors}
    if target.kwargs is not None:
        content[INIT_KWARGS] = target.kwargs(network)
    return Exported(content, tensors, notes)


def _check(network: Any, target: Target, layout: str, permissions: Permissions) -> list[str]:
    """What is lost without harm, in sentences.

    Raises:
        UserError: if more than that would be lost.
    """
    notes = []
    if network.label_dim and not target.holds_labels:
        raise UserError(
            f"got a network with {network.label_dim} classes; expected one without, as the layout "
            f"{layout} has none; take --format=nvidia"
        )
    if network.conv_clamp is not None and not target.holds_clamp:
        if not permissions.drop_conv_clamp:
            raise UserError(
                f"got a network with conv_clamp={network.conv_clamp:g}; expected none, as the "
                f"layout {layout} has none; leave it out with --drop_conv_clamp"
            )
        notes.append(f"conv_clamp={network.conv_clamp:g} was left out; large activations differ.")
    if isinstance(network, Generator):
        if network.demod_convention != target.demodulation and not permissions.rescale_kernels:
            raise UserError(
                f"got demodulation {network.demod_convention!r}; expected {target.demodulation!r} "
                f"in the layout {layout}; let --rescale_kernels fit the kernels to it"
            )
    else:
        notes += _check_statistic(network, target, layout)
    if jnp.dtype(network.dtype) != jnp.float32:
        notes.append(f"It was used in {jnp.dtype(network.dtype)}; the file says nothing of that.")
    remark = target.remark(network)
    return [*notes, remark] if remark else notes


def _check_statistic(network: Discriminator, target: Target, layout: str) -> list[str]:
    statistic = (network.mbstd_group_size, network.mbstd_num_channels)
    if target.mbstd is not None and statistic != target.mbstd:
        raise UserError(
            f"got a minibatch statistic of groups of {statistic[0]} in {statistic[1]} channels; "
            f"expected {target.mbstd[0]} and {target.mbstd[1]} in the layout {layout}; "
            "take --format=nvidia"
        )
    if network.mbstd_blocks == 1:
        return []
    return [f"The {network.mbstd_blocks} blocks of a batch are left out; a batch is one block."]


def _flat_weights(variables: Mapping[str, Any], notes: list[str]) -> Arrays:
    """The network's own arrays by path; what else there is goes into the notes.

    Raises:
        UserError: if the model draws its pose codes itself.
    """
    if SAMPLER in variables:
        raise UserError(
            "got a generator that draws with sampled pose codes; expected one without, as no other "
            "project has them; train with --config.generator.pose_latent_dim=0"
        )
    others = sorted(set(variables) - set(WEIGHTS))
    if others:
        notes.append(f"Left out of the model: {', '.join(others)}.")
    kept = {name: variables[name] for name in WEIGHTS if name in variables}
    return {name: np.asarray(x) for name, x in traverse_util.flatten_dict(kept, sep="/").items()}


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


def _rearrange(flat: Arrays, table: rules.Rules, network: Any) -> Arrays:
    """The tensors by their foreign names, every array of ours used exactly once.

    Raises:
        UserError: if an array is missing or left over.
    """
    conditional = network.label_dim > 0
    mapped = isinstance(network, Generator) or conditional
    depth = network.num_mapping_layers if mapped else 0
    rows = rules.expand(table, network.resolution, depth, conditional)
    paths = {path for path, _ in rows.values() if path is not None}
    if paths != set(flat):
        odd = sorted(paths ^ set(flat))
        raise UserError(
            f"got weights that differ from the config in {odd[0]} and {len(odd) - 1} more; "
            "expected those of the config; copy the model directory anew"
        )
    tensors: Arrays = {}
    for name, (path, key) in rows.items():
        layout = rules.LAYOUTS[key]
        if path is None:
            tensors[name] = np.asarray(layout.constant, np.float32)
            continue
        assert layout.invert is not None, f"{key}: a layout that is read, never written"
        tensors[name] = np.asarray(layout.invert(flat[path]), np.float32, order="C")
    return tensors


def _widths(network: Any) -> dict[int, int]:
    return channel_table(
        network.resolution, network.channel_base, network.channel_max, network.channels
    )


def _width_kwargs(network: Any) -> dict[str, Any]:
    """Arguments for the channels; a table that no rule gives stands as it is."""
    if network.channels is not None:
        return {"channels": {str(side): width for side, width in _widths(network).items()}}
    return {"channel_base": network.channel_base, "channel_max": network.channel_max}


def _nvidia_generator_kwargs(network: Generator) -> dict[str, Any]:
    return {
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


def _nvidia_discriminator_kwargs(network: Discriminator) -> dict[str, Any]:
    return {
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


_BUILDERS: dict[str, Callable[[Mapping[str, Any]], Network]] = {
    "generator": build_generator,
    "discriminator": build_discriminator,
}

TARGETS: dict[str, dict[str, Target]] = {
    "generator": {
        "nvidia": Target(
            rules.NVIDIA_GENERATOR,
            "G_ema",
            kwargs=_nvidia_generator_kwargs,
            remark=_nvidia_remark,
        ),
        "rosinality": Target(
            rules.ROSINALITY_GENERATOR,
            "g_ema",
            beside=("latent_avg",),
            demodulation="scaled",
            holds_labels=False,
            holds_clamp=False,
            remark=_rosinality_remark,
        ),
    },
    "discriminator": {
        "nvidia": Target(
            rules.NVIDIA_DISCRIMINATOR,
            "D",
            kwargs=_nvidia_discriminator_kwargs,
            remark=_nvidia_remark,
        ),
        "rosinality": Target(
            rules.ROSINALITY_DISCRIMINATOR,
            "d",
            holds_labels=False,
            holds_clamp=False,
            mbstd=(4, 1),
            remark=_rosinality_remark,
        ),
    },
}
"""Layouts by kind of network and project."""

FORMATS = tuple(TARGETS["generator"])
