"""The swapper at 64 px, first part: encoder, selection, generator and blend learn to draw faces.

python -m alrl_jax.train --config=configs/synthetic_64.py --workdir=runs/synthetic_64

Two CPU cores take 77 minutes. Faces come out well, but swaps keep the shape of the target's face;
``synthetic_64_refine.py`` goes on from here.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """End to end from scratch, guided by the shipped identity net alone.

    The generator learns together with the encoder, so that it knows pose codes from the start; set
    ``pretrained.generator`` to begin from one that was trained as a GAN.
    """
    config = recipes.swap_64(
        recipes.SWAP_LOSSES_64
        | {
            "identity": 1.0,
            "attributes": 0.5,
            "background": 1.0,
            "gate_entropy": 0.002,
            "attribute_groups": 0.1,
            "adversarial": 0.2,
            "r1": 0.5,
        }
    )
    config.num_steps = 3300
    config.checkpoint_every = 250
    config.sample_every = 250
    config.optimizer.learning_rate = 0.02
    config.optimizer.generator_learning_rate = 0.01
    return config
