"""``alrl_jax.load``: a model directory or a work directory, ready to use."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.loading.analyser import AnalyserModel
from alrl_jax.loading.base import Model
from alrl_jax.loading.discriminator import DiscriminatorModel
from alrl_jax.loading.faces import FaceEmbedderModel, StyleEncoderModel
from alrl_jax.loading.generator import GeneratorModel
from alrl_jax.loading.measuring import FaceParserModel, HopenetModel, InceptionModel, LPIPSModel
from alrl_jax.loading.soundness import check_model
from alrl_jax.loading.swapper import SwapperModel
from alrl_jax.storage.checkpoint import newest_step, read_fields
from alrl_jax.storage.model_directory import EMBEDDED, read_model, resolve_directory
from alrl_jax.storage.workdir import CONFIG_FILE, read_config
from alrl_jax.training.state import PyTree, TrainState
from alrl_jax.training.tasks import ExportedModel, make_task
from alrl_jax.training.tasks.diagnostics import owners_like_first

KINDS: dict[str, type[Model]] = {
    "generator": GeneratorModel,
    "discriminator": DiscriminatorModel,
    "identity": AnalyserModel,
    "judge": AnalyserModel,
    "swapper": SwapperModel,
    "psp": StyleEncoderModel,
    "e4e": StyleEncoderModel,
    "arcface": FaceEmbedderModel,
    "iresnet": FaceEmbedderModel,
    "lpips": LPIPSModel,
    "face_parser": FaceParserModel,
    "hopenet": HopenetModel,
    "inception": InceptionModel,
}
"""The class of every kind of model."""

SomeModel = TypeVar("SomeModel", bound=Model)


class _Stored(NamedTuple):
    """What a directory says of a model."""

    path: Path
    kind: str
    config: dict[str, Any]
    variables: PyTree


def load(directory: str | Path) -> Model:
    """Opens a trained model of any kind.

    Args:
        directory: a model directory, a work directory (the averaged networks of its newest
            checkpoint), or ``embedded/NAME`` for a model that the package ships.

    Returns:
        The class of ``KINDS`` that belongs to the model's kind.  ``load_swapper`` and its siblings
        open one kind and give its class.

    Raises:
        UserError: if there is no model, or one of an unknown kind.
    """

    def accept(path: Path, kind: str) -> None:
        if kind not in KINDS:
            raise UserError(
                f"{path} holds a model of kind {kind!r}; expected one of {tuple(KINDS)}; update "
                "alrl_jax or name another directory"
            )

    stored = _read(directory, accept)
    return KINDS[stored.kind](stored.kind, stored.config, stored.variables)


def load_as(
    model_class: type[SomeModel], directory: str | Path, remedy: str, kind: str | None = None
) -> SomeModel:
    """Opens a model that must be of one class.

    Args:
        model_class: a class of ``KINDS``.
        directory: see ``load``.
        remedy: what to do about another kind, the last words of the error.
        kind: the only kind to accept, of those that have this class; None accepts all of them.

    Raises:
        UserError: if there is no model, or one of another kind.
    """
    accepted = [name for name, each in KINDS.items() if each is model_class]
    accepted = accepted if kind is None else [kind]

    def accept(_: Path, found: str) -> None:
        if found not in accepted:
            raise UserError(
                f"got a model of kind {found!r} in {directory}; expected "
                f"{' or '.join(map(repr, accepted))}; {remedy}"
            )

    stored = _read(directory, accept)
    return model_class(stored.kind, stored.config, stored.variables)


def _read(directory: str | Path, accept: Callable[[Path, str], None]) -> _Stored:
    """Reads a model whose kind is accepted: of another kind, nothing but that is looked at."""
    path = resolve_directory(directory)
    if (path / CONFIG_FILE).is_file() and newest_step(path) is not None:
        _, exported = export_workdir(path)
        accept(path, exported.kind)
        return _Stored(path, exported.kind, exported.config, exported.variables)

    def check(meta: Mapping[str, Any], shapes: PyTree) -> None:
        accept(path, meta["kind"])
        if not path.is_relative_to(EMBEDDED):  # that was checked when it was packaged
            check_model(path, meta, shapes)

    meta, variables = read_model(path, check)
    return _Stored(path, meta["kind"], meta["config"], variables)


def export_workdir(workdir: Path) -> tuple[int, ExportedModel]:
    """The averaged networks of a run's newest checkpoint.

    Args:
        workdir: directory of a training run.

    Returns:
        The step of the checkpoint, and the model.

    Raises:
        UserError: if the directory holds no readable run.
    """
    values = read_config(workdir)
    if values is None:
        raise UserError(f"{workdir} holds no run; expected a directory that training wrote")
    # Nothing is learned any more: what only the losses ask for need not be at hand.
    task = make_task(Config.from_dict({**values, "losses": {}}))
    names = ("step", "params", "ema", "mutable")
    step, fields = read_fields(workdir, names)
    state = TrainState(**fields, opt_state={})
    exported = task.export(state, task.load_frozen())
    if exported.kind == "swapper":
        exported.config["swap"] = {**exported.config["swap"], **_owners(state, values["losses"])}
    return step, exported


def _owners(state: TrainState, losses: Mapping[str, float]) -> dict[str, Any]:
    """What a model says of its ownership of codes, and cannot know without its run."""
    found: dict[str, Any] = {"owners_trained": True} if losses.get("attribute_groups") else {}
    like_first = owners_like_first(state)
    return found if like_first is None else found | {"owners_like_first": float(like_first)}
