"""The architecture of a network, from the shapes of its tensors and what its file says of it."""

from collections.abc import Mapping
from typing import Any

from alrl_jax.convert.families.stylegan2 import settings
from alrl_jax.convert.networks import INIT_KWARGS, STATE_VERSION, Network, Tensors
from alrl_jax.convert.shapes import Config, check_agrees, count_numbers, shape_of
from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2.layers import DemodConvention
from alrl_jax.models.stylegan2.ops import Number

MAX_MAPPING_LAYERS = 64
MAX_BLOCKS = 10
MAX_SIDE = 4 * 2**MAX_BLOCKS
"""Limits that keep a damaged file from asking for an absurd network."""

_NVIDIA_SIDE = r"b(\d+)\.conv0\.weight"
_TF_SIDE = r"(\d+)x\d+/"


def count_layers(tensors: Tensors, pattern: str) -> int:
    """The number of mapping layers; a limit keeps a damaged file from building an absurd network.

    Raises:
        UserError: if there are none, or too many.
    """
    depth = count_numbers(tensors, pattern)
    if not 1 <= depth <= MAX_MAPPING_LAYERS:
        raise UserError(
            f"got {depth} mapping layers; expected 1 to {MAX_MAPPING_LAYERS}; is it damaged?"
        )
    return depth


def _sides(blocks: int) -> tuple[int, ...]:
    """Resolutions from 8 up; a limit keeps a damaged file from asking for an absurd network."""
    if not 1 <= blocks <= MAX_BLOCKS:
        raise UserError(
            f"got {blocks} resolutions above 4x4; expected 1 to {MAX_BLOCKS}; is it damaged?"
        )
    return tuple(8 * 2**i for i in range(blocks))


