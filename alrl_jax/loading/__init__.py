"""What ``alrl_jax.load`` gives: every kind of model, ready to use."""

from alrl_jax.loading.analyser import AnalyserModel
from alrl_jax.loading.base import Model
from alrl_jax.loading.by_kind import (
    load_analyser,
    load_discriminator,
    load_face_embedder,
    load_face_parser,
    load_generator,
    load_hopenet,
    load_inception,
    load_lpips,
    load_style_encoder,
    load_swapper,
)
from alrl_jax.loading.discriminator import DiscriminatorModel
from alrl_jax.loading.faces import FaceEmbedderModel, StyleEncoderModel
from alrl_jax.loading.generator import GeneratorModel
from alrl_jax.loading.loader import load
from alrl_jax.loading.measuring import FaceParserModel, HopenetModel, InceptionModel, LPIPSModel
from alrl_jax.loading.swapper import SwapperModel

__all__ = [
    "AnalyserModel",
    "DiscriminatorModel",
    "FaceEmbedderModel",
    "FaceParserModel",
    "GeneratorModel",
    "HopenetModel",
    "InceptionModel",
    "LPIPSModel",
    "Model",
    "StyleEncoderModel",
    "SwapperModel",
    "load",
    "load_analyser",
    "load_discriminator",
    "load_face_embedder",
    "load_face_parser",
    "load_generator",
    "load_hopenet",
    "load_inception",
    "load_lpips",
    "load_style_encoder",
    "load_swapper",
]
