"""``alrl_jax.load`` for one kind of model each, so that a type checker knows what comes of it.

Every function takes a model directory, a work directory or ``embedded/NAME``, as ``load`` does, and
raises a ``UserError`` where there is no model or one of another kind.
"""

from pathlib import Path
from typing import Literal

from alrl_jax.loading.analyser import AnalyserModel
from alrl_jax.loading.discriminator import DiscriminatorModel
from alrl_jax.loading.faces import FaceEmbedderModel, StyleEncoderModel
from alrl_jax.loading.generator import GeneratorModel
from alrl_jax.loading.loader import load_as
from alrl_jax.loading.measuring import FaceParserModel, HopenetModel, InceptionModel, LPIPSModel
from alrl_jax.loading.swapper import SwapperModel

Directory = str | Path

CONVERTED = "take what alrl convert-weights --kind={} makes"


def load_swapper(directory: Directory) -> SwapperModel:
    """Opens a model that swaps faces: pairs of images to ``SwapOutput``."""
    remedy = "take embedded/swapper_64 or train the task swap"
    return load_as(SwapperModel, directory, remedy)


def load_generator(directory: Directory) -> GeneratorModel:
    """Opens a StyleGAN2 generator: latents to W+ codes to images."""
    remedy = "take what alrl convert-weights or configs with task generator make"
    return load_as(GeneratorModel, directory, remedy)


def load_discriminator(directory: Directory) -> DiscriminatorModel:
    """Opens a discriminator: images to logits."""
    return load_as(DiscriminatorModel, directory, CONVERTED.format("discriminator"))


def load_analyser(
    directory: Directory, kind: Literal["identity", "judge"] | None = None
) -> AnalyserModel:
    """Opens an analyser: faces to the factors that made them.

    Args:
        directory: see ``load``.
        kind: the only kind to accept; None accepts both.
    """
    remedy = "take embedded/judge_64 or train the task identity"
    return load_as(AnalyserModel, directory, remedy, kind)


def load_style_encoder(directory: Directory) -> StyleEncoderModel:
    """Opens an encoder of kind ``psp`` or ``e4e``: faces to W+ codes."""
    return load_as(StyleEncoderModel, directory, CONVERTED.format("psp"))


def load_face_embedder(directory: Directory) -> FaceEmbedderModel:
    """Opens a network of kind ``arcface`` or ``iresnet``: faces to unit embeddings of identity."""
    return load_as(FaceEmbedderModel, directory, CONVERTED.format("arcface"))


def load_lpips(directory: Directory) -> LPIPSModel:
    """Opens LPIPS: pairs of images to distances."""
    return load_as(LPIPSModel, directory, CONVERTED.format("lpips"))


def load_face_parser(directory: Directory) -> FaceParserModel:
    """Opens a face parser: images to logits of the classes of every pixel."""
    return load_as(FaceParserModel, directory, CONVERTED.format("face_parser"))


def load_hopenet(directory: Directory) -> HopenetModel:
    """Opens Hopenet: faces to yaw, pitch and roll in degrees."""
    return load_as(HopenetModel, directory, CONVERTED.format("hopenet"))


def load_inception(directory: Directory) -> InceptionModel:
    """Opens Inception: images to the features of FID."""
    return load_as(InceptionModel, directory, CONVERTED.format("inception"))
