"""Sections of the configuration: one frozen dataclass each, every field with its rule and meaning.

A field that names an entry of a table (``swap.selector``, ``encoder.backbone``) has no rule here:
the table is where the thing itself is, and the task checks the name against it
(``training/tasks/names.py``).
"""

import dataclasses

from alrl_jax.config.rules import (
    BELOW_ONE,
    FOUR_COUNTS,
    POSITIVE,
    SHARE,
    SHARES,
    WIDTHS,
    Rule,
    at_least,
    checked,
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where faces come from."""

    source: str = "synthetic"
    """Entry of ``SOURCES`` (``data/sources.py``)."""
    path: str | None = None
    """Where the data lie; None is a cache folder that is keyed by the values of this section."""
    split: str = "train"
    """Part of a world's people, or of a TFDS data set."""
    identities: str = "image"
    """What shows a person of its own in a folder: every ``image`` or every sub-``folder``."""
    num_identities: int = checked(4000, at_least(2))
    """Number of people, where a world makes them."""
    images_per_identity: int = checked(6, POSITIVE)
    """Images of each of them."""
    same_identity_share: float = checked(0.5, SHARE)
    """Share of the pairs that show one person twice."""
    flip: bool = True
    """Whether images are mirrored at random."""
    cover_share: float = checked(0.0, SHARE)
    """Share of the images in which something covers the face, where a world draws them."""
    true_swaps: bool = False
    """Whether pairs come with their true swap, which only worlds know: for the loss ``supervised``
    alone."""
    witnesses: bool = False
    """Whether pairs come with a second image of the source's person, for the identity losses to
    compare the swap with."""
    on_device: bool = False
    """Whether every device keeps all faces, as 8-bit images, and batches are put together there.
    They are the same batches."""
    held_out: str | None = None
    """Data of the same kind that ``held_out_every`` measures on; a world draws other people."""
    labels: bool = True
    """Whether training sees what is known about faces; False hides all but who they are."""


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """StyleGAN2 generator.

    Task ``swap`` takes all but ``train`` from ``pretrained.generator`` or ``pretrained.swapper``
    where one is set.
    """

    z_dim: int = checked(64, POSITIVE)
    w_dim: int = checked(64, POSITIVE)
    num_mapping_layers: int = checked(4, POSITIVE)
    channel_base: int = checked(1024, POSITIVE)
    """Channels of a layer times its resolution, up to ``channel_max``."""
    channel_max: int = checked(64, POSITIVE)
    pose_latent_dim: int = checked(32, at_least(0, "no sampled pose code"))
    """Width of the latents of sampled pose codes in task ``generator``."""
    style_mixing: float = checked(0.0, SHARE)
    """Share of the faces of task ``generator`` that have the codes of a second latent from a random
    layer on; 0.9 in the papers of StyleGAN."""
    class_conditional: bool = False
    """Whether task ``generator`` draws faces of a class: the number that the data give to a person,
    or to a sub-folder (``data.identities=folder``), of ``data.num_identities``."""
    train: bool = True
    """Whether task ``swap`` trains it; False needs a pretrained one."""


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """StyleGAN2 residual discriminator."""

    channel_base: int = checked(1024, POSITIVE)
    channel_max: int = checked(64, POSITIVE)
    mbstd_group_size: int = checked(4, POSITIVE)
    """Faces that are compared with each other for their standard deviation."""
    mbstd_blocks: int = checked(1, POSITIVE)
    """Fixed blocks of the global batch; no group reaches over two of them."""
    freeze_blocks: int = checked(0, at_least(0, "all is trained"))
    """Blocks, from the image on, that keep the weights of ``pretrained.discriminator`` or
    ``pretrained.swapper``: for data sets of few faces."""
    ada: str = "off"
    """Whether it sees all images through random transforms, for data sets of few faces: ``off``,
    ``fixed`` (with probability ``ada_p``) or ``adaptive`` (with one that starts at 0)."""
    ada_p: float = checked(0.2, SHARE)
    ada_target: float = checked(0.6, SHARE)
    """Mean sign of the logits of real images above which the adaptive probability rises."""
    ada_kimg: float = checked(500.0, POSITIVE)
    """Thousands of images in which the adaptive probability can rise from 0 to 1."""


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Dual-space encoder; ``pretrained.encoder`` and ``pretrained.swapper`` overrule its sizes."""

    backbone: str = "residual"
    """Entry of ``BACKBONES`` (``models/swapper/backbones.py``)."""
    resolution: int = 0
    """Side of the images that it sees, to which larger ones are pooled; 0: that of the images."""
    widths: tuple[int, ...] = checked((32, 64, 96), WIDTHS)
    """Channels of the backbone's stages, as many as the backbone has."""
    depths: tuple[int, ...] = checked((1, 1, 1), WIDTHS)
    """Residual units of the three stages of ``residual``."""
    units: tuple[int, ...] = checked((3, 4, 14, 3), FOUR_COUNTS)
    """Units of the four stages of ``ir_se``."""
    squeeze: int = checked(16, POSITIVE)
    """Factor of the squeeze and excitation of ``ir_se``."""
    pose_space: str = "spatial_const"
    """Entry of ``POSE_SPACES`` (``models/swapper/swapper.py``)."""
    train_backbone: bool = True
    """Whether the backbone is trained; False trains the heads on the features of
    ``pretrained.swapper``."""


@dataclasses.dataclass(frozen=True)
class SwapConfig:
    """Selection of latent codes, and what blends the face that they draw.

    ``gate_mode``, ``attribute_control`` and temperatures are those of the selection ``adaptive``;
    ``pose_transfer`` and ``context`` of all selections that learn.
    """

    selector: str = "adaptive"
    """Entry of ``SELECTORS`` or ``TRANSFERS`` (``models/swapper/``), or ``best_fixed``."""
    source_weights: tuple[float, ...] = checked((), SHARES)
    """Of ``best_fixed``, which ``alrl search-selection`` finds, and of the gate mode ``fixed``:
    weight of the source in the pose code and in every layer."""
    mask: str = "learned"
    """The encoder's ``learned`` region, the same ``ellipse`` in every image, or ``none``."""
    channel_groups: int = checked(8, POSITIVE)
    """Groups of channels of a code, each selected by itself."""
    width: int = checked(64, POSITIVE)
    """Of the selection's hidden layers."""
    gate_mode: str = "hard"
    """Entry of ``GATE_MODES`` (``models/swapper/selection.py``)."""
    pose_transfer: bool = False
    """Whether the target's pose code is refined for the source."""
    context: int = checked(0, at_least(0, "each layer alone"))
    """Width of what the refinement sees of all codes of both faces."""
    target_features: str = "none"
    """Entry of ``SPACE_GATES`` (``models/swapper/target_features.py``): how the generator takes
    over features of the target."""
    detach_blend: bool = False
    """Whether the mask learns from labels alone, and not from the blended image."""
    temperature_start: float = checked(1.0, POSITIVE)
    temperature_end: float = checked(0.3, POSITIVE)
    """Temperature of the relaxed gates at the end of the run, to which it falls geometrically."""
    gate_budget: float = checked(0.5, SHARE)
    """Share of the codes that should come from the source; see the loss ``gate_budget``."""
    feather: int = checked(2, Rule(lambda pixels: pixels >= 0, "0 (hard edge) or more pixels"))
    """Width of the blend's soft edge, in pixels of what the encoder sees."""
    turn_head: bool = False
    """Whether the whole head is replaced, as the encoder parses it, where a caller takes the pose
    from the source."""
    target_warp: float = checked(0.0, at_least(0, "targets as they are"))
    """How far targets of one person's pairs are bent, as a share of the side; see
    ``training/tasks/target_warp.py``."""
    cycle_targets: float = checked(0.0, SHARE)
    """Share of one person's pairs whose targets get a stranger's face; see
    ``training/tasks/cycle_targets.py``."""
    attribute_control: float = checked(0.0, SHARE)
    """Share of the other pairs that ask for the source's pose, expression or the like; see
    ``training/tasks/attribute_control.py``."""


@dataclasses.dataclass(frozen=True)
class IdentityConfig:
    """A network that reads faces: identity net of the losses, judge, or narrow stand-in."""

    kind: str = "identity"
    """Entry of ``KINDS`` (``training/tasks/face_networks.py``): what the trained model is."""
    block: str = "residual"
    """Of an analyser, entry of ``STAGES`` (``models/face_analyser.py``)."""
    widths: tuple[int, ...] = checked((24, 48, 96, 160), WIDTHS)
    """Channels of the stages, which work at 1/2, 1/4, ... of the resolution; ``hopenet`` and
    ``face_parser`` take the first and double it."""
    hidden: int = checked(256, POSITIVE)
    """Width of the last hidden layer, or of the embeddings of ``arcface``."""
    glimpses: bool = False
    """Whether an analyser looks at the eyes a second time, at the image's own resolution."""
    augment: float = checked(1.0, at_least(0, "none"))
    """Strength of the random changes of the images that it learns from."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Rates, betas and intervals; lazy regularisation leaves rates and betas as they are, as it is
    added to the gradient of its step (``training/optim.py``)."""

    algorithm: str = "adam"
    """Of the tasks ``identity`` and ``swap``, one of ``ALGORITHMS`` (``training/optim.py``);
    discriminators, and generators that train as a GAN alone, use Adam."""
    learning_rate: float = checked(2e-3, POSITIVE)
    discriminator_learning_rate: float = checked(2e-3, POSITIVE)
    generator_learning_rate: float = checked(1e-3, at_least(0))
    beta1: float = checked(0.0, BELOW_ONE)
    beta2: float = checked(0.99, BELOW_ONE)
    warmup_steps: int = checked(0, at_least(0))
    warmup_images: int = checked(0, at_least(0, "warmup_steps counts"))
    """Length of the warm-up in images: overrules ``warmup_steps``."""
    decay: bool = False
    """Whether rates fall to 0 over the run, along a cosine."""
    clip_norm: float = checked(0.0, at_least(0, "off"))
    """Largest norm of all gradients of a network together."""
    ema_kimg: float = checked(5.0, POSITIVE)
    """Half-life of the averaged networks, in thousands of images."""
    gate_learning_rate: float = checked(0.0, at_least(0, "that of all that is no matrix"))
    """Adam's rate for what decides over codes (``GATE_TABLES`` of ``models/swapper/selection.py``).
    """
    gate_start: int = checked(0, at_least(0))
    """Steps before these begin to move."""
    gate_decay: bool = True
    """Whether their rate falls as ``decay`` says; False holds it."""
    r1_interval: int = checked(16, POSITIVE)
    """Steps from one R1 penalty to the next."""
    path_interval: int = checked(4, POSITIVE)
    """Steps from one path length penalty to the next."""
