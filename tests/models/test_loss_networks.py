"""Frozen loss networks see images as their own projects show them, and give what losses ask for."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.data.parsing_classes import BISENET_TO_CELEBAMASK
from alrl_jax.models.face_analyser import FaceAnalyser, unit_length
from alrl_jax.models.functional import apply
from alrl_jax.models.loss_networks import (
    CroppedEmbedder,
    IdentityNetwork,
    ParserNetwork,
    PerceptualNetwork,
    PoseNetwork,
    crop_face,
    resize_smoothly,
)
from alrl_jax.models.published.face_parser import FaceParser
from alrl_jax.models.published.hopenet import Hopenet, expected_degrees
from alrl_jax.models.published.lpips import LPIPS
from alrl_jax.models.resize import adaptive_pool_matrix, resize_bilinear
from alrl_jax.models.stylegan2 import ops

pytestmark = pytest.mark.usefixtures("quick_compilation")

IDS = tuple(BISENET_TO_CELEBAMASK[i] for i in range(19))


def images(count: int, side: int, seed: int = 0) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (count, side, side, 3)), "f4")


def pooled(image: np.ndarray, side: int) -> np.ndarray:
    """Adaptive average pooling, bin by bin."""
    size = image.shape[0]
    edges = [(i * size // side, math.ceil((i + 1) * size / side)) for i in range(side)]
    rows = np.stack([image[a:b].mean(axis=0) for a, b in edges])
    return np.stack([rows[:, a:b].mean(axis=1) for a, b in edges], axis=1)


@pytest.mark.parametrize("size", [64, 100, 256, 512])
def test_the_crop_is_pooled_in_the_bins_of_torch(size: int) -> None:
    faces = np.asarray(images(2, size), np.float64)
    frames = [pooled(face, 256)[35:223, 32:220] for face in faces]
    wanted = np.stack([pooled(frame, 112) for frame in frames])
    got = crop_face(jnp.asarray(faces, jnp.float32), 112)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_pooling_to_a_multiple_repeats_pixels() -> None:
    np.testing.assert_array_equal(adaptive_pool_matrix(3, 6), np.repeat(np.eye(3), 2, axis=0))
    np.testing.assert_array_equal(adaptive_pool_matrix(5, 3)[1], [0, 1 / 3, 1 / 3, 1 / 3, 0])


@pytest.fixture(scope="module")
def embedder() -> CroppedEmbedder:
    return CroppedEmbedder(
        resolution=32,
        widths=(4, 8, 8, 8),
        units=(1, 1, 1, 1),
        squeeze=None,
        iresnet=True,
        embedding_width=16,
    )


def test_a_published_embedder_finds_its_crop(embedder: CroppedEmbedder) -> None:
    wrapped, faces = IdentityNetwork(embedder), images(3, 64)
    variables = jax.jit(wrapped.init)(jax.random.key(0), faces)
    embed = jax.jit(wrapped.embed)
    embedding = embed(variables, faces)
    np.testing.assert_allclose(jnp.linalg.norm(embedding, axis=-1), 1.0, rtol=1e-5)
    cropped = jax.jit(embedder.apply)(variables, crop_face(faces, 32))
    np.testing.assert_allclose(embedding, cropped, rtol=1e-5, atol=1e-6)
    # What lies outside the crop says nothing; what lies inside does, and has a gradient.
    outside = faces.at[:, :, -8:].set(0.0).at[:, :7].set(0.0)
    np.testing.assert_allclose(embed(variables, outside), embedding, atol=1e-6)
    inside = embed(variables, faces.at[:, 30:34].set(0.0))
    assert float(jnp.abs(inside - embedding).max()) > 1e-3


def test_our_analyser_reads_and_embeds_in_one_pass() -> None:
    network = FaceAnalyser("residual", (4, 4), 8, 5, 6, 2)
    wrapped, faces = IdentityNetwork(network), images(2, 32)
    variables = jax.jit(wrapped.init)(jax.random.key(0), faces)
    plain = jax.jit(network.init)(jax.random.key(0), faces)
    jax.tree.map(np.testing.assert_array_equal, variables, plain)
    embedding, factors = jax.jit(wrapped.read)(variables, faces)
    assert factors is not None
    np.testing.assert_allclose(embedding, unit_length(factors.identity_vector), rtol=1e-5)
    np.testing.assert_allclose(embedding, jax.jit(wrapped.embed)(variables, faces), rtol=1e-5)


def test_perceptual_distances_are_those_of_the_network() -> None:
    network, reference, other = LPIPS("alex"), images(2, 32), images(2, 32, 1)
    variables = jax.jit(network.init)(jax.random.key(0), reference, reference)
    wrapped, measure = PerceptualNetwork(network), jax.jit(network.apply)
    got = jax.jit(wrapped.distance)(variables, other, reference)
    np.testing.assert_allclose(got, measure(variables, other, reference), rtol=1e-5)


def test_perceptual_distances_are_measured_at_a_side_of_their_own() -> None:
    network = FaceAnalyser("plain", (4,), 8, 5, 6, 2)
    large, other = images(2, 16), images(2, 16, 1)
    small, smaller = (ops.mean_pool(x) for x in (large, other))
    variables = network.init(jax.random.key(0), small)
    got = PerceptualNetwork(network, 8).distance(variables, large, other)
    np.testing.assert_array_equal(
        got, PerceptualNetwork(network).distance(variables, small, smaller)
    )
    np.testing.assert_array_equal(
        got, PerceptualNetwork(network, 8).distance(variables, small, smaller)
    )


def test_labels_of_the_parser_are_ours() -> None:
    """Resized for the network, decided, renumbered, brought to the size of the image."""
    network, faces = FaceParser(), images(2, 48)
    variables = jax.jit(network.init)(jax.random.key(0), faces)
    parser = ParserNetwork(network, 64, IDS)
    seen = resize_bilinear(faces, 64, 64, align_corners=False)
    logits = jax.jit(lambda v, x: apply(network, v, x)[0])(variables, seen)
    small = np.asarray(resize_bilinear(logits, 48, 48, align_corners=False)).argmax(-1)
    labels = np.asarray(jax.jit(parser.labels, static_argnums=2)(variables, faces, 48))
    assert labels.shape == (2, 48, 48) and len(np.unique(labels)) > 1
    assert np.mean(labels == np.vectorize(BISENET_TO_CELEBAMASK.__getitem__)(small)) > 0.999
    # Decisions are repeated in an image that is larger than what the network sees.
    large = jax.jit(ParserNetwork(network, 24, IDS).labels, static_argnums=2)(variables, faces, 48)
    np.testing.assert_array_equal(large, np.repeat(np.repeat(large[:, ::2, ::2], 2, 1), 2, 2))


def test_logits_of_the_parser_are_in_our_order_and_have_a_slope() -> None:
    network, faces = FaceParser(width=4), images(1, 16)
    variables = jax.jit(network.init)(jax.random.key(0), faces)
    parser = ParserNetwork(network, 32, IDS)

    @jax.jit
    def read(faces: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        logits = lambda x: parser.logits(variables, x, 16)  # noqa: E731
        made, pull = jax.vjp(logits, faces)
        return made, parser.labels(variables, faces, 16), pull(jnp.ones_like(made))[0]

    logits, labels, slope = read(faces)
    assert logits.shape == (1, 16, 16, 19) and len(np.unique(labels)) > 1
    assert np.mean(np.argmax(logits, axis=-1) == labels) > 0.99
    assert np.asarray(slope).any(axis=-1).all()


def test_poses_are_read_at_the_size_that_the_network_knows() -> None:
    network, faces = Hopenet((1, 1, 1, 1), width=4), images(2, 64)
    variables = jax.jit(network.init)(jax.random.key(0), images(1, 32))
    read = jax.jit(PoseNetwork(network, 32).degrees)
    small = faces.reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    wanted = expected_degrees(jax.jit(network.apply)(variables, small))
    np.testing.assert_allclose(read(variables, faces), wanted, atol=1e-3)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(PoseNetwork(network, 32).degrees(variables, x))))
    assert np.asarray(slope(faces)).any(axis=-1).mean() > 0.9, "a pixel was skipped"


def test_resizing_skips_no_pixel() -> None:
    faces = images(1, 64)
    np.testing.assert_allclose(resize_smoothly(faces, 64), faces)
    large = resize_smoothly(faces, 96)
    np.testing.assert_allclose(large, resize_bilinear(faces, 96, 96, align_corners=False))
    slope = jax.grad(lambda x: jnp.sum(resize_smoothly(x, 24)))(faces)
    assert (np.asarray(slope) > 0).all()
