"""Networks from the plain values that a ``model.json`` or a config holds."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp

from alrl_jax.models.face_analyser import FaceAnalyser
from alrl_jax.models.loss_networks import (
    PARSER_SIDE,
    CroppedEmbedder,
    IdentityNetwork,
    ParserNetwork,
    PoseNetwork,
)
from alrl_jax.models.published import hopenet
from alrl_jax.models.published.face_backbones import FaceEmbedder
from alrl_jax.models.published.face_parser import FaceParser
from alrl_jax.models.published.hopenet import Hopenet
from alrl_jax.models.published.inception import Inception
from alrl_jax.models.published.lpips import LPIPS
from alrl_jax.models.published.psp import StyleEncoder
from alrl_jax.models.published.resnet import STEM_WIDTH
from alrl_jax.models.stylegan2 import packed
from alrl_jax.models.stylegan2.discriminator import Discriminator
from alrl_jax.models.stylegan2.generator import Generator, channel_table, num_latents
from alrl_jax.models.swapper.backbones import BACKBONES, CodeShapes, Encoder
from alrl_jax.models.swapper.selection import SELECTORS, AdaptiveSwap, FixedSwap
from alrl_jax.models.swapper.swapper import PARSER_MASK, Swapper
from alrl_jax.models.swapper.target_features import TargetFeatures, injected_channels
from alrl_jax.models.swapper.transfers import TRANSFERS, LearnedTransfer

Values = Mapping[str, Any]

COMPUTE_DTYPES = ("float32", "bfloat16")
"""Types in which networks can compute; weights are float32."""


def build_generator(values: Values, remat: str = "none") -> Generator:
    """A generator from the fields of ``Generator``; fields that other networks own are left out."""
    fields: dict[str, Any] = {"remat": remat}
    fields |= {k: v for k, v in values.items() if k in Generator.__dataclass_fields__}
    if fields.get("channels") is not None:
        fields["channels"] = tuple((int(r), int(c)) for r, c in fields["channels"])
    if "dtype" in fields:
        fields["dtype"] = jnp.dtype(fields["dtype"])
    generator = Generator(**fields)
    last = _channels(generator)[generator.resolution]
    return generator.clone(packed=packed.pays(last))


def _channels(generator: Generator) -> dict[int, int]:
    """Feature maps of a generator at every resolution."""
    sizes = generator.channel_base, generator.channel_max, generator.channels
    return channel_table(generator.resolution, *sizes)


def build_discriminator(values: Values) -> Discriminator:
    """A discriminator from the fields of ``Discriminator``."""
    fields = {k: v for k, v in values.items() if k in Discriminator.__dataclass_fields__}
    if fields.get("channels") is not None:
        fields["channels"] = tuple((int(r), int(c)) for r, c in fields["channels"])
    if "dtype" in fields:
        fields["dtype"] = jnp.dtype(fields["dtype"])
    return Discriminator(**fields)


def build_analyser(values: Values) -> FaceAnalyser:
    """A face analyser from the fields of ``FaceAnalyser``."""
    fields = {k: v for k, v in values.items() if k in FaceAnalyser.__dataclass_fields__}
    lists = {name: tuple(fields[name]) for name in ("widths", "glimpses") if name in fields}
    return FaceAnalyser(**{**fields, **lists})


def build_identity_network(values: Values) -> IdentityNetwork:
    """An identity net by its ``kind``: our analyser where that is absent, else an embedder."""
    if "kind" not in values:
        return IdentityNetwork(build_analyser(values), int(values.get("resolution", 0)))
    fields = _body_fields(values, FaceEmbedder.__dataclass_fields__)
    return IdentityNetwork(CroppedEmbedder(**fields))


def build_swapper(values: Values, remat: str = "none") -> Swapper:
    """A swapper from the config of a ``swapper`` model directory.

    Args:
        values: ``generator``, ``identity``, ``encoder``, ``swap`` and ``attribute_groups``; and
            ``parser`` where its face region is the mask.
        remat: what the backward pass keeps of a block of the generator and of a unit of an
            ``ir_se`` encoder, see ``REMAT_POLICIES``.
    """
    generator = build_generator(values["generator"], remat)
    encoder, swap = values["encoder"], values["swap"]
    groups, layers = tuple(values["attribute_groups"]), num_latents(generator.resolution)
    return Swapper(
        encoder=build_encoder(encoder, generator, remat),
        selector=build_selector(swap, groups, layers),
        generator=generator,
        identity=build_identity_network(values["identity"]),
        pose_space=encoder["pose_space"],
        feather=swap["feather"],
        encoder_resolution=encoder.get("resolution", 0),
        mask=swap.get("mask", "learned"),
        head_labels=tuple(swap.get("head_labels", ())),
        target_features=build_target_features(swap, groups, generator, encoder),
        **_parser_mask(values) if swap.get("mask") == PARSER_MASK else {},
    )


def _parser_mask(values: Values) -> dict[str, Any]:
    """What a swapper has whose mask is a parser's."""
    parser = values["parser"]
    return {
        "parser": build_parser_network(parser, tuple(parser["class_ids"])),
        "face_labels": tuple(values["swap"]["face_labels"]),
    }


