"""Identity net of the losses and of the swap module: regresses the known factors of a face.

python -m alrl_jax.train --config=configs/identity_64.py --workdir=runs/identity_64
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Residual analyser on the training people."""
    config = recipes.analyser_64(
        {
            "identity_regression": 1.0,
            "attribute_regression": 0.3,
            "pose_regression": 0.3,
            "landmark_regression": 0.05,
        }
    )
    config.num_steps = 4000
    config.optimizer.learning_rate = 0.04
    return config
