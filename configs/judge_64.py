"""Judge of the benchmark: another architecture and seed, trained on people of its own.

python -m alrl_jax.train --config=configs/judge_64.py --workdir=runs/judge_64
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Plain convolutional analyser on the judge's people."""
    losses = {
        "identity_regression": 1.0,
        "attribute_regression": 1.0,
        "pose_regression": 1.0,
        "landmark_regression": 0.1,
        "arcface": 0.0,
    }
    config = default_config("identity", losses)
    config.seed = 1000
    config.num_steps = 4500
    config.batch_size = 48
    config.log_every = 50
    config.checkpoint_every = 1000
    config.sample_every = 2000
    config.data.split = "judge"
    config.data.num_identities = 3000
    config.data.images_per_identity = 4
    config.identity.kind = "judge"
    config.identity.block = "plain"
    config.identity.widths = (32, 64, 96, 96)
    config.identity.hidden = 128
    config.optimizer.algorithm = "muon"
    config.optimizer.learning_rate = 0.02
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = True
    config.optimizer.ema_kimg = 2.0
    return config
