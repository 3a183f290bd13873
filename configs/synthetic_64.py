"""The swapper at 64 px, first part: encoder, selection, generator and blend learn to draw faces.

python -m alrl_jax.train --config=configs/synthetic_64.py --workdir=runs/synthetic_64

Two CPU cores take 77 minutes. Faces come out well, but swaps keep the shape of the target's face;
``synthetic_64_refine.py`` goes on from here.
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """End to end from scratch, guided by the shipped identity net alone.

    The generator learns together with the encoder, so that it knows pose codes from the start; set
    ``pretrained.generator`` to begin from one that was trained as a GAN.
    """
    losses = {
        "identity": 1.0,
        "identity_factors": 0.0,
        "attributes": 0.5,
        "reconstruction": 4.0,
        "perceptual": 0.5,
        "self_reconstruction": 4.0,
        "self_perceptual": 0.5,
        "region": 0.5,
        "parsing": 0.1,
        "background": 1.0,
        "pose_consistency": 0.0,
        "attribute_consistency": 0.0,
        "latent": 0.001,
        "gate_budget": 0.1,
        "gate_entropy": 0.002,
        "gate_information": 0.0,
        "attribute_groups": 0.1,
        "adversarial": 0.2,
        "supervised": 0.0,
        "r1": 0.5,
    }
    config = default_config("swap", losses)
    config.num_steps = 3300
    config.batch_size = 16
    config.log_every = 50
    config.checkpoint_every = 250
    config.sample_every = 250
    config.data.same_identity_share = 0.5
    config.swap.temperature_end = 0.5
    config.discriminator.mbstd_blocks = 4
    config.optimizer.algorithm = "muon"
    config.optimizer.learning_rate = 0.02
    config.optimizer.generator_learning_rate = 0.01
    config.optimizer.discriminator_learning_rate = 2e-3
    config.optimizer.beta1 = 0.5
    config.optimizer.clip_norm = 10.0
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = True
    config.optimizer.ema_kimg = 2.0
    config.pretrained.identity = "embedded/identity_64"
    config.pretrained.generator = ""
    config.pretrained.swapper = ""
    return config
