"""The best fixed selection of a model that a run went on from, as a row beside the run's own."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.models.swapper.selection import BEST_FIXED
from alrl_jax.provenance import lineage
from alrl_jax.storage.model_directory import read_meta, resolve_directory
from alrl_jax.storage.workdir import read_config


@runtime_checkable
class Selecting(Protocol):
    """What takes fixed selections, such as ``SwapperModel``."""

    config: dict[str, Any]
    selectors: tuple[str, ...]

    def add_selection(self, name: str, source_weights: Sequence[float]) -> None:
        """Adds a fixed rule; see ``SwapperModel.add_selection``."""
        ...


def carry_best_fixed(directory: str, model: Selecting) -> str | None:
    """Gives a model of a run the selection ``best_fixed`` of the swapper that the run began with.

    Nothing has searched for one among the codes of the run itself; searching takes minutes
    (``alrl search-selection``), and a short run moves the codes little.

    Args:
        directory: what the model was loaded from.
        model: without such a selection of its own, else it stays as it is.

    Returns:
        The name of that swapper; None where there is none, or it has no such selection.
    """
    path = resolve_directory(directory)
    config = read_config(path) if path.is_dir() else None
    start = ((config or {}).get("pretrained") or {}).get("swapper")
    if not start or BEST_FIXED in model.selectors:
        return None
    try:
        known = read_meta(start)["config"].get("selections", {})
    except UserError:  # a work directory, or gone since
        return None
    weights = known.get(BEST_FIXED, ())
    if len(weights) != num_latents(int(model.config["resolution"])) + 1:
        return None
    model.add_selection(BEST_FIXED, weights)
    return lineage.name_of(start)
