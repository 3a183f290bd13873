"""The demonstration: trains the shipped swapper a little further, on a few new people.

make demo
"""

import ml_collections

from alrl_jax.config import default_config, recipes


def get_config() -> ml_collections.ConfigDict:
    """The losses of ``synthetic_64_refine.py`` that need no network beyond the shipped swapper's.

    The discriminator and the probe of the attribute groups are not shipped: fresh ones would
    mislead more than they help in so short a run.
    """
    config = default_config("swap", recipes.REFINED_LOSSES_64)
    recipes.like_shipped_swapper(config)
    config.seed = 7
    config.num_steps = 60
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
    config.swap.temperature_start = 0.3
    return config
