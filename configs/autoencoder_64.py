"""The neutral start of the table of selections at 64 px: an encoder and a generator of faces.

python -m alrl_jax.train --config=configs/autoencoder_64.py --workdir=runs/autoencoder_64
alrl package-model --workdir=runs/autoencoder_64 --output=runs/autoencoder_64_model

Every face is drawn from its own codes: nothing is swapped, no selection of codes has shaped what it
gives, and no row of the table is at home on it.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Reconstruction alone, of both faces of a pair; masks and parsing learn from labels."""
    losses = {n: w for n, w in recipes.SWAP_LOSSES_64.items() if not n.startswith("gate")}
    config = recipes.swap_64(losses)
    config.num_steps = 4000
    config.checkpoint_every = 250
    config.sample_every = 1000
    config.data.same_identity_share = 1.0
    config.data.cover_share = 0.2
    config.encoder.depths = (1, 2, 4)
    # What the target's codes draw is compared with the target. The ellipse stands for the face in
    # that comparison: a mask of the generated face would cost another encoding.
    config.swap.selector = "all_target"
    config.swap.mask = "ellipse"
    config.optimizer.learning_rate = 0.02
    config.optimizer.generator_learning_rate = 0.01
    return config
