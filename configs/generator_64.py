"""StyleGAN2 at 64 px on the synthetic faces, with sampled pose codes.

python -m alrl_jax.train --config=configs/generator_64.py --workdir=runs/generator_64
python -m tools.bench.measure_generator --model=runs/generator_64

Two CPU cores, busy with other work as well, took 19 minutes. That is a beginning, 57,600 faces:
heads in front of backgrounds, but hardly features. What the judge reads from them lies 17.4 from
what it reads from renders, where other renders lie 0.94 (1,000 faces each). The figures are of a
run without style mixing, which ``--config.generator.style_mixing=0.9`` adds, and with 16/17 of the
discriminator's rate.
"""

import ml_collections

from alrl_jax.config import default_config


def get_config() -> ml_collections.ConfigDict:
    """Non-saturating GAN with lazy R1, which is all the regularisation that small nets need."""
    config = default_config("generator", {"adversarial": 1.0, "r1": 0.5})
    config.num_steps = 3600
    config.log_every = 50
    config.optimizer.generator_learning_rate = 2.5e-3
    config.optimizer.discriminator_learning_rate = 2.5e-3
    return config
