"""The configuration: frozen dataclasses, read from an ``ml_collections.ConfigDict`` at the edge.

Config files in ``configs/`` start from ``default_config(task)`` or a recipe (``recipes.py``) and
set what differs. ``Config.from_dict`` names every fault of the values in one error: unknown keys,
wrong types, values out of range, values that do not belong together. What a value names in a table
of another package (a task, a selection, a backbone) is checked by who owns the table:
``training/tasks/names.py``, and ``data/sources.py`` for the data. Modules below never see these
classes: a task hands them plain values.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from alrl_jax.config.building import build_dataclass
from alrl_jax.config.checks import joint_faults
from alrl_jax.config.open_dicts import Directories, Weights
from alrl_jax.config.rules import (
    IMAGE_SIDE,
    POSITIVE,
    WEIGHTS,
    at_least,
    checked,
    checked_mapping,
    field_faults,
)
from alrl_jax.config.sections import (
    DataConfig,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    IdentityConfig,
    OptimizerConfig,
    SwapConfig,
)
from alrl_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run."""

    task: str = "swap"
    """Entry of ``TASKS`` (``training/tasks``)."""
    seed: int = 0
    num_steps: int = checked(1000, POSITIVE)
    num_images: int = checked(0, at_least(0, "num_steps counts"))
    """Length of the run in images, whatever the batch: overrules ``num_steps``."""
    max_minutes: float = checked(0.0, at_least(0, "no limit"))
    """Minutes of one start after which the run saves, packages its model and ends."""
    steps_per_call: int = checked(1, POSITIVE)
    """Most steps that the devices take without asking the host. What is due (a line of the log, a
    checkpoint, a picture) ends a call before that."""
    batch_size: int = checked(16, POSITIVE)
    accumulate: int = checked(1, POSITIVE)
    """Parts of a batch that go through the networks one after another, for batches that are too
    large for the memory; updates are those of the whole batch."""
    resolution: int = checked(64, IMAGE_SIDE)
    loss_resolution: int = 0
    """Side to which images are pooled before the losses of task ``swap`` look at them; the
    discriminator sees them whole, and an identity net of our own at the resolution that it was
    trained at. 0: not pooled."""
    perceptual_resolution: int = 0
    """Side to which these are pooled before perceptual distances are measured. 0: not pooled, or as
    for the identity net where that measures."""
    log_every: int = checked(20, POSITIVE)
    checkpoint_every: int = checked(500, POSITIVE)
    sample_every: int = checked(500, at_least(0, "never"))
    held_out_every: int = checked(0, at_least(0, "never"))
    """Steps, a multiple of ``log_every``, between measurements of task ``swap`` on held-out pairs:
    people of a world that no run trains on, or those of ``data.held_out``."""
    keep_checkpoints: int = checked(2, POSITIVE)
    keep_best: str = ""
    """Figure of ``held_out_every`` by which the best state is kept in ``WORKDIR/best``, an entry of
    ``BETTER`` (``training/best.py``)."""
    skip_nonfinite: int = checked(0, at_least(0, "a run ends with the first"))
    """Most updates in a row that are left out, as their gradients are not finite."""
    profile_steps: int = checked(0, at_least(0, "none"))
    """Steps that every start traces into ``WORKDIR/profile``, from its tenth on."""
    writers: tuple[str, ...] = ("tensorboard",)
    """Where figures go beside ``metrics.jsonl``, of ``WRITERS`` (``training/writers.py``)."""
    compute_dtype: str = "float32"
    """Of the convolutions of the StyleGAN2 networks and of an ``ir_se`` encoder."""
    remat: str = "none"
    """Entry of ``REMAT_POLICIES`` (``models/remat.py``): what their backward pass keeps."""
    parameter_shards: int = checked(1, POSITIVE)
    """Devices that share one copy of parameters, averages and optimiser states; 1: every device has
    its own."""
    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    encoder: EncoderConfig = EncoderConfig()
    swap: SwapConfig = SwapConfig()
    identity: IdentityConfig = IdentityConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    losses: Mapping[str, float] = checked_mapping(WEIGHTS)
    """Weights by name, entries of ``LOSSES`` (``training/losses``); what is left out has weight 0
    and is never computed."""
    pretrained: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Model directories by network, of ``NETWORKS`` (``training/tasks/pretrained.py``)."""
    fresh: tuple[str, ...] = ()
    """Parts that start from scratch whatever ``pretrained.swapper`` holds, of ``FRESH``
    (``training/tasks/warm_start.py``)."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Builds and validates a configuration.

        Args:
            values: nested mapping, as ``ConfigDict.to_dict()`` gives it.

        Raises:
            UserError: naming every unknown key, wrong type and value out of range.
        """
        faults: list[str] = []
        config = build_dataclass(cls, values, faults)
        if not faults:
            faults = config.validate()
        if faults:
            raise UserError(f"config: {'; '.join(faults)}")
        return config.counted_in_steps()

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested dictionaries of plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def counted_in_steps(self) -> "Config":
        """The same run, with ``num_steps`` and ``warmup_steps`` as its lengths in images ask for.

        The last batch is a whole one, so a run sees less than a batch more than ``num_images``.
        """
        steps = lambda images: -(-images // self.batch_size)  # noqa: E731
        changed: dict[str, Any] = {}
        if self.num_images:
            changed["num_steps"] = steps(self.num_images)
        if self.optimizer.warmup_images:
            warmup = steps(self.optimizer.warmup_images)
            changed["optimizer"] = dataclasses.replace(self.optimizer, warmup_steps=warmup)
        return dataclasses.replace(self, **changed)

    def validate(self) -> list[str]:
        """Lists every fault of the values; an empty list means that the run may start."""
        return [*field_faults(self), *joint_faults(self)]


def default_config(
    task: str, losses: Mapping[str, float] | None = None
) -> ml_collections.ConfigDict:
    """A mutable configuration with the defaults of ``Config``.

    Args:
        task: what is trained.
        losses: weights by name; those of all other losses are 0.

    Returns:
        A ``ConfigDict`` whose fields can be overridden on the command line, any loss and any
        pretrained network among them.
    """
    values = Config(task=task).to_dict()
    values["data"]["path"] = config_dict.placeholder(str)
    weights = {name: float(weight) for name, weight in (losses or {}).items()}
    values |= {"losses": Weights(weights), "pretrained": Directories()}
    return ml_collections.ConfigDict(values)
