"""What several configs of ``configs/`` have in common; each config file says what differs."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from alrl_jax.config.schema import default_config

SWAP_LOSSES_64 = {
    "reconstruction": 4.0,
    "perceptual": 0.5,
    "self_reconstruction": 4.0,
    "self_perceptual": 0.5,
    "region": 0.5,
    "parsing": 0.1,
    "latent": 0.001,
    "gate_budget": 0.1,
}
"""Faces come out well, and both are drawn again from their own codes."""

REFINED_LOSSES_64 = SWAP_LOSSES_64 | {
    "identity": 0.6,
    "identity_factors": 4.0,
    "attributes": 2.0,
    "background": 0.5,
}
"""Beside that, identity comes from the source and everything else from the target."""

BLENDED_LOSSES_64 = {
    "reconstruction": 2.0,
    "perceptual": 0.25,
    "blended_reconstruction": 2.0,
    "blended_perceptual": 0.25,
    # Without these two, the heads forget to encode (docs/results.md).
    "self_reconstruction": 4.0,
    "self_perceptual": 0.5,
    "identity": 0.3,
    "blended_identity": 0.3,
    "identity_factors": 4.0,
    "attributes": 2.0,
    "region": 0.5,
    "parsing": 0.1,
    "latent": 0.001,
    "background": 0.5,
    "gate_budget": 0.1,
}
"""For a swap whose generator is held still: half by the generated face, half by the blended one."""

KEEP_TARGET = {
    "pose": 0.5,
    "landmarks": 0.2,
    "expression": 0.2,
    "gaze": 0.1,
    "light": 0.5,
}
"""What no identity net says: where a head points, how a face is set, moved and lit."""

PHOTO_LOSSES = KEEP_TARGET | {
    "identity": 0.5,
    "blended_identity": 0.5,
    "reconstruction": 0.5,
    "blended_reconstruction": 0.5,
    "perceptual": 0.4,
    "blended_perceptual": 0.4,
    "self_reconstruction": 1.0,
    "self_perceptual": 0.8,
    "region": 0.5,
    "parsing": 0.1,
    "background": 0.5,
    "pose_consistency": 0.1,
    "attribute_consistency": 0.01,
    "latent": 0.001,
    "gate_budget": 0.1,
    "gate_entropy": 0.002,
}
"""For photographs, of which networks of others read identity, pose, look and parts alone."""


def analyser_64(losses: Mapping[str, float]) -> ml_collections.ConfigDict:
    """A face analyser at 64 px on the synthetic world: identity net or judge."""
    config: Any = default_config("identity", losses)
    config.batch_size = 48
    config.log_every = 50
    config.checkpoint_every = 1000
    config.sample_every = 2000
    config.identity.widths = (32, 64, 96, 96)
    config.identity.hidden = 128
    config.optimizer.algorithm = "muon"
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = True
    config.optimizer.ema_kimg = 2.0
    return config


def swap_64(losses: Mapping[str, float]) -> ml_collections.ConfigDict:
    """The swapper at 64 px on the synthetic world, trained with Muon."""
    config: Any = default_config("swap", losses)
    config.log_every = 50
    config.discriminator.mbstd_blocks = 4
    config.swap.temperature_end = 0.5
    config.optimizer.algorithm = "muon"
    config.optimizer.beta1 = 0.5
    config.optimizer.clip_norm = 10.0
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = True
    config.optimizer.ema_kimg = 2.0
    config.pretrained.identity = "embedded/identity_64"
    return config


def like_shipped_swapper(config: Any) -> None:
    """Lets a config go on from the shipped swapper, with a selection of the same shape."""
    config.swap.pose_transfer = True
    config.swap.context = 256
    config.swap.turn_head = True
    config.pretrained.identity = "embedded/identity_64"
    config.pretrained.swapper = "embedded/swapper_64"


def decide_by_pair(config: Any, gate_learning_rate: float) -> None:
    """Selection, refinement and target features that look at the pair, with gates that can move."""
    config.swap.pose_transfer = True
    config.swap.context = 256
    config.swap.target_features = "pair"
    config.optimizer.gate_learning_rate = gate_learning_rate


def stand_in_64(kind: str, losses: Mapping[str, float]) -> ml_collections.ConfigDict:
    """A narrow network of the same kind as a published one, at 64 px on the synthetic world."""
    config: Any = analyser_64(losses)
    config.identity.kind = kind
    config.num_steps = 4000
    config.batch_size = 32
    config.data.images_per_identity = 6
    config.optimizer.learning_rate = 0.01
    return config


def without_labels(config: Any) -> None:
    """What of a recipe needs no label: another face has to be undone, another picture met."""
    config.data.witnesses = True
    config.swap.cycle_targets = 0.5
    config.swap.attribute_control = 0.25


def swap_photos(losses: Mapping[str, float]) -> ml_collections.ConfigDict:
    """The swapper on photographs, on converted networks: ArcFace, LPIPS, Hopenet, a face parser."""
    config: Any = default_config("swap", losses)
    without_labels(config)
    decide_by_pair(config, 0.003)
    config.log_every = 50
    config.checkpoint_every = 2000
    config.sample_every = 2000
    config.compute_dtype = "bfloat16"
    config.data.source = "prepared"
    config.generator.w_dim = 512
    config.discriminator.channel_max = 512
    config.encoder.backbone = "ir_se"
    config.encoder.widths = (64, 128, 256, 512)
    config.swap.width = 256
    config.swap.feather = 4
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 500
    config.optimizer.decay = True
    config.optimizer.clip_norm = 10.0
    config.optimizer.ema_kimg = 10.0
    config.pretrained.identity = "models/arcface"
    config.pretrained.lpips = "models/lpips"
    config.pretrained.parser = "models/parser"
    config.pretrained.pose = "models/hopenet"
    return config


def swap_photos_1024(losses: Mapping[str, float]) -> ml_collections.ConfigDict:
    """``swap_photos`` at 1024 px, on the encoder of pSp and the generator of FFHQ."""
    config: Any = swap_photos(losses)
    config.resolution = 1024
    config.loss_resolution = 256
    config.remat = "blocks"
    config.data.path = "data/ffhq_1024"
    config.discriminator.channel_base = 32768
    config.encoder.resolution = 256
    config.pretrained.generator = "models/ffhq"
    config.pretrained.encoder = "models/psp"
    return config


def train_adversarially(config: Any) -> None:
    """Lets the generator of a config of photographs be fine-tuned against a discriminator."""
    config.discriminator.mbstd_blocks = 8
    config.optimizer.generator_learning_rate = 1e-4
    config.optimizer.discriminator_learning_rate = 5e-4
    config.optimizer.beta1 = 0.5
