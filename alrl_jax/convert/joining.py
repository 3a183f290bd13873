"""Networks whose weights their projects divide into several files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alrl_jax.convert.families import FORMATS
from alrl_jax.convert.faults import shown
from alrl_jax.convert.format import divided
from alrl_jax.convert.naming import without_wrapper
from alrl_jax.convert.readers.containers import read_checkpoint
from alrl_jax.errors import UserError
from alrl_jax.utils.paths import local_path


def split_sources(text: str) -> tuple[Path, ...]:
    """The files that ``--source`` names: one, or several with commas between.

    Raises:
        UserError: if a name is empty, or an address of a bucket.
    """
    whole = Path(local_path(text))
    if "," not in text or whole.exists():
        return (whole,)
    names = text.split(",")
    if not all(name.strip() for name in names):
        several = ", ".join(divided(FORMATS).values())
        raise UserError(f"got --source={text}; expected FILE or {several}; name every file")
    return tuple(Path(local_path(name.strip())) for name in names)


def read_sources(sources: Sequence[Path]) -> Any:
    """A checkpoint, or the tensors of several in one.

    Args:
        sources: the files; each of several holds the tensors of one network, or of a part of one.

    Raises:
        UserError: if a file cannot be read, has no such tensors, or shares a name with another.
    """
    if len(sources) == 1:
        return read_checkpoint(sources[0])
    joined: dict[Any, np.ndarray] = {}
    beside: dict[Any, Any] = {}
    for source in sources:
        checkpoint = read_checkpoint(source)
        part = _lone_tensors(checkpoint, source)
        beside |= {k: v for k, v in checkpoint.items() if not isinstance(v, np.ndarray | Mapping)}
        twice = joined.keys() & part.keys()
        if twice:
            raise UserError(
                f"got {source} with {shown(min(map(str, twice)))}, which a file before it holds; "
                "expected the parts of one network; name each once"
            )
        joined |= part
    return beside | joined


def _lone_tensors(checkpoint: Any, source: Path) -> dict[Any, np.ndarray]:
    """The tensors of a file that holds those of one network, under a name or none."""
    groups = [checkpoint, *checkpoint.values()] if isinstance(checkpoint, dict) else []
    for group in groups:
        if isinstance(group, Mapping):
            tensors = {k: v for k, v in group.items() if isinstance(v, np.ndarray)}
            if tensors:
                return dict(without_wrapper(tensors))
    raise UserError(f"got {source} without tensors by name; expected part of a network; check it")
