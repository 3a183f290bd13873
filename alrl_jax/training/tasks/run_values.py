"""The length and the rates of a run as arguments of its updates, which other values compile not."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alrl_jax.config import Config

KEY = "run"
"""Where the frozen variables of a run have them."""

RATES = (
    "learning_rate",
    "discriminator_learning_rate",
    "generator_learning_rate",
    "gate_learning_rate",
)
"""Fields of the section ``optimizer``."""

RunValues = Mapping[str, Any]


def run_values(config: Config) -> dict[str, Any]:
    """Steps of the run and of its warm-up, and the learning rates, as scalars by name."""
    rates = config.optimizer
    return {
        "num_steps": np.int32(config.num_steps),
        "warmup_steps": np.int32(rates.warmup_steps),
        **{name: np.float32(getattr(rates, name)) for name in RATES},
    }


def clock(run: RunValues) -> dict[str, Any]:
    """The arguments of ``make_optimizer`` among them that all networks share."""
    return {name: run[name] for name in ("num_steps", "warmup_steps")}
