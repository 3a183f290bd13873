"""What every task offers to the training loop."""

import dataclasses
from collections.abc import Collection, Hashable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

from alrl_jax.errors import UserError, did_you_mean
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.losses.table import LOSSES, REGULARISERS
from alrl_jax.training.state import PyTree
from alrl_jax.training.tasks.pretrained import Reader

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
class Trainable(Protocol):
    """What the training loop needs: pure functions of state and batch."""

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Weights that steps read but never change, from model directories.

        Args:
            read: opens a model directory; ``read_shapes`` where shapes are enough.
        """
        ...

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Weights that training starts from, from model directories; ``read`` as above."""
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
class Scheduled(Protocol):
    """A task whose updates take the length and the rates of a run from its frozen variables, under
    ``run``, so that other values compile nothing anew."""

    def run_values(self) -> dict[str, Any]:
        """Scalars by name."""
        ...


@runtime_checkable
class Measurable(Protocol):
    """A task that says, while it trains, how it does on faces that it does not train on."""

    def measure(self, state: PyTree, frozen: dict[str, PyTree], batch: PyTree) -> Metrics:
        """Figures of the averaged networks; pure."""
        ...


@runtime_checkable
class Task(Trainable, Protocol):
    """A row of ``TASKS``: what can be trained, on what, and what comes of it."""

    name: str
    batch_kind: str

    def export(self, state: PyTree, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged networks, ready for a model directory."""
        ...


def loss_metrics(values: dict[str, Float[Array, ""]]) -> Metrics:
    """Losses under the names of their metrics."""
    return {f"loss/{name}": value for name, value in values.items()}


def check_losses(task: str, names: Collection[str]) -> None:
    """Raises UserError unless all names are those of losses or regularisers of the task."""
    known = (*LOSSES[task], *REGULARISERS[task])
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UserError(
            f"losses.{unknown[0]} is not a loss of task {task}; "
            f"{did_you_mean(unknown[0], known)}expected one of {known}; correct it"
        )
