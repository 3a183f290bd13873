"""The plain values that a swapper is rebuilt from, as a config wants them."""

from alrl_jax.config import Config
from alrl_jax.training.tasks import warm_start
from alrl_jax.training.tasks.loss_networks import identity_config
from alrl_jax.worlds import primitives

ATTRIBUTE_GROUPS = ("identity", *primitives.ATTRIBUTE_GROUPS)
"""Names of the attribute queries."""
WITHOUT_QUERIES = ("identity", "pose")
"""What a caller can ask of a selection that does not decide by attribute."""


def swapper_config(config: Config) -> dict:
    """Plain values that rebuild the swapper."""
    generator, swap = warm_start.generator_values(config), config.swap
    adaptive = swap.selector == "adaptive"
    return {
        "resolution": config.resolution,
        "generator": generator,
        "identity": identity_config(config),
        "encoder": warm_start.encoder_values(config, generator),
        "swap": {
            "selector": swap.selector,
            "source_weights": list(swap.source_weights),
            "mask": swap.mask,
            "channel_groups": swap.channel_groups,
            "width": swap.width,
            "gate_mode": swap.gate_mode,
            "pose_transfer": swap.pose_transfer,
            "context": swap.context,
            "feather": swap.feather,
            "head_labels": list(primitives.HEAD_LABELS) if swap.turn_head else [],
        },
        "attribute_groups": list(ATTRIBUTE_GROUPS if adaptive else WITHOUT_QUERIES),
    }
