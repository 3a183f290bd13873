"""The demonstration: trains the shipped swapper a little further, on a few new people.

make demo
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """The losses of ``synthetic_64_refine.py`` that need no network beyond the shipped swapper's.

    The discriminator and the probe of the attribute groups are not shipped: fresh ones would
    mislead more than they teach in so short a run.
    """
    losses = {
        "identity": 0.6,
        "identity_factors": 4.0,
        "attributes": 2.0,
        "reconstruction": 4.0,
        "perceptual": 0.5,
        "self_reconstruction": 4.0,
        "self_perceptual": 0.5,
        "region": 0.5,
        "parsing": 0.1,
        "background": 0.5,
        "pose_consistency": 0.0,
        "attribute_consistency": 0.0,
        "latent": 0.001,
        "gate_budget": 0.1,
        "gate_entropy": 0.0,
        "gate_information": 0.0,
        "attribute_groups": 0.0,
        "adversarial": 0.0,
        "supervised": 0.0,
        "r1": 0.0,
    }
    config = default_config("swap", losses)
    config.seed = 7
    config.num_steps = 60
    config.batch_size = 16
    config.log_every = 5
    config.checkpoint_every = 60
    config.sample_every = 60
    config.data.num_identities = 200
    config.data.images_per_identity = 4
    config.optimizer.learning_rate = 1e-4
    config.optimizer.generator_learning_rate = 1e-4
    config.optimizer.discriminator_learning_rate = 1e-4
    config.optimizer.clip_norm = 10.0
    config.optimizer.ema_kimg = 0.2
    config.swap.pose_transfer = True
    config.swap.context = 256
    config.swap.turn_head = True
    config.swap.temperature_start = 0.3
    config.pretrained.identity = "embedded/identity_64"
    config.pretrained.swapper = "embedded/swapper_64"
    return config
