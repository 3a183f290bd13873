"""Writes model directories of random weights, as large as the published networks.

    alrl fabricate-models --config=ffhq_1024 --output=/tmp/models

With them a config can be tried before its real networks are there: each directory has the shapes
that ``alrl convert-weights`` finds in the published file, and numbers that mean nothing. One is
written for every ``pretrained.NAME`` of the config; the command prints the flags that name them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import traverse_util

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.models import build
from alrl_jax.models.loss_networks import PARSER_SIDE
from alrl_jax.models.published import hopenet
from alrl_jax.models.published.resnet import STEM_WIDTH
from alrl_jax.models.stylegan2.generator import channel_table, num_latents
from alrl_jax.storage.model_directory import save_model, save_shapes
from alrl_jax.utils import command_line

PyTree = Any
SOURCE = {"fabricated": "random numbers in the shapes of a published network; of no use but to try"}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the networks are; the defaults are those of the published ones.

    Attributes:
        w_dim: width of the generator's codes.
        channel_base: of generator and discriminator.
        channel_max: of generator and discriminator.
        mapping_layers: of the generator.
        widths: of the stages of the encoder and of the identity net.
        units: of these stages.
        squeeze: factor of squeeze and excitation.
        encoder_resolution: side of the images of the encoder.
        identity_resolution: side of the images of the identity net.
        embedding_width: of the identity net.
        parser_width: of the first stage of the parser.
        parser_resolution: side of the images of the parser.
        pose_width: of the first stage of the pose net.
        pose_depths: blocks of its stages.
        pose_resolution: side of the images of the pose net.
    """

    w_dim: int = 512
    channel_base: int = 32768
    channel_max: int = 512
    mapping_layers: int = 8
    widths: tuple[int, ...] = (64, 128, 256, 512)
    units: tuple[int, ...] = (3, 4, 14, 3)
    squeeze: int = 16
    encoder_resolution: int = 256
    identity_resolution: int = 112
    embedding_width: int = 512
    parser_width: int = STEM_WIDTH
    parser_resolution: int = PARSER_SIDE
    pose_width: int = STEM_WIDTH
    pose_depths: tuple[int, ...] = (3, 4, 6, 3)
    pose_resolution: int = hopenet.SIDE


@dataclasses.dataclass(frozen=True)
class Fabricated:
    """A network of random weights: kind, plain values that rebuild it, its module, an input."""

    kind: str
    config: dict[str, Any]
    module: nn.Module
    inputs: tuple[Any, ...]


def generator(resolution: int, sizes: Sizes) -> Fabricated:
    """StyleGAN2, config F, as rosinality's and NVIDIA's first files hold it."""
    channels = channel_table(resolution, sizes.channel_base, sizes.channel_max)
    config = {
        "resolution": resolution,
        "z_dim": sizes.w_dim,
        "w_dim": sizes.w_dim,
        "label_dim": 0,
        "channels": [list(pair) for pair in channels.items()],
        "num_mapping_layers": sizes.mapping_layers,
        "conv_clamp": None,
        "demod_convention": "scaled",
    }
    return Fabricated(
        "generator", config, build.build_generator(config), (jnp.zeros((1, sizes.w_dim)),)
    )


def discriminator(resolution: int, sizes: Sizes) -> Fabricated:
    """The discriminator that belongs to ``generator``."""
    config = {
        "resolution": resolution,
        "channel_base": sizes.channel_base,
        "channel_max": sizes.channel_max,
        "mbstd_group_size": 4,
    }
    return Fabricated(
        "discriminator", config, build.build_discriminator(config), _image(resolution)
    )


def encoder(resolution: int, sizes: Sizes) -> Fabricated:
    """pSp's encoder for a generator of ``resolution`` pixels."""
    config = {
        "resolution": sizes.encoder_resolution,
        "input_channels": 3,
        "widths": list(sizes.widths),
        "units": list(sizes.units),
        "squeeze": sizes.squeeze,
        "num_styles": num_latents(resolution),
        "code_width": sizes.w_dim,
        "offsets": False,
        "centred": True,
    }
    inputs = _image(sizes.encoder_resolution)
    return Fabricated("psp", config, build.build_style_encoder(config), inputs)


def identity(_: int, sizes: Sizes) -> Fabricated:
    """ArcFace with an IR-SE50 body, as pSp's losses use it."""
    config = {
        "resolution": sizes.identity_resolution,
        "widths": list(sizes.widths),
        "units": list(sizes.units),
        "squeeze": sizes.squeeze,
        "iresnet": False,
        "embedding_width": sizes.embedding_width,
    }
    inputs = _image(sizes.identity_resolution)
    return Fabricated("arcface", config, build.build_face_embedder(config), inputs)