def _channels(table: Mapping[int, int]) -> Config:
    """The table as StyleGAN2's rule where it is one, else the table itself.

    The rule is ``min(channel_base // side, channel_max)``; its base shows at the largest side and
    its limit at the smallest.
    """
    top = max(table)
    base, most = table[top] * top, table[min(table)]
    follows = all(min(base // side, most) == width for side, width in table.items())
    explicit = None if follows else [list(pair) for pair in sorted(table.items())]
    return {"channel_base": base, "channel_max": most, "channels": explicit}


def _mapping(
    tensors: Tensors, first: str, last: str, embed: str, transposed: bool
) -> tuple[int, int, int]:
    """Widths of z, of w and of the label, by the names of the mapping's weights.

    These are [out, in], or ``transposed``.  A conditional network's first layer reads z and the
    embedded label one behind the other, so z is what the embedding leaves of its input.
    """
    end, start = (1, 0) if transposed else (0, 1)
    embedded, label = 0, 0
    if embed in tensors:
        shape = shape_of(tensors, embed, 2)
        embedded, label = shape[end], shape[start]
    width = shape_of(tensors, first, 2)[start] - embedded
    if width < 1:
        raise UserError(f"got {first} without room for z; expected z_dim of at least 1")
    return width, shape_of(tensors, last, 2)[end], label


def _label(tensors: Tensors, embed: str, layers: str, transposed: bool) -> Config:
    """The mapping of a discriminator, which only a conditional one has.

    Args:
        tensors: of the network.
        embed: name of the weight that reads the label, [out, in], or ``transposed``.
        layers: pattern of the names of the layers after it.
        transposed: whether weights are [in, out].
    """
    if embed not in tensors:
        return {"label_dim": 0, "num_mapping_layers": 0}
    end, start = (1, 0) if transposed else (0, 1)
    shape = shape_of(tensors, embed, 2)
    depth = count_layers(tensors, layers)
    return {"label_dim": shape[start], "num_mapping_layers": depth, "cmap_dim": shape[end]}


def _generator(
    dims: tuple[int, int, int],
    table: Mapping[int, int],
    depth: int,
    conv_clamp: Number | None,
    demodulation: DemodConvention,
) -> Config:
    """A generator; ``dims`` are those of z, of w and of the label."""
    z_dim, w_dim, label_dim = dims
    return {
        "resolution": max(table),
        "z_dim": z_dim,
        "w_dim": w_dim,
        "label_dim": label_dim,
        **_channels(table),
        "num_mapping_layers": depth,
        "conv_clamp": conv_clamp,
        "demod_convention": demodulation,
    }


def rosinality_generator(network: Network) -> Config:
    """Architecture of a ``Generator`` of rosinality's."""
    tensors = network.tensors
    sides = _sides(count_numbers(tensors, r"to_rgbs\.(\d+)\.bias"))
    table = {4: shape_of(tensors, "conv1.conv.weight", 5)[1]}
    for order, side in enumerate(sides):
        table[side] = shape_of(tensors, f"convs.{2 * order}.conv.weight", 5)[1]
    depth = count_layers(tensors, r"style\.(\d+)\.weight")
    z_dim = shape_of(tensors, "style.1.weight", 2)[1]
    w_dim = shape_of(tensors, f"style.{depth}.weight", 2)[0]
    return _generator((z_dim, w_dim, 0), table, depth, None, "scaled")


def rosinality_discriminator(network: Network) -> Config:
    """Architecture of a ``Discriminator`` of rosinality's."""
    tensors = network.tensors
    sides = _sides(count_numbers(tensors, r"convs\.(\d+)\.conv1\.0\.weight"))
    table = {4: shape_of(tensors, "final_conv.0.weight", 4)[0]}
    for order, side in enumerate(reversed(sides)):
        table[side] = shape_of(tensors, f"convs.{order + 1}.conv1.0.weight", 4)[0]
    return {
        "resolution": sides[-1],
        "label_dim": 0,
        **_channels(table),
        **_groups(4, 1),  # written into rosinality's class
        "conv_clamp": None,
    }


def nvidia_generator(network: Network) -> Config:
    """Architecture of a ``Generator`` of NVIDIA's PyTorch code."""
    settings.check_modules(network, settings.NVIDIA_GENERATOR)
    tensors = network.tensors
    sides = _sides(count_numbers(tensors, rf"synthesis\.{_NVIDIA_SIDE}"))
    table = {4: shape_of(tensors, "synthesis.b4.const", 3)[0]}
    table |= {r: shape_of(tensors, f"synthesis.b{r}.conv0.weight", 4)[0] for r in sides}
    depth = count_layers(tensors, r"mapping\.fc(\d+)\.weight")
    names = "mapping.fc0.weight", f"mapping.fc{depth - 1}.weight", "mapping.embed.weight"
    z_dim, w_dim, label_dim = _mapping(tensors, *names, transposed=False)
    derived = {"z_dim": z_dim, "w_dim": w_dim, "c_dim": label_dim, "img_resolution": sides[-1]}
    check_agrees(_said(network), derived)
    clamp = settings.conv_clamp(network)
    return _generator((z_dim, w_dim, label_dim), table, depth, clamp, "unscaled")


def nvidia_discriminator(network: Network) -> Config:
    """Architecture of a ``Discriminator`` of NVIDIA's PyTorch code."""
    settings.check_modules(network, settings.NVIDIA_DISCRIMINATOR)
    tensors = network.tensors
    sides = _sides(count_numbers(tensors, _NVIDIA_SIDE))
    out, into = shape_of(tensors, "b4.conv.weight", 4)[:2]
    table = {4: out} | {r: shape_of(tensors, f"b{r}.conv0.weight", 4)[0] for r in sides}
    names = "mapping.embed.weight", r"mapping\.fc(\d+)\.weight"
    label = _label(tensors, *names, transposed=False)
    derived = {"c_dim": label["label_dim"], "img_resolution": sides[-1]}
    check_agrees(_said(network), derived)
    return {
        "resolution": sides[-1],
        **label,
        **_channels(table),
        **_statistic(network, into - out),
        "conv_clamp": settings.conv_clamp(network),
    }


def _said(network: Network) -> Mapping[str, Any]:
    """What the file says of an NVIDIA network as a whole."""
    values = network.settings.get(INIT_KWARGS, network.settings.get("", {}))
    return values


def _statistic(network: Network, num_channels: int) -> Config:
    """The minibatch statistic; its channels show in the convolution that reads them."""
    built = network.settings.get(INIT_KWARGS)
    if built is not None:
        prefix = "mbstd_"
        said = {k.removeprefix(prefix): v for k, v in built.items() if str(k).startswith(prefix)}
    else:
        said = network.settings.get("b4.mbstd", {"group_size": None, "num_channels": 0})
    check_agrees(said, {"num_channels": num_channels})
    return _groups(said.get("group_size", 0), num_channels)


def _groups(size: Any, num_channels: int) -> Config:
    if size is not None and (type(size) is not int or size < 1):
        raise UserError(f"got mbstd_group_size={size}; expected a positive number or None")
    if num_channels < 0:
        raise UserError(f"got mbstd_num_channels={num_channels}; expected 0 or more")
    return {"mbstd_group_size": size, "mbstd_num_channels": num_channels, "mbstd_blocks": 1}


def tf_generator(network: Network) -> Config:
    """Architecture of a generator of NVIDIA's TensorFlow code."""
    settings.check_arguments(network, settings.TF_GENERATOR)
    tensors, said = network.tensors, network.settings[""]
    _check_unlabelled(said)
    sides = _sides(count_numbers(tensors, rf"synthesis/{_TF_SIDE}Conv0_up/weight"))
    table = {4: shape_of(tensors, "synthesis/4x4/Const/const", 4)[1]}
    table |= {r: shape_of(tensors, f"synthesis/{r}x{r}/Conv0_up/weight", 4)[3] for r in sides}
    depth = count_layers(tensors, r"mapping/Dense(\d+)/weight")
    names = "mapping/Dense0/weight", f"mapping/Dense{depth - 1}/weight", "mapping/LabelEmbed/weight"
    z_dim, w_dim, label_dim = _mapping(tensors, *names, transposed=True)
    derived = {"latent_size": z_dim, "dlatent_size": w_dim, "mapping_layers": depth}
    check_agrees(said, derived | {"label_size": label_dim, "resolution": sides[-1]})
    clamp = settings.limit(said.get("conv_clamp"))
    return _generator((z_dim, w_dim, label_dim), table, depth, clamp, "scaled")


def _check_unlabelled(said: Mapping[str, Any]) -> None:
    """StyleGAN2's own conditional networks, which ADA's replaced, are other networks."""
    if said[STATE_VERSION] == 4 and said.get("label_size"):
        raise UserError(
            f"got a network of StyleGAN2 (state version 4) with {said['label_size']} classes; "
            "expected none; conditional ones are supported from StyleGAN2-ADA on"
        )


TF_GROUP_SIZES: Mapping[int, int | None] = {4: 4, 5: None}
"""Size of the groups of the minibatch statistic by default, by the version of the state."""


def tf_discriminator(network: Network) -> Config:
    """Architecture of a discriminator of NVIDIA's TensorFlow code."""
    settings.check_arguments(network, settings.TF_DISCRIMINATOR)
    tensors, said = network.tensors, network.settings[""]
    _check_unlabelled(said)
    sides = _sides(count_numbers(tensors, rf"{_TF_SIDE}Conv0/weight"))
    into, out = shape_of(tensors, "4x4/Conv/weight", 4)[2:]
    table = {4: out} | {r: shape_of(tensors, f"{r}x{r}/Conv0/weight", 4)[3] for r in sides}
    label = _label(tensors, "LabelEmbed/weight", r"Mapping(\d+)/weight", transposed=True)
    derived = {"label_size": label["label_dim"], "resolution": sides[-1]}
    check_agrees(said, derived | {"mbstd_num_features": into - out})
    size = said.get("mbstd_group_size", TF_GROUP_SIZES[said[STATE_VERSION]])
    return {
        "resolution": sides[-1],
        **label,
        **_channels(table),
        **_groups(size, into - out),
        "conv_clamp": settings.limit(said.get("conv_clamp")),
    }
