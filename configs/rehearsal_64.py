"""The recipe for photographs, rehearsed at 64 px on faces whose truth is known.

    python -m alrl_jax.train --config=configs/rehearsal_64.py --workdir=runs/rehearsal_64
    alrl evaluate --workdir=runs/rehearsal_64 --output=runs/rehearsal_64_evaluated

after ``stand_ins_64.py``, whose commands make what ``pretrained`` names. Losses, cycle targets,
witnesses and attribute control are those of ``ffhq_256.py``. No loss reads a label of the world:
identity, pose and parts of the face come from networks of the kinds that photographs are read with,
and masks from the parser, as for photographs that have none. What differs is the size, and that
generator and discriminator start from scratch; features of ``embedded/identity_64``, of which
nothing but distances of pictures is read, stand in for LPIPS. What the evaluation says of this run
against the true swaps says what the recipe is worth. It has not run its course yet.
"""

import ml_collections

from alrl_jax.config import recipes

LABELLED = ("identity_factors", "attributes", "attribute_groups", "supervised")
"""Losses that know the world, which a rehearsal may not weigh."""


def get_config() -> ml_collections.ConfigDict:
    """``ffhq_256.py`` with the sizes and rates of ``synthetic_64.py``."""
    config = recipes.swap_64(recipes.PHOTO_LOSSES | {"adversarial": 0.05, "r1": 1.0})
    recipes.without_labels(config)
    recipes.decide_by_pair(config, 0.03)
    config.num_steps = 6000
    config.checkpoint_every = 500
    config.sample_every = 500
    config.data.labels = False
    config.optimizer.learning_rate = 0.01
    config.optimizer.generator_learning_rate = 0.005
    config.pretrained.identity = "models/identity_64"
    config.pretrained.pose = "models/pose_64"
    config.pretrained.parser = "models/parser_64"
    config.pretrained.lpips = "embedded/identity_64"
    return config
