"""Faults of a configuration's values that belong together; rules of a field stand at the field."""

import functools
from typing import Any

SMALLEST_SWAP = 32
"""The encoder's pose code is 4x4 at an eighth of the resolution."""


def joint_faults(config: Any) -> list[str]:
    """Lists what is wrong with values together that are right alone.

    Args:
        config: a ``Config``, which knows this module and cannot be known here.
    """
    return [
        *_size_faults(config),
        *_block_faults(config),
        *_loss_faults(config),
        *_interval_faults(config),
        *_part_faults(config),
        *_discriminator_faults(config),
    ]


def _interval_faults(config: Any) -> list[str]:
    every, line = config.held_out_every, config.log_every
    if config.keep_best and every == 0:
        return [
            f"keep_best is {config.keep_best!r} with held_out_every 0; expected steps between two "
            "measurements"
        ]
    # What is measured becomes a part of a line of the log.
    if every <= 0 or line <= 0 or every % line == 0:
        return []
    return [f"held_out_every is {every}; expected 0 or a multiple of log_every ({line})"]


def _part_faults(config: Any) -> list[str]:
    """Faults of the parts in which a batch goes through the networks."""
    parts, size = config.accumulate, config.batch_size
    if parts <= 1 or size <= 0:
        return []
    if size % parts:
        return [f"accumulate is {parts}; expected a divisor of batch_size ({size})"]
    blocks, group = config.discriminator.mbstd_blocks, config.discriminator.mbstd_group_size
    if not config.losses.get("adversarial") or blocks <= 0 or group <= 0 or size % blocks:
        return []
    block = size // blocks
    groups = block // min(group, block)
    if groups % parts and blocks % parts:
        return [
            f"accumulate is {parts} with a discriminator; expected a divisor of the {groups} "
            f"groups in each of its blocks, or of discriminator.mbstd_blocks ({blocks})"
        ]
    return []


def _discriminator_faults(config: Any) -> list[str]:
    """Faults of what only some runs have: frozen blocks, and classes."""
    faults, frozen, given = [], config.discriminator.freeze_blocks, config.pretrained
    blocks = max(config.resolution.bit_length() - 3, 0)
    if frozen > blocks:
        faults.append(
            f"discriminator.freeze_blocks is {frozen}; expected at most the {blocks} blocks of "
            f"resolution {config.resolution}"
        )
    elif frozen > 0 and not (given.get("discriminator") or given.get("swapper")):
        faults.append(
            f"discriminator.freeze_blocks is {frozen} without pretrained.discriminator or "
            "pretrained.swapper; expected 0, as fresh weights are not worth keeping"
        )
    if config.generator.class_conditional and config.task != "generator":
        faults.append(
            f"generator.class_conditional is True with task {config.task}; expected False, as only "
            "task generator draws faces of a class"
        )
    return faults


def _size_faults(config: Any) -> list[str]:
    faults = []
    if config.task == "swap" and config.resolution < SMALLEST_SWAP:
        faults.append(
            f"resolution is {config.resolution}; expected {SMALLEST_SWAP} or more for task swap"
        )
    if config.swap.channel_groups > 0 and config.generator.w_dim % config.swap.channel_groups:
        faults.append(
            f"swap.channel_groups is {config.swap.channel_groups}; expected a divisor of "
            f"generator.w_dim ({config.generator.w_dim})"
        )
    seen = {
        "loss_resolution": config.resolution,
        "encoder.resolution": config.resolution,
        "perceptual_resolution": config.loss_resolution or config.resolution,
    }
    for name, whole in seen.items():
        side = functools.reduce(getattr, name.split("."), config)
        if side < 0 or (side and whole % side):
            faults.append(f"{name} is {side}; expected 0 or a divisor of {whole}")
    return faults


def _block_faults(config: Any) -> list[str]:
    """Faults of the number of pairs in each block of the global batch."""
    faults, blocks = [], config.discriminator.mbstd_blocks
    if blocks <= 0:  # a fault of its own
        return []
    if config.batch_size % blocks:
        faults.append(
            f"batch_size is {config.batch_size}; expected a multiple of "
            f"discriminator.mbstd_blocks ({blocks})"
        )
    if config.swap.cycle_targets and config.batch_size // blocks < 2:
        faults.append(
            f"swap.cycle_targets is {config.swap.cycle_targets} with {config.batch_size} pairs in "
            f"{blocks} discriminator.mbstd_blocks; expected two or more in a block, or 0"
        )
    return faults


def _loss_faults(config: Any) -> list[str]:
    """Faults of settings that only certain losses give a meaning."""
    faults, swap, weight = [], config.swap, config.losses.get
    supervised = bool(weight("supervised"))
    if config.data.true_swaps != supervised and (supervised or config.losses):
        faults.append(
            f"data.true_swaps is {config.data.true_swaps} with losses.supervised "
            f"{weight('supervised', 0.0)}; expected True with a weight above 0 alone"
        )
    if config.data.true_swaps and config.data.on_device:
        faults.append(
            "data.on_device is True with data.true_swaps True; expected False, as the host draws "
            "true swaps when a batch needs them"
        )
    if config.data.on_device and not config.data.labels:
        faults.append(
            "data.labels is False with data.on_device True; expected True, as devices keep the "
            "labels with the faces"
        )
    if not config.losses:  # of a run that is over: a model is taken out of it
        return faults
    if config.discriminator.ada != "off" and not weight("adversarial"):
        faults.append(
            f"discriminator.ada is {config.discriminator.ada!r} without a weight of "
            "losses.adversarial; expected 'off', as there is no discriminator"
        )
    if swap.attribute_control and not (weight("attributes") or weight("pose")):
        faults.append(
            f"swap.attribute_control is {swap.attribute_control} without a weight of "
            "losses.attributes or losses.pose; expected 0, as no other loss could see whether they "
            "are met"
        )
    if swap.turn_head and not weight("parsing"):
        faults.append(
            "swap.turn_head is True without a weight of losses.parsing; expected False, as nothing "
            "else teaches the encoder what a head is"
        )
    return faults
