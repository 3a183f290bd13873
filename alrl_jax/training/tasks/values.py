"""The plain values that a config gives to networks and optimisers."""

from typing import Any

from alrl_jax.config import Config
from alrl_jax.data.records import Layout
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import SOURCES, known_layout
from alrl_jax.data.world_faces import world_layout
from alrl_jax.errors import UserError
from alrl_jax.models.swapper.backbones import BACKBONES
from alrl_jax.worlds import FACTOR_GROUPS, primitives

Values = dict[str, Any]

ATTRIBUTE_GROUPS = ("identity", *primitives.ATTRIBUTE_GROUPS)
"""Names of the attribute queries; all worlds have the same groups."""

WITHOUT_QUERIES = ("identity", "pose")
"""What a caller can ask of a selection that does not decide by attribute."""

OWNER_DEVIATION = 0.1
"""Of the logits of a fresh ownership: near to none, so that what owns a code is learned."""


def swap_values(config: Config) -> Values:
    """What rebuilds the networks of task ``swap`` where no model directory says otherwise."""
    adaptive = config.swap.selector == "adaptive"
    return {
        "generator": generator_values(config),
        "discriminator": discriminator_values(config),
        "encoder": encoder_values(config),
        "swap": selection_values(config),
        "attribute_groups": list(ATTRIBUTE_GROUPS if adaptive else WITHOUT_QUERIES),
        "optimizer": optimizer_values(config),
    }


def factor_groups(config: Config) -> tuple[str, ...]:
    """Attribute group of every factor that the data know, those of identity first.

    Raises:
        UserError: the data know a factor of no world.
    """
    layout = _layout_with_factors(config)
    names = (*layout.identity_factors, *layout.attribute_factors)
    unknown = [name for name in names if name not in FACTOR_GROUPS]
    if unknown:
        raise UserError(
            f"got data with the factor {unknown[0]}, which no world has; expected those of a "
            "rendered world; prepare the data set again"
        )
    return tuple(FACTOR_GROUPS[name] for name in names)


def attribute_factors(config: Config) -> tuple[str, ...]:
    """Names of the attributes that the data know."""
    return _layout_with_factors(config).attribute_factors


def optimizer_values(config: Config) -> Values:
    """Arguments of ``make_optimizer`` that all networks of a run share."""
    values = config.optimizer
    return {
        "beta1": values.beta1,
        "beta2": values.beta2,
        "num_steps": config.num_steps,
        "warmup_steps": values.warmup_steps,
        "decay": values.decay,
        "clip_norm": values.clip_norm,
    }


def generator_values(config: Config) -> Values:
    """What rebuilds the generator, and the discriminator that it was trained with."""
    values = config.generator
    return {
        "resolution": config.resolution,
        "z_dim": values.z_dim,
        "w_dim": values.w_dim,
        "channel_base": values.channel_base,
        "channel_max": values.channel_max,
        "num_mapping_layers": values.num_mapping_layers,
        "pose_latent_dim": values.pose_latent_dim,
        "dtype": config.compute_dtype,
        **_label_values(config),
        "discriminator": discriminator_values(config),
    }


def discriminator_values(config: Config) -> Values:
    """What rebuilds the discriminator."""
    values = config.discriminator
    return {
        "resolution": config.resolution,
        "channel_base": values.channel_base,
        "channel_max": values.channel_max,
        "mbstd_group_size": values.mbstd_group_size,
        "mbstd_blocks": values.mbstd_blocks,
        "dtype": config.compute_dtype,
        **_label_values(config),
    }


def _label_values(config: Config) -> Values:
    """Classes of a generator and its discriminator; nothing without."""
    if not config.generator.class_conditional:
        return {}
    return {"label_dim": config.data.num_identities}


def encoder_values(config: Config) -> Values:
    """What rebuilds the encoder where no model directory says otherwise."""
    values = config.encoder
    return {
        "backbone": values.backbone,
        "resolution": values.resolution,
        "pose_space": values.pose_space,
        "dtype": config.compute_dtype,
        **{name: _plain(getattr(values, name)) for name in BACKBONES[values.backbone].fields},
    }


def selection_values(config: Config) -> Values:
    """What rebuilds the selection of codes and the blend."""
    values = config.swap
    return {
        "selector": values.selector,
        "source_weights": list(values.source_weights),
        "mask": values.mask,
        "channel_groups": values.channel_groups,
        "width": values.width,
        "gate_mode": values.gate_mode,
        "pose_transfer": values.pose_transfer,
        "context": values.context,
        "normalised": True,
        "owner_deviation": OWNER_DEVIATION,
        "owners_trained": bool(config.losses.get("attribute_groups")),
        "target_features": values.target_features,
        "feather": values.feather,
        "head_labels": list(primitives.HEAD_LABELS) if values.turn_head else [],
    }


EYES = ("l_eye_centre", "r_eye_centre", "l_eye_1", "r_eye_2")
"""Landmarks, as far as the data have them, that an analyser looks at a second time: the middle of
the eyes, or of their upper lids; see ``identity.glimpses``."""


def analyser_values(config: Config) -> Values:
    """What rebuilds the network that reads faces, by ``identity.kind``."""
    values, side = config.identity, config.resolution
    if values.kind == "arcface":  # sees the middle of the image, in about the same pixels
        return {
            "resolution": 3 * side // 4,
            "widths": list(values.widths),
            "units": [1] * len(values.widths),
            "squeeze": None,
            "iresnet": False,
            "embedding_width": values.hidden,
        }
    if values.kind == "hopenet":
        return {"depths": [1, 1, 1, 1], "width": values.widths[0], "resolution": side}
    if values.kind == "face_parser":  # decides at an eighth of what it sees
        return {
            "num_classes": len(primitives.PARSING_LABELS),
            "width": values.widths[0],
            "resolution": 4 * side,
        }
    layout = _layout_with_factors(config)
    return {
        "block": values.block,
        "widths": list(values.widths),
        "hidden": values.hidden,
        "resolution": side,
        "identity_width": len(layout.identity_factors),
        "attribute_width": len(layout.attribute_factors),
        "num_landmarks": len(layout.landmarks),
        "glimpses": _eyes(layout) if values.glimpses else [],
    }


def _eyes(layout: Layout) -> list[int]:
    """Places of the ``EYES`` among the landmarks that the data have.

    Raises:
        UserError: if they have none.
    """
    found = [place for place, name in enumerate(layout.landmarks) if name in EYES]
    if not found:
        raise UserError(
            "identity.glimpses is True with data that have no landmarks of the eyes; expected a "
            "rendered world; set --config.identity.glimpses=False"
        )
    return found


def _layout_with_factors(config: Config) -> Layout:
    """What the data say about faces; what the first world would say where they do not."""
    data = config.data
    if data.source in SOURCES:
        known = known_layout(DataRequest(data.source, data.path, config.resolution))
        if known is not None and known.identity_factors:
            return known
    return world_layout(config.resolution)


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value
