"""The table of selections at 64 px: rows trained alike from one neutral encoder and generator.

    python -m alrl_jax.train --config=configs/rows_64.py:ROW --workdir=runs/rows/ROW
    python -m alrl_jax.evaluate --workdir=runs/rows/adaptive --selectors= --split=test \\
        --output=runs/seed_0 --beside=ROW=runs/rows/ROW,...
    alrl compare-rows --output=runs/table --evaluations=runs/seed_0,runs/seed_1,...

ROW is a key of ``ROWS``; another seed is ``--config.seed=1``. The neutral start,
``results/stages/autoencoder_64``, has drawn faces from their own codes and nothing else
(``autoencoder_64.py``): no selection is at home on it. Its generator and features are held still;
``trained_generator`` and ``trained_constant`` alone train the generator as well.

A row is fair where what differs is the selection alone. All of ``FAIR`` have, within a tenth, as
many parameters that can act (``tests/training/tasks/test_rows.py`` counts them); optimisers that go
by the shape of a weight; the same data, losses, rates and steps; and the same inputs: the source's
identity, the codes of both faces as a whole, the refinement of the pose code, and the target's
features, through gates that look at the pair in ``adaptive`` and through constants inside the mask
in all others. ``mask_features`` and ``constant_codes`` lie between ``adaptive`` and
``constant_gates``: one decides by the pair over codes alone, the other in space alone.
``best_fixed`` and the rules of earlier work have no parameters: they stand outside that claim.
Attribute control is not compared: transfers cannot learn it, and ``controlled`` alone does.
``supervised`` is a stated ceiling: it alone sees true swaps.
"""

from typing import Any

import ml_collections

from alrl_jax.config import recipes

BEST = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0)
"""``alrl search-selection --model=results/stages/autoencoder_64``: of the pose code, then of every
layer of W+, whose it is (1: the source's); the best of all 2,048 on development pairs."""
ALL_SOURCE = (0.0, *[1.0] * 10)

PLAIN = {
    "swap.pose_transfer": False,
    "swap.context": 0,
    "swap.target_features": "mask",
}
"""Of what has nothing to learn but the target's features."""
UNDECIDED = {"swap.target_features": "mask", "swap.context": 320}
"""Of refinement without a selection: its context is wider by what the votes would take."""
TRANSFER = {"swap.target_features": "mask"}

FAIR: dict[str, dict[str, Any]] = {
    "adaptive": {},
    "constant_gates": {"swap.gate_mode": "pair_independent", **TRANSFER},
    "all_source_refined": {
        "swap.gate_mode": "fixed",
        "swap.source_weights": ALL_SOURCE,
        **UNDECIDED,
    },
    "best_fixed_refined": {"swap.gate_mode": "fixed", "swap.source_weights": BEST, **UNDECIDED},
    "ftm4": {"swap.selector": "ftm4", "swap.width": 192, **TRANSFER},
    "mixer": {"swap.selector": "mixer", "swap.width": 200, **TRANSFER},
}
"""Fields by which the rows of the comparison differ from the recipe."""

ROWS: dict[str, dict[str, Any]] = FAIR | {
    "mean": {"swap.selector": "mean", **PLAIN},
    "lcr4": {"swap.selector": "lcr4", **PLAIN},
    "fslsd7": {"swap.selector": "fslsd7", **PLAIN},
    "psp_middle": {"swap.selector": "psp_middle", **PLAIN},
    "best_fixed": {"swap.selector": "best_fixed", "swap.source_weights": BEST, **PLAIN},
    "supervised": {"losses.supervised": 4.0, "data.true_swaps": True},
    "no_features": {"swap.target_features": "none"},
    "mask_features": {"swap.target_features": "mask"},
    "constant_codes": {"swap.gate_mode": "pair_independent"},
    "controlled": {"swap.attribute_control": 0.25},
    "detached_blend": {"swap.detach_blend": True},
    "soft_gates": {"swap.gate_mode": "soft"},
    "late_gates": {"optimizer.gate_start": 100},
    "steady_gates": {"optimizer.gate_decay": False},
    "fine_gates": {"swap.channel_groups": 16},
    "hard_pairs": {"data.cover_share": 0.6},
    "no_pose_space": {"encoder.pose_space": "none"},
    "coarse_codes": {"encoder.pose_space": "coarse_codes"},
    "trained_generator": {"generator.train": True},
    "trained_constant": {"generator.train": True, "encoder.pose_space": "none"},
    "ellipse": {"swap.mask": "ellipse"},
    "no_blending": {"swap.mask": "none"},
}
"""Fields by which every row differs from the recipe: selections, the ceiling, ablations."""


def get_config(row: str = "adaptive") -> ml_collections.ConfigDict:
    """The recipe, for one of ``ROWS``.

    Raises:
        ValueError: an unknown row.
    """
    if row not in ROWS:
        raise ValueError(f"got the row {row!r}; expected one of {', '.join(ROWS)}; name one")
    config = recipes.swap_64(
        recipes.BLENDED_LOSSES_64 | {"gate_information": 0.1, "attribute_groups": 0.1}
    )
    recipes.decide_by_pair(config, 0.03)
    config.num_steps = 300
    config.checkpoint_every = 150
    config.sample_every = 300
    config.held_out_every = 50
    config.generator.train = False
    config.encoder.train_backbone = False
    config.pretrained.swapper = "results/stages/autoencoder_64"
    config.pretrained.identity = "results/stages/identity_64"
    config.swap.cycle_targets = 1.0
    config.data.cover_share = 0.2
    config.optimizer.learning_rate = 0.01
    config.optimizer.warmup_steps = 50
    config.update_from_flattened_dict(ROWS[row])
    return config
