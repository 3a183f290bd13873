"""Networks of other runs and of other projects, named by path in a config's ``pretrained``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.models.config_schema import check_config
from alrl_jax.storage.model_directory import read_meta
from alrl_jax.training.state import PyTree, leaf_types

Reader = Callable[[str | Path], tuple[dict[str, Any], PyTree]]
"""Opens a model directory: ``read_model``, or ``read_shapes`` where no number is computed."""

ANY_SIZE = 0
"""A resolution that every model fits."""

NETWORKS: dict[str, tuple[str, ...]] = {
    "swap": (
        "identity",
        "generator",
        "discriminator",
        "encoder",
        "swapper",
        "lpips",
        "parser",
        "pose",
    ),
}
"""Networks that a task takes from model directories, by task; other tasks take none."""


def read_pretrained_meta(
    pretrained: Mapping[str, str],
    name: str,
    kinds: tuple[str, ...],
    resolution: int = ANY_SIZE,
    grows: bool = False,
) -> dict[str, Any]:
    """What the model directory ``pretrained.NAME`` says of its model.

    Args:
        pretrained: model directories by name.
        name: which network.
        kinds: what the model may be.
        resolution: which it must have, if its kind has one.
        grows: whether a smaller one will do.

    Raises:
        UserError: if the directory is not set or missing, or holds another kind or size.
    """
    directory = pretrained.get(name)
    wanted = " or ".join(kinds)
    if not directory:
        raise UserError(
            f"pretrained.{name} is not set; expected the directory of a model of kind {wanted}; "
            f"set --config.pretrained.{name}=DIR to one that training or alrl convert-weights "
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
    check_config(f"pretrained.{name}={directory}", meta["kind"], meta["config"])
    found = meta["config"].get("resolution", resolution)
    fits = found <= resolution if grows else found == resolution
    if resolution != ANY_SIZE and not fits:
        raise UserError(
            f"pretrained.{name} is {directory} of resolution {found}; expected {resolution}"
            f"{' or less' if grows else ''}; name another directory or change resolution"
        )
    return meta


def read_pretrained(
    pretrained: Mapping[str, str],
    name: str,
    kinds: tuple[str, ...],
    read: Reader,
    resolution: int = ANY_SIZE,
    grows: bool = False,
) -> PyTree:
    """The variables of the model directory ``pretrained.NAME``; see ``read_pretrained_meta``."""
    read_pretrained_meta(pretrained, name, kinds, resolution, grows)
    return read(pretrained[name])[1]


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
    return {path: leaf.shape for path, leaf in leaf_types(tree).items()}