def lpips(_: int, sizes: Sizes) -> Fabricated:
    """LPIPS on AlexNet."""
    config = {"backbone": "alex"}
    return Fabricated("lpips", config, build.build_lpips(config), 2 * _image(64))


def parser(_: int, sizes: Sizes) -> Fabricated:
    """BiSeNet with 19 classes."""
    config = {
        "num_classes": 19,
        "width": sizes.parser_width,
        "resolution": sizes.parser_resolution,
    }
    return Fabricated("face_parser", config, build.build_face_parser(config), _image(64))


def pose(_: int, sizes: Sizes) -> Fabricated:
    """Hopenet on a ResNet-50."""
    config = {
        "depths": list(sizes.pose_depths),
        "width": sizes.pose_width,
        "resolution": sizes.pose_resolution,
    }
    return Fabricated("hopenet", config, build.build_hopenet(config), _image(64))


NETWORKS: dict[str, Callable[[int, Sizes], Fabricated]] = {
    "generator": generator,
    "discriminator": discriminator,
    "encoder": encoder,
    "identity": identity,
    "lpips": lpips,
    "parser": parser,
    "pose": pose,
}
"""By their names in a config's ``pretrained``: resolution and sizes to network."""


def fabricate(
    output: Path, names: Sequence[str], resolution: int, sizes: Sizes, shapes_only: bool = False
) -> dict[str, Path]:
    """Writes a model directory a network.

    Args:
        output: gets a directory for every name.
        names: keys of ``NETWORKS``.
        resolution: of the generator's images, in pixels.
        sizes: of the networks.
        shapes_only: write weights files that say all shapes and hold no numbers: they take no
            space, serve to compile and are refused where weights are read.

    Returns:
        Directories by name.

    Raises:
        UserError: on a name that is not known.
    """
    unknown = sorted(set(names) - set(NETWORKS))
    if unknown:
        raise UserError(f"got pretrained.{unknown[0]}; expected one of {tuple(NETWORKS)}; clear it")
    for name in names:
        network = NETWORKS[name](resolution, sizes)
        shapes = jax.eval_shape(network.module.init, jax.random.key(0), *network.inputs)
        flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(shapes)
        if shapes_only:
            save_shapes(output / name, network.kind, network.config, shapes, source=SOURCE)
            continue
        rng = np.random.default_rng(list(NETWORKS).index(name))
        arrays = {path: _draw(path, leaf.shape, rng) for path, leaf in flat.items()}
        variables = traverse_util.unflatten_dict(arrays)
        save_model(output / name, network.kind, network.config, variables, source=SOURCE)
    return {name: output / name for name in names}


def fabricate_for(config: Config, output: Path, shapes_only: bool = False) -> dict[str, Path]:
    """All that a config takes from directories, in the published sizes.

    Names to which the config gives one directory get one: an encoder that starts from the identity
    net gets that.

    Args:
        config: whose ``pretrained`` says what is wanted.
        output: see ``fabricate``, as the last argument.
        shapes_only: see there.
    """
    wanted = {name: directory for name, directory in config.pretrained.items() if directory}
    owners = {directory: name for name, directory in wanted.items()}
    owners |= {directory: name for name, directory in wanted.items() if name == "identity"}
    sizes = Sizes(
        encoder_resolution=config.encoder.resolution or config.resolution,
        channel_base=config.discriminator.channel_base,
    )
    written = fabricate(output, list(owners.values()), config.resolution, sizes, shapes_only)
    return {name: written[owners[directory]] for name, directory in wanted.items()}


def _image(side: int) -> tuple[Any, ...]:
    return (jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32),)


def _draw(path: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers of a size with which activations stay within bounds."""
    fixed = {"scale": 1.0, "var": 1.0, "mean": 0.0, "slope": 0.25, "noise_strength": 0.1}
    leaf = path[-1]
    if leaf in fixed or leaf == "bias":
        return np.full(shape, fixed.get(leaf, 1.0 if "affine" in path else 0.0), np.float32)
    values = rng.standard_normal(shape, np.float32)
    if leaf == "kernel":
        values /= np.sqrt(np.prod(shape[:-1]), dtype=np.float32)
        return np.abs(values) if path[-2].startswith("lin") else values
    if leaf in ("w_avg", "latent_avg"):
        return 0.1 * values
    return 100.0 * values if "mapping" in path else values  # its weights learn at a hundredth


def main(_: list[str]) -> int:
    """Writes what the config of the flags asks for, and prints how to name it."""
    values = flags.FLAGS
    config = Config.from_dict(values.config.to_dict())
    written = fabricate_for(config, Path(values.output), values.shapes_only)
    print(" ".join(f"--config.pretrained.{name}={path}" for name, path in written.items()))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_config()
    command_line.DEFINE_path(
        "output", None, "Where to; gets a directory for every network.", required=True
    )
    flags.DEFINE_boolean("shapes_only", False, "Write files that hold shapes and take no space.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
