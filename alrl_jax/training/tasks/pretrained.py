"""Networks of other runs and of other projects, named by path in a config's ``pretrained``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_meta, read_model
from alrl_jax.training.state import PyTree

Reader = Callable[[str | Path], tuple[dict[str, Any], PyTree]]
"""Opens a model directory: ``read_model``, or ``read_shapes`` where no number is computed."""

NETWORKS: dict[str, tuple[str, ...]] = {
    "swap": ("identity", "generator", "discriminator", "encoder", "swapper", "lpips", "parser"),
}
"""Networks that a task takes from model directories, by task; other tasks take none."""


def read_pretrained_meta(
    config: Config, name: str, kinds: tuple[str, ...], resolution: int | None = None
) -> dict[str, Any]:
    """What the model directory ``pretrained.NAME`` says of its model.

    Args:
        config: of the run.
        name: which network.
        kinds: what the model may be.
        resolution: which it must have, if its kind has one; None for the config's, 0 for any.

    Raises:
        UserError: if the directory is not set or missing, or holds another kind or size.
    """
    directory = config.pretrained.get(name)
    wanted = " or ".join(kinds)
    if not directory:
        raise UserError(
            f"pretrained.{name} is not set; expected the directory of a model of kind {wanted}; "
            f"set --config.pretrained.{name}=DIR to one that training or tools.convert_weights "
            "wrote"
        )
    try:
        meta = read_meta(directory)
    except UserError as error:
        raise UserError(f"pretrained.{name}: {error}") from error
    if meta["kind"] not in kinds:
        raise UserError(
            f"pretrained.{name} is {directory}, a model of kind {meta['kind']}; expected {wanted}; "
            "name another directory"
        )
    expected = config.resolution if resolution is None else resolution
    found = meta["config"].get("resolution", expected)
    if expected and found != expected:
        raise UserError(
            f"pretrained.{name} is {directory} of resolution {found}; expected {expected}; name "
            "another directory or change resolution"
        )
    return meta


def read_pretrained(
    config: Config,
    name: str,
    kinds: tuple[str, ...],
    read: Reader = read_model,
    resolution: int | None = None,
) -> PyTree:
    """The variables of the model directory ``pretrained.NAME``; see ``read_pretrained_meta``."""
    read_pretrained_meta(config, name, kinds, resolution)
    return read(config.pretrained[name])[1]


def like(name: str, fresh: PyTree, pretrained: dict[str, PyTree]) -> PyTree:
    """The pretrained tree where there is one; it must have the fresh one's names and shapes.

    Raises:
        UserError: naming the first array that differs.
    """
    tree = pretrained.get(name, fresh)
    wanted, got = _shapes(fresh), _shapes(tree)
    if wanted != got:
        differing = sorted(set(wanted.items()) ^ set(got.items()))[0]
        raise UserError(
            f"pretrained {name} differs from the configured network at {differing[0]} "
            f"{differing[1]}; expected the same architecture; change the config to match the model"
        )
    return tree


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}
