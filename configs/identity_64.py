"""Identity net of the losses and of the swap module: regresses the known factors of a face.

python -m alrl_jax.train --config=configs/identity_64.py --workdir=runs/identity_64

Two CPU cores took 33 minutes beside other work. ``results/stages/identity_64`` is what came of it;
``embedded/identity_64`` is of an earlier recipe, which its ``model.json`` has, as the shipped
swapper was trained with that one.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Residual analyser on the training people."""
    config = recipes.analyser_64(
        {
            "identity_regression": 1.0,
            "attribute_regression": 1.0,
            "pose_regression": 0.3,
            "landmark_regression": 0.05,
        }
    )
    config.seed = 1
    config.num_steps = 6000
    config.identity.hidden = 192
    config.identity.glimpses = True
    config.optimizer.learning_rate = 0.04
    return config
