"""A user's code, for the type checker alone: what comes of every public way to open a model."""

from pathlib import Path
from typing import assert_type

from jax import Array

import alrl_jax
from alrl_jax import loading, synthetic
from alrl_jax.loading.protocols import DistanceNetwork, Judge, MeasuringNetwork, Swapper
from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.types import SwapGates, SwapOutput
from alrl_jax.worlds import World


def swap(directory: Path, source: Array, target: Array) -> Array:
    """A swap, and the kinds of its parts."""
    model = alrl_jax.load_swapper(directory)
    assert_type(model, loading.SwapperModel)
    output = model.swap(source, target, pose_from="source", groups={"expression": "target"})
    assert_type(output, SwapOutput)
    assert_type(output.gates, SwapGates)
    assert_type(model.selectors, tuple[str, ...])
    return output.image + output.mask * output.generated


def generate(directory: str, z: Array) -> Array:
    """Images of latents."""
    model = alrl_jax.load_generator(directory)
    assert_type(model, loading.GeneratorModel)
    return model.synthesize(model.map(z, truncation_psi=0.7), noise_mode="none")


def open_others(directory: str, images: Array) -> dict[str, Array]:
    """Every other kind by its own function."""
    assert_type(loading.load_analyser(directory, "judge").predict(images), FaceFactors)
    return {
        "logits": loading.load_discriminator(directory)(images),
        "codes": loading.load_style_encoder(directory)(images),
        "features": loading.load_style_encoder(directory).features(images)[0],
        "embeddings": loading.load_face_embedder(directory)(images),
        "distances": loading.load_lpips(directory)(images, images),
        "classes": loading.load_face_parser(directory)(images),
        "degrees": loading.load_hopenet(directory)(images),
        "inception": loading.load_inception(directory)(images),
    }


def needs(
    swapper: Swapper, judge: Judge, network: MeasuringNetwork, distance: DistanceNetwork
) -> None:
    """What an evaluation asks of models."""


def offers(directory: str) -> World:
    """Every class has what an evaluation asks of it, and a world is a world."""
    swapper, judge = alrl_jax.load_swapper(directory), loading.load_analyser(directory)
    needs(swapper, judge, loading.load_face_embedder(directory), loading.load_lpips(directory))
    needs(swapper, judge, judge, loading.load_lpips(directory))
    needs(swapper, judge, loading.load_face_parser(directory), loading.load_lpips(directory))
    return synthetic


def refused(directory: str, images: Array) -> None:
    """Mistakes that a type checker finds: without one of them, the comment is an error itself."""
    model = alrl_jax.load(directory)
    assert_type(model, alrl_jax.Model)
    model.swap(images, images)  # pyright: ignore[reportAttributeAccessIssue]
    alrl_jax.load_generator(directory).swap  # pyright: ignore  # noqa: B018
    alrl_jax.load_swapper(directory).swap(images)  # pyright: ignore[reportCallIssue]
    loading.load_analyser(directory, "swapper")  # pyright: ignore[reportArgumentType]
    judge: Judge = loading.load_hopenet(directory)  # pyright: ignore[reportAssignmentType]
    world: World = loading  # pyright: ignore[reportAssignmentType]
    print(judge, world)
