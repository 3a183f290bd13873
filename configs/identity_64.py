"""Identity net of the losses and of the swap module: regresses the known factors of a face.

python -m alrl_jax.train --config=configs/identity_64.py --workdir=runs/identity_64
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Residual analyser on the training people."""
    losses = {
        "identity_regression": 1.0,
        "attribute_regression": 0.3,
        "pose_regression": 0.3,
        "landmark_regression": 0.05,
        "arcface": 0.0,
    }
    config = default_config("identity", losses)
    config.num_steps = 4000
    config.batch_size = 48
    config.log_every = 50
    config.checkpoint_every = 1000
    config.sample_every = 2000
    config.identity.widths = (32, 64, 96, 96)
    config.identity.hidden = 128
    config.optimizer.algorithm = "muon"
    config.optimizer.learning_rate = 0.04
    config.optimizer.beta1 = 0.9
    config.optimizer.beta2 = 0.999
    config.optimizer.warmup_steps = 100
    config.optimizer.decay = True
    config.optimizer.ema_kimg = 2.0
    return config
