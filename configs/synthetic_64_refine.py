"""The swapper at 64 px, second part: identity has to come from the source.

alrl package-model --workdir=runs/synthetic_64 --output=runs/first_model
python -m alrl_jax.train --config=configs/synthetic_64_refine.py --workdir=runs/refined_64 \
    --config.pretrained.swapper=runs/first_model

Two CPU cores do 11 pairs a second, which makes 80 minutes of 3,300 steps; they have never been run
in one piece. The shipped swapper was made in five runs, as each showed what was missing. The first
two are of an earlier shape of this config, without ``swap.context``, ``swap.attribute_control`` and
with gates that forgot the pair:

    1. 2,400 steps, seed 1: losses.attributes 0.5, swap.target_warp 0.033, swap.cycle_targets 0.5,
       losses.identity 0.3, losses.identity_factors 2.0, losses.gate_information 0.01, learning
       rates 0.012 and 0.006; begun for 3,300 steps and cut to 2,400 at step 1,483
    2. 700 steps, seed 2: fresh (), no bent targets, losses.attributes 2.0

alrl package-model --workdir=runs/refined_b --output=runs/refined_b_model \
    --training_networks
python -m alrl_jax.train --config=configs/synthetic_64_refine.py --workdir=runs/refined_c \
    --config.pretrained.swapper=runs/refined_b_model --config.num_steps=3300 --config.seed=3 \
    --config.data.witnesses --config.swap.cycle_targets=0.5 --config.losses.identity=0.3 \
    --config.losses.identity_factors=2.0                             (stopped at step 2,655)
python -m alrl_jax.train --config=configs/synthetic_64_refine.py --workdir=runs/refined_d \
    --config.pretrained.swapper=runs/refined_c_model --config.num_steps=1250 --config.seed=4 \
    --config.fresh="()" --config.data.witnesses --config.losses.identity=0.3 \
    --config.losses.identity_factors=3.0 --config.optimizer.learning_rate=0.006 \
    --config.optimizer.generator_learning_rate=0.003 --config.optimizer.warmup_steps=50 \
    --config.swap.temperature_start=0.6
python -m alrl_jax.train --config=configs/synthetic_64_refine.py --workdir=runs/refined_e \
    --config.pretrained.swapper=runs/refined_d_model --config.num_steps=650 --config.seed=5 \
    --config.fresh="()" --config.optimizer.learning_rate=0.005 \
    --config.optimizer.generator_learning_rate=0.0025 --config.optimizer.warmup_steps=30 \
    --config.swap.temperature_start=0.5

each packaged as above before the next. ``swap.turn_head``, which training does not read, was set in
the configuration of the last work directory afterwards.

What they started from is an earlier run of ``synthetic_64.py``, when the identity net still read
the blended face and faces were drawn again from the target's codes instead of the source's.
"""

import ml_collections

from alrl_jax.config import recipes


def get_config() -> ml_collections.ConfigDict:
    """Goes on from a swapper that draws faces well but leaves the target's shape in its swaps.

    All of one person's pairs have a cycle target; the selection starts from scratch.
    """
    config = recipes.swap_64(
        recipes.REFINED_LOSSES_64
        | {"gate_information": 0.1, "attribute_groups": 0.1, "adversarial": 0.2, "r1": 0.5}
    )
    recipes.like_shipped_swapper(config)
    config.seed = 1
    config.num_steps = 3300
    config.checkpoint_every = 150
    config.sample_every = 300
    config.swap.cycle_targets = 1.0
    config.swap.attribute_control = 0.25
    config.fresh = ("swap",)
    config.optimizer.learning_rate = 0.01
    config.optimizer.generator_learning_rate = 0.005
    return config
