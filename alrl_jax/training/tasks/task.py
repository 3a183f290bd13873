"""What every task offers to the training loop."""

import dataclasses
from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

import optax
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.training.losses.table import LOSSES, REGULARISERS
from alrl_jax.training.optim import make_optimizer
from alrl_jax.training.state import PyTree

Metrics = dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Phase:
    """Static flags of a step: which lazy regularisers it runs."""

    r1: bool = False
    path_length: bool = False


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A trained model in the form of a model directory.

    Attributes:
        kind: what ``alrl_jax.load`` makes of it.
        config: plain values that rebuild the networks.
        variables: weights by network.
    """

    kind: str
    config: dict[str, Any]
    variables: PyTree


@runtime_checkable
@runtime_checkable
class Trainable(Protocol):
    """What the training loop needs: pure functions of state and batch."""

    def load_frozen(self) -> dict[str, PyTree]:
        """Weights that steps read but never change, from model directories."""
        ...

    def load_pretrained(self) -> dict[str, PyTree]:
        """Weights that training starts from, from model directories."""
        ...

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> PyTree:
        """The state before the first update; traceable."""
        ...

    def phase(self, step: int) -> Hashable:
        """The static choices of the update that follows ``step`` finished ones."""
        ...

    def step(
        self, state: PyTree, frozen: dict[str, PyTree], batch: PyTree, phase: Any
    ) -> tuple[PyTree, Metrics]:
        """One update; pure."""
        ...

    def preview(
        self, state: PyTree, frozen: dict[str, PyTree], batch: PyTree
    ) -> dict[str, Float[Array, "b ..."]]:
        """Columns of the sample grid; pure."""
        ...


@runtime_checkable
class Task(Trainable, Protocol):
    """A row of ``TASKS``: what can be trained, on what, and what comes of it."""

    name: str
    batch_kind: str

    def export(self, state: PyTree, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged networks, ready for a model directory."""
        ...


def check_losses(config: Config) -> None:
    """Raises UserError unless the config weighs exactly known losses of its task."""
    known = (*LOSSES[config.task], *REGULARISERS[config.task])
    unknown = sorted(set(config.losses) - set(known))
    if unknown:
        raise UserError(
            f"losses.{unknown[0]} is not a loss of task {config.task}; "
            f"{did_you_mean(unknown[0], known)}expected one of {known}; remove it"
        )


def network_optimizer(
    config: Config,
    learning_rate: float,
    lazy_interval: int = 0,
    algorithm: str = "adam",
    equalized: bool = False,
) -> optax.GradientTransformation:
    """The optimiser of one network by the values of a config."""
    values = config.optimizer
    return make_optimizer(
        learning_rate,
        values.beta1,
        values.beta2,
        num_steps=config.num_steps,
        warmup_steps=values.warmup_steps,
        decay=values.decay,
        clip_norm=values.clip_norm,
        lazy_interval=lazy_interval,
        algorithm=algorithm,
        equalized=equalized,
    )
