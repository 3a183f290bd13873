"""Faults of a configuration's values that belong together; ``config.py`` checks each by itself."""

import functools
from typing import Any

SMALLEST_SWAP = 32
"""The encoder's pose code is 4x4 at an eighth of the resolution."""


_ADAPTIVE_ALONE = (
    ("gate_mode", "hard"),
    ("pose_transfer", False),
    ("context", 0),
    ("attribute_control", 0),
)
"""Fields of the selection ``adaptive``, and their values elsewhere."""


def joint_faults(config: Any) -> list[str]:
    """Lists what is wrong with values together that are right alone.

    Args:
        config: a ``Config``, which knows this module and cannot be known here.
    """
    faults = []
    blocks = config.discriminator.mbstd_blocks
    if blocks > 0 and config.batch_size % blocks:
        faults.append(
            f"batch_size is {config.batch_size}; expected a multiple of "
            f"discriminator.mbstd_blocks ({blocks})"
        )
    if config.task == "swap" and config.resolution < SMALLEST_SWAP:
        faults.append(
            f"resolution is {config.resolution}; expected {SMALLEST_SWAP} or more for task swap"
        )
    if config.swap.channel_groups > 0 and config.generator.w_dim % config.swap.channel_groups:
        faults.append(
            f"swap.channel_groups is {config.swap.channel_groups}; expected a divisor of "
            f"generator.w_dim ({config.generator.w_dim})"
        )
    for name in ("loss_resolution", "encoder.resolution"):
        side = functools.reduce(getattr, name.split("."), config)
        if side < 0 or (side and config.resolution % side):
            faults.append(f"{name} is {side}; expected 0 or a divisor of {config.resolution}")
    # A config without any loss is one of a run that is over.
    if config.discriminator.ada != "off" and config.losses and not config.losses.get("adversarial"):
        faults.append(
            f"discriminator.ada is {config.discriminator.ada!r} without a weight of "
            "losses.adversarial; expected 'off', as there is no discriminator"
        )
    if config.swap.cycle_targets and blocks > 0 and config.batch_size // blocks < 2:
        faults.append(
            f"swap.cycle_targets is {config.swap.cycle_targets} with {config.batch_size} pairs in "
            f"{blocks} discriminator.mbstd_blocks; expected two or more in a block, or 0"
        )
    faults += _selection_faults(config) + _true_swap_faults(config)
    stages = 4 if config.encoder.backbone == "ir_se" else 3
    if len(config.encoder.widths) != stages:
        faults.append(
            f"encoder.widths is {config.encoder.widths}; expected {stages} widths for "
            f"encoder.backbone {config.encoder.backbone}"
        )
    return faults


def _selection_faults(config: Any) -> list[str]:
    faults, swap = [], config.swap
    if swap.selector != "adaptive":
        for name, usual in _ADAPTIVE_ALONE:
            value = getattr(swap, name)
            if value != usual:
                faults.append(
                    f"swap.{name} is {value!r} with swap.selector {swap.selector}; expected "
                    f"{usual!r}, as only adaptive has it"
                )
    if swap.attribute_control and config.losses and not config.losses.get("attributes"):
        faults.append(
            f"swap.attribute_control is {swap.attribute_control} without a weight of "
            "losses.attributes; expected 0, as no other loss could see whether they are met"
        )
    if swap.turn_head and config.losses and not config.losses.get("parsing"):
        faults.append(
            "swap.turn_head is True without a weight of losses.parsing; expected False, as nothing "
            "else teaches the encoder what a head is"
        )
    layers = 2 * (config.resolution.bit_length() - 2)  # of W+
    wanted = layers + 1 if swap.selector == "best_fixed" else 0
    if len(swap.source_weights) != wanted:
        faults.append(
            f"swap.source_weights has {len(swap.source_weights)} numbers with swap.selector "
            f"{swap.selector}; expected {wanted}"
            + (": of the pose code and every layer" if wanted else "")
        )
    return faults


def _true_swap_faults(config: Any) -> list[str]:
    faults, asked = [], bool(config.losses.get("supervised"))
    if config.data.true_swaps and config.data.source != "synthetic":
        faults.append(
            f"data.true_swaps is True with data.source {config.data.source}; expected synthetic, "
            "as nobody knows the true swap of other faces"
        )
    # A config without any loss is one of a run that is over.
    if config.data.true_swaps != asked and (asked or config.losses):
        faults.append(
            f"data.true_swaps is {config.data.true_swaps} with losses.supervised "
            f"{config.losses.get('supervised', 0.0)}; expected True with a weight above 0 alone"
        )
    return faults
