"""Judge of the benchmark: another architecture and seed, trained on people of its own.

python -m alrl_jax.train --config=configs/judge_64.py --workdir=runs/judge_64
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Plain convolutional analyser on the judge's people."""
    config = recipes.analyser_64(
        {
            "identity_regression": 1.0,
            "attribute_regression": 1.0,
            "pose_regression": 1.0,
            "landmark_regression": 0.1,
        }
    )
    config.seed = 1000
    config.num_steps = 4500
    config.data.split = "judge"
    config.data.num_identities = 3000
    config.data.images_per_identity = 4
    config.identity.kind = "judge"
    config.identity.block = "plain"
    config.optimizer.learning_rate = 0.02
    return config
