"""The table of selections at 64 px: rows trained alike on one generator and its features.

    python -m alrl_jax.train --config=configs/rows_64.py:ROW --workdir=runs/rows/ROW
    python -m alrl_jax.evaluate --workdir=runs/rows/adaptive --selectors= --split=test \\
        --output=runs/seed_0 --beside=ROW=runs/rows/ROW,...
    alrl compare-rows --output=runs/table --evaluations=runs/seed_0,runs/seed_1,...

ROW is a key of ``ROWS``; another seed is ``--config.seed=1``. On two CPU cores a row takes 4
minutes (fixed rules and learned transfers) or 7 (the others), the evaluation of 16 together 8; what
they reach is in ``results/rows_64/seed_*/metrics.json`` (two after 1,200 steps: ``long_0``).

Generator and features come from ``pretrained.swapper`` and are held still; ``trained_generator``
and ``trained_constant`` alone train the generator as well. Each row trains heads (which start as
that swapper's) and a swap module of its own (from scratch) with the same data, losses, rates
and steps. A loss about something that a row does not have, such as gates that decide, does nothing
there. ``supervised`` is a stated ceiling: it alone sees true swaps.
"""

from typing import Any

import ml_collections

from alrl_jax.config import recipes

WITHOUT_TRANSFER = {"swap.pose_transfer": False, "swap.context": 0}
"""Of ``adaptive`` alone: what refines the codes that it takes."""

BEST = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
"""``alrl search-selection --model=embedded/swapper_64``: of the pose code, then of every
layer of W+, whose it is (1: the source's); the best of all 2,048 on development pairs."""

ROWS: dict[str, dict[str, Any]] = {
    "adaptive": {},
    "mean": {"swap.selector": "mean", **WITHOUT_TRANSFER},
    "lcr4": {"swap.selector": "lcr4", **WITHOUT_TRANSFER},
    "fslsd7": {"swap.selector": "fslsd7", **WITHOUT_TRANSFER},
    "psp_middle": {"swap.selector": "psp_middle", **WITHOUT_TRANSFER},
    "best_fixed": {"swap.selector": "best_fixed", "swap.source_weights": BEST, **WITHOUT_TRANSFER},
    "ftm4": {"swap.selector": "ftm4", **WITHOUT_TRANSFER},
    "mixer": {"swap.selector": "mixer", **WITHOUT_TRANSFER},
    "supervised": {"losses.supervised": 4.0, "data.true_swaps": True},
    "no_pose_space": {"encoder.pose_space": "none"},
    "coarse_codes": {"encoder.pose_space": "coarse_codes"},
    "trained_generator": {"generator.train": True},
    "trained_constant": {"generator.train": True, "encoder.pose_space": "none"},
    "ellipse": {"swap.mask": "ellipse"},
    "no_blending": {"swap.mask": "none"},
    "soft_gates": {"swap.gate_mode": "soft"},
    "pair_independent": {"swap.gate_mode": "pair_independent"},
    "no_code_consistency": {"losses.pose_consistency": 0.0, "losses.attribute_consistency": 0.0},
}
"""Fields by which every row differs from the recipe: selections, the ceiling, ablations."""


def get_config(row: str = "adaptive") -> ml_collections.ConfigDict:
    """The recipe, for one of ``ROWS``.

    Raises:
        ValueError: an unknown row.
    """
    if row not in ROWS:
        raise ValueError(f"got the row {row!r}; expected one of {', '.join(ROWS)}; name one")
    losses = recipes.REFINED_LOSSES_64 | {
        "self_reconstruction": 0.0,
        "self_perceptual": 0.0,
        "pose_consistency": 0.1,
        "attribute_consistency": 0.1,
        "gate_information": 0.1,
        "attribute_groups": 0.1,
    }
    config = recipes.swap_64(losses)
    recipes.like_shipped_swapper(config)
    config.num_steps = 300
    config.checkpoint_every = 150
    config.sample_every = 300
    config.generator.train = False
    config.encoder.train_backbone = False
    config.swap.cycle_targets = 1.0
    config.optimizer.learning_rate = 0.01
    config.optimizer.warmup_steps = 50
    config.fresh = ("swap",)
    config.update_from_flattened_dict(ROWS[row])
    return config
