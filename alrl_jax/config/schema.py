"""The configuration: frozen dataclasses, read from an ``ml_collections.ConfigDict`` at the edge.

Config files in ``configs/`` start from ``default_config(task)`` and set what differs.
``Config.from_dict`` checks everything at once: unknown keys, wrong types, values out of range are
all named in one error. Modules below never see these classes: a task hands them plain values.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from alrl_jax.config.building import build_dataclass
from alrl_jax.config.checks import joint_faults
from alrl_jax.errors import UserError

TASKS = ("generator", "identity", "swap")
ALGORITHMS = ("adam", "muon")
SOURCES = ("synthetic", "prepared", "tfds", "folder")
POSE_SPACES = ("spatial_const", "coarse_codes", "none")
GATE_MODES = ("hard", "soft", "pair_independent")
SELECTORS = ("adaptive", "mean", "lcr4", "fslsd7", "psp_middle", "best_fixed", "ftm4", "mixer")
"""Selections that a swapper can be trained with."""
MASKS = ("learned", "ellipse", "none")
FRESH = ("heads", "swap", "probe", "discriminator")
"""What can start anew where ``pretrained.swapper`` holds it."""
ANALYSER_BLOCKS = ("residual", "plain")
ADA_MODES = ("off", "fixed", "adaptive")
BACKBONES = ("residual", "ir_se")
REMAT = ("none", "convolutions", "blocks")
PRETRAINED = ("identity", "generator", "discriminator", "encoder", "swapper", "lpips", "parser")
"""Networks that a run takes from model directories."""
COMPUTE_DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where faces come from; ``path`` None means a cache folder keyed by these values.

    ``identities`` says whether every ``image`` or every sub-``folder`` of a folder is a person.
    ``true_swaps``: pairs come with their true swap, for the loss ``supervised`` alone; only the
    synthetic world knows it. ``witnesses``: pairs come with a second picture of the source's
    person, by which the losses tell who the swap is.
    """

    source: str = "synthetic"
    path: str | None = None
    split: str = "train"
    identities: str = "image"
    num_identities: int = 4000
    images_per_identity: int = 6
    same_identity_share: float = 0.5
    flip: bool = True
    true_swaps: bool = False
    witnesses: bool = False


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """StyleGAN2 generator; the pose code is a third latent input where ``pose_latent_dim`` > 0.

    Task ``swap`` takes all but ``train`` from ``pretrained.generator`` or ``pretrained.swapper``
    where one is set. ``train`` False holds such a generator still.
    """

    z_dim: int = 64
    w_dim: int = 64
    num_mapping_layers: int = 4
    channel_base: int = 1024
    channel_max: int = 64
    pose_latent_dim: int = 32
    train: bool = True


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """StyleGAN2 residual discriminator; ``mbstd_blocks`` fixed blocks of the global batch.

    ``ada``: it sees all images through random transforms, for data sets of few faces; ``fixed``
    with probability ``ada_p``, ``adaptive`` with one that starts at 0 and can rise to 1 in
    ``ada_kimg`` thousand images while the mean sign of real logits is above ``ada_target``.
    """

    channel_base: int = 1024
    channel_max: int = 64
    mbstd_group_size: int = 4
    mbstd_blocks: int = 1
    ada: str = "off"
    ada_p: float = 0.2
    ada_target: float = 0.6
    ada_kimg: float = 500.0


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Dual-space encoder.

    ``residual``: three widths, of the features at 1/2, 1/4 and 1/8 of the resolution. ``ir_se``:
    the trunk of pSp and e4e, with widths and numbers of units of its four stages, and its factor of
    squeeze and excitation; ``pretrained.encoder`` and ``pretrained.swapper`` overrule them.
    ``resolution``: side of the images that it sees; larger ones are pooled. 0: that of the images.
    ``train_backbone`` False holds the features of ``pretrained.swapper`` still, and trains the
    heads on them.
    """

    backbone: str = "residual"
    resolution: int = 0
    widths: tuple[int, ...] = (32, 64, 96)
    units: tuple[int, ...] = (3, 4, 14, 3)
    squeeze: int = 16
    pose_space: str = "spatial_const"
    train_backbone: bool = True


@dataclasses.dataclass(frozen=True)
class SwapConfig:
    """Selection of latent codes, and what blends the face that they draw.

    ``selector``: one of ``SELECTORS``; ``gate_mode``, ``pose_transfer``, ``context``,
    ``attribute_control`` and temperatures are those of ``adaptive``. ``source_weights``: of the
    source in the pose code and in every layer, which ``tools.search_selection`` finds for
    ``best_fixed``. ``mask``: the encoder's ``learned`` region, the same ``ellipse`` in every
    picture, or ``none``: no blending. ``pose_transfer``: whether the target's pose code is refined
    for the source. ``context``: width of what the refinement sees of all codes of both faces; 0:
    each layer sees its own codes alone. ``turn_head``: whether the whole head is replaced, as the
    encoder parses it, where a caller takes the pose from the source. ``target_warp``: how far
    targets of one person's pairs are bent, see ``tasks/target_warp.py``. ``cycle_targets``: share
    of one person's pairs whose targets get a stranger's face instead, see
    ``tasks/cycle_targets.py``. ``attribute_control``: share of the other pairs that ask for the
    source's pose, expression or the like, see ``tasks/attribute_control.py``.
    """

    selector: str = "adaptive"
    source_weights: tuple[float, ...] = ()
    mask: str = "learned"
    channel_groups: int = 8
    width: int = 64
    gate_mode: str = "hard"
    pose_transfer: bool = False
    context: int = 0
    temperature_start: float = 1.0
    temperature_end: float = 0.3
    gate_budget: float = 0.5
    feather: int = 2
    turn_head: bool = False
    target_warp: float = 0.0
    cycle_targets: float = 0.0
    attribute_control: float = 0.0


@dataclasses.dataclass(frozen=True)
class IdentityConfig:
    """Face analyser: identity net of the losses, or judge."""

    kind: str = "identity"
    block: str = "residual"
    widths: tuple[int, ...] = (24, 48, 96, 160)
    hidden: int = 256
    augment: float = 1.0


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Rates; lazy regularisation corrects rate and betas for its interval.

    ``algorithm`` is that of the tasks ``identity`` and ``swap``; discriminators, and generators
    that train as a GAN alone, use Adam.
    """

    algorithm: str = "adam"
    learning_rate: float = 2e-3
    discriminator_learning_rate: float = 2e-3
    generator_learning_rate: float = 1e-3
    beta1: float = 0.0
    beta2: float = 0.99
    warmup_steps: int = 0
    decay: bool = False
    clip_norm: float = 0.0
    ema_kimg: float = 5.0
    r1_interval: int = 16
    path_interval: int = 4


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run.

    ``compute_dtype`` is that of the convolutions of the StyleGAN2 networks and of an ``ir_se``
    encoder; ``remat`` says what their backward pass keeps of a block (``REMAT_POLICIES``).
    ``loss_resolution``: side to which images are pooled before the losses of task ``swap`` look at
    them; the discriminator sees them whole. 0: not pooled. ``parameter_shards``: devices that share
    one copy of parameters, averages and optimiser states; 1: every device has its own. ``fresh``:
    parts that start anew whatever ``pretrained.swapper`` holds (``FRESH``).
    """

    task: str = "swap"
    seed: int = 0
    num_steps: int = 1000
    batch_size: int = 16
    resolution: int = 64
    loss_resolution: int = 0
    log_every: int = 20
    checkpoint_every: int = 500
    sample_every: int = 500
    keep_checkpoints: int = 2
    compute_dtype: str = "float32"
    remat: str = "none"
    parameter_shards: int = 1
    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    encoder: EncoderConfig = EncoderConfig()
    swap: SwapConfig = SwapConfig()
    identity: IdentityConfig = IdentityConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    losses: Mapping[str, float] = dataclasses.field(default_factory=dict)
    pretrained: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fresh: tuple[str, ...] = ()

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
        return config

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested dictionaries of plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def validate(self) -> list[str]:
        """Lists every fault of the values; an empty list means that the run may start."""
        return [
            f"{name} is {_value(self, name)!r}; expected {expectation}"
            for name, check, expectation in _RULES
            if not check(_value(self, name))
        ] + joint_faults(self)


def default_config(task: str, losses: Mapping[str, float]) -> ml_collections.ConfigDict:
    """A mutable configuration with the defaults of ``Config``.

    Args:
        task: one of ``TASKS``.
        losses: weight of every loss of the task, by name.

    Returns:
        A ``ConfigDict`` whose fields can be overridden on the command line.
    """
    values = Config(task=task, losses=dict(losses)).to_dict()
    values["data"]["path"] = config_dict.placeholder(str)
    if task == "swap":  # so that each can be named on the command line
        values["pretrained"] = dict.fromkeys(PRETRAINED, "")
    return ml_collections.ConfigDict(values)


def _positive(value: int | float) -> bool:
    return value > 0


def _not_negative(value: int | float) -> bool:
    return value >= 0


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _one_of(names: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: value in names


def _power_of_two_from_16(value: int) -> bool:
    return 16 <= value <= 1024 and value & (value - 1) == 0


_Rule = tuple[str, Callable[[Any], bool], str]
_RULES: tuple[_Rule, ...] = (
    ("task", _one_of(TASKS), f"one of {TASKS}"),
    ("num_steps", _positive, "a number above 0"),
    ("batch_size", _positive, "a number above 0"),
    ("resolution", _power_of_two_from_16, "a power of two from 16 to 1024"),
    ("log_every", _positive, "a number above 0"),
    ("checkpoint_every", _positive, "a number above 0"),
    ("sample_every", _not_negative, "0 (never) or more"),
    ("keep_checkpoints", _positive, "a number above 0"),
    ("compute_dtype", _one_of(COMPUTE_DTYPES), f"one of {COMPUTE_DTYPES}"),
    ("parameter_shards", _positive, "a number above 0"),
    ("data.source", _one_of(SOURCES), f"one of {SOURCES}"),
    ("data.identities", _one_of(("image", "folder")), "one of ('image', 'folder')"),
    ("data.num_identities", lambda n: n >= 2, "2 or more"),
    ("data.images_per_identity", _positive, "a number above 0"),
    ("data.same_identity_share", _share, "a share from 0 to 1"),
    ("generator.z_dim", _positive, "a number above 0"),
    ("generator.w_dim", _positive, "a number above 0"),
    ("generator.num_mapping_layers", _positive, "a number above 0"),
    ("generator.channel_base", _positive, "a number above 0"),
    ("generator.channel_max", _positive, "a number above 0"),
    ("generator.pose_latent_dim", _not_negative, "0 (no sampled pose code) or more"),
    ("discriminator.channel_base", _positive, "a number above 0"),
    ("discriminator.channel_max", _positive, "a number above 0"),
    ("discriminator.mbstd_group_size", _positive, "a number above 0"),
    ("discriminator.mbstd_blocks", _positive, "a number above 0"),
    ("discriminator.ada", _one_of(ADA_MODES), f"one of {ADA_MODES}"),
    ("discriminator.ada_p", _share, "a share from 0 to 1"),
    ("discriminator.ada_target", _share, "a share from 0 to 1"),
    ("discriminator.ada_kimg", _positive, "a number above 0"),
    ("remat", _one_of(REMAT), f"one of {REMAT}"),
    ("encoder.backbone", _one_of(BACKBONES), f"one of {BACKBONES}"),
    ("encoder.widths", lambda w: len(w) > 0 and min(w) > 0, "positive widths"),
    ("encoder.units", lambda n: len(n) == 4 and min(n) > 0, "four positive numbers"),
    ("encoder.squeeze", _positive, "a number above 0"),
    ("encoder.pose_space", _one_of(POSE_SPACES), f"one of {POSE_SPACES}"),
    ("swap.selector", _one_of(SELECTORS), f"one of {SELECTORS}"),
    ("swap.source_weights", lambda x: all(map(_share, x)), "shares from 0 to 1"),
    ("swap.mask", _one_of(MASKS), f"one of {MASKS}"),
    ("swap.channel_groups", _positive, "a number above 0"),
    ("swap.width", _positive, "a number above 0"),
    ("swap.context", _not_negative, "0 (each layer alone) or more"),
    ("swap.gate_mode", _one_of(GATE_MODES), f"one of {GATE_MODES}"),
    ("swap.temperature_start", _positive, "a number above 0"),
    ("swap.temperature_end", _positive, "a number above 0"),
    ("swap.gate_budget", _share, "a share from 0 to 1"),
    ("swap.feather", _not_negative, "0 (hard edge) or more pixels"),
    ("swap.cycle_targets", _share, "a share from 0 to 1"),
    ("swap.attribute_control", _share, "a share from 0 to 1"),
    ("swap.target_warp", _not_negative, "0 (targets as they are) or a share of the side"),
    ("identity.kind", _one_of(("identity", "judge")), "one of ('identity', 'judge')"),
    ("identity.block", _one_of(ANALYSER_BLOCKS), f"one of {ANALYSER_BLOCKS}"),
    ("identity.widths", lambda w: len(w) > 0 and min(w) > 0, "one or more positive widths"),
    ("identity.hidden", _positive, "a number above 0"),
    ("identity.augment", _not_negative, "0 (none) or more"),
    ("optimizer.algorithm", _one_of(ALGORITHMS), f"one of {ALGORITHMS}"),
    ("optimizer.learning_rate", _positive, "a number above 0"),
    ("optimizer.discriminator_learning_rate", _positive, "a number above 0"),
    ("optimizer.generator_learning_rate", _not_negative, "0 or more"),
    ("optimizer.beta1", lambda b: 0 <= b < 1, "a number from 0 to below 1"),
    ("optimizer.beta2", lambda b: 0 <= b < 1, "a number from 0 to below 1"),
    ("optimizer.warmup_steps", _not_negative, "0 or more"),
    ("optimizer.clip_norm", _not_negative, "0 (off) or more"),
    ("optimizer.ema_kimg", _positive, "a number above 0"),
    ("optimizer.r1_interval", _positive, "a number above 0"),
    ("optimizer.path_interval", _positive, "a number above 0"),
    ("pretrained", lambda p: set(p) <= set(PRETRAINED), f"directories of {PRETRAINED}"),
    ("fresh", lambda parts: set(parts) <= set(FRESH), f"some of {FRESH}"),
    ("losses", lambda w: all(v >= 0 for v in w.values()), "weights of 0 or more"),
)


def _value(config: Config, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value