def build_target_features(
    values: Values, attribute_groups: tuple[str, ...], generator: Generator, encoder: Values
) -> TargetFeatures | None:
    """What lets the target's features into the generator; None where a swapper has nothing of it.

    Args:
        values: ``target_features``, an entry of ``SPACE_GATES``; ``none`` where it is absent.
        attribute_groups: what a caller can take from either face.
        generator: whose features are added to.
        encoder: plain values of the encoder, whose ``resolution`` says where features enter.
    """
    gates = values.get("target_features", "none")
    if gates == "none":
        return None
    side = encoder.get("resolution", 0) or generator.resolution
    table = _channels(generator)
    # The last block has no next one to read what it is given.
    blocks = [(side_, n) for side_, n in table.items() if side_ < generator.resolution]
    return TargetFeatures(attribute_groups, injected_channels(blocks, side), gates)


def build_selector(
    values: Values, attribute_groups: tuple[str, ...], num_layers: int
) -> AdaptiveSwap | FixedSwap | LearnedTransfer:
    """What selects codes, by the name that ``selector`` gives; ``adaptive`` where it is absent.

    Args:
        values: ``selector``, fields of ``AdaptiveSwap``, and ``source_weights`` of a fixed
            selection that has no rule.
        attribute_groups: what a caller can take from either face.
        num_layers: layers of W+.
    """
    name = values.get("selector", "adaptive")
    if name == "adaptive":
        return AdaptiveSwap(
            attribute_groups=attribute_groups,
            channel_groups=values["channel_groups"],
            width=values["width"],
            gate_mode=values["gate_mode"],
            pose_transfer=values.get("pose_transfer", False),
            context=values.get("context", 0),
            normalised=values.get("normalised", False),
            owner_deviation=values.get("owner_deviation", 1.0),
            source_weights=tuple(values.get("source_weights", ())),
        )
    if name in TRANSFERS:
        return TRANSFERS[name](
            attribute_groups,
            values["channel_groups"],
            values["width"],
            values.get("pose_transfer", False),
            values.get("context", 0),
        )
    rule = SELECTORS.get(name)
    source_weights = rule(num_layers) if rule is not None else values["source_weights"]
    return FixedSwap(attribute_groups, tuple(float(share) for share in source_weights))


def build_encoder(values: Values, generator: Generator, remat: str = "none") -> Encoder:
    """A dual-space encoder for a generator.

    Args:
        values: what the backbone's entry in ``BACKBONES`` reads, and ``backbone`` where it is not
            ``residual``.
        generator: gives the shapes of the codes.
        remat: see ``build_swapper``.
    """
    shapes = CodeShapes(
        constant_channels(generator), num_latents(generator.resolution), generator.w_dim
    )
    return BACKBONES[values.get("backbone", "residual")].build(values, shapes, remat)


def constant_channels(generator: Generator) -> int:
    """Channels of the generator's 4x4 constant, which are those of the pose code."""
    table = _channels(generator)
    return table[4]


def build_lpips(values: Values) -> LPIPS:
    """LPIPS on the backbone that ``backbone`` names."""
    return LPIPS(values["backbone"])


def build_face_parser(values: Values) -> FaceParser:
    """A face parser of ``num_classes`` classes; ``width`` where it is not the published one's."""
    return FaceParser(values["num_classes"], values.get("width", STEM_WIDTH))


def build_parser_network(values: Values, class_ids: tuple[int, ...]) -> ParserNetwork:
    """A face parser that labels; ``resolution`` is what it sees where that is not the usual."""
    resolution = int(values.get("resolution", PARSER_SIDE))
    return ParserNetwork(build_face_parser(values), resolution, class_ids)


def build_hopenet(values: Values) -> Hopenet:
    """A Hopenet with stages of ``depths`` blocks; ``width`` where it is not the published one's."""
    return Hopenet(tuple(values["depths"]), values.get("width", STEM_WIDTH))


def build_pose_network(values: Values) -> PoseNetwork:
    """A Hopenet that reads poses; ``resolution`` is what it sees where that is not the usual."""
    return PoseNetwork(build_hopenet(values), int(values.get("resolution", hopenet.SIDE)))


def build_inception(_: Values) -> Inception:
    """FID's Inception, of which there is one."""
    return Inception()


def build_face_embedder(values: Values) -> FaceEmbedder:
    """A face embedder from the fields of ``FaceEmbedder``."""
    return FaceEmbedder(**_body_fields(values, FaceEmbedder.__dataclass_fields__))


def build_style_encoder(values: Values) -> StyleEncoder:
    """An encoder into W+ from the fields of ``StyleEncoder``."""
    return StyleEncoder(**_body_fields(values, StyleEncoder.__dataclass_fields__))


def _body_fields(values: Values, names: Iterable[str]) -> dict[str, Any]:
    """The fields of a network with a residual body; those that others own are left out."""
    fields = {name: values[name] for name in names if name in values}
    if "dtype" in fields:
        fields["dtype"] = jnp.dtype(fields["dtype"])
    return fields | {"widths": tuple(values["widths"]), "units": tuple(values["units"])}
