"""Opens the model of a run."""

from alrl_jax.inference.protocols import LoadedSwapper
from alrl_jax.loading import load_kind


def load_swapper(directory: str) -> LoadedSwapper:
    """A model that can swap.

    Raises:
        UserError: there is no model, or one of another kind.
    """
    remedy = "take embedded/swapper_64 or what configs with task swap train"
    return load_kind(directory, "swapper", remedy=remedy)
