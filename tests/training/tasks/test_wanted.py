"""What the losses compare with: which image each reading is from, known by the image's mean."""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.face_analyser import FaceAnalyser, FaceFactors
from alrl_jax.models.loss_networks import IdentityNetwork, PoseNetwork
from alrl_jax.models.published.hopenet import Hopenet
from alrl_jax.training.tasks import pooling
from alrl_jax.training.tasks.attribute_control import CONTROLLED_GROUPS, AttributeControl
from alrl_jax.training.tasks.loss_networks import LossNetworks
from alrl_jax.training.tasks.swap_forward import Drawn, SwapPairs
from alrl_jax.types import LatentCodes, SwapGates
from alrl_jax.worlds import primitives
from tests.support import tiny

SOURCE, TARGET, HIDDEN, WITNESS, GENERATED = 0.1, 0.2, 0.3, 0.4, 0.5
BATCH = 2
ASKS = jnp.asarray([True, False])
WEIGHTS = {"identity": 1.0, "identity_factors": 1.0, "attributes": 1.0}


class Mean(IdentityNetwork):
    """Reads the mean of an image as every factor of its face."""

    def read(self, variables: Any, images: jax.Array) -> tuple[jax.Array, FaceFactors]:
        mean = jnp.mean(images, axis=(1, 2, 3))
        wide = lambda n: jnp.repeat(mean[:, None], n, axis=1)  # noqa: E731
        width = len(primitives.ATTRIBUTE_FACTORS)
        return wide(4), FaceFactors(wide(4), wide(width), wide(3), wide(2)[:, None])


MEAN = Mean(FaceAnalyser("plain", (4,), 4, 4, len(primitives.ATTRIBUTE_FACTORS), 1))


@pytest.fixture(scope="module")
def networks() -> LossNetworks:
    return LossNetworks(MEAN, {}, WEIGHTS, controlled=primitives.ATTRIBUTE_FACTORS)


def plain(value: float) -> jax.Array:
    return jnp.full((BATCH, tiny.RESOLUTION, tiny.RESOLUTION, 3), value)


def pairs(witness: bool, control: AttributeControl | None = None) -> SwapPairs:
    """Of images at 8 pixels for the losses; the target is hidden from the networks."""
    batch = tiny.random_batch("pairs", BATCH)
    faces = lambda value: tiny.random_faces(BATCH).replace(image=plain(value))  # noqa: E731
    batch = batch.replace(
        source=faces(SOURCE), target=faces(TARGET), witness=plain(WITNESS) if witness else None
    )
    return pooling.pool_pairs(batch, faces(HIDDEN), control, 8)


GIVEN = jnp.full((BATCH, 4), -1.0)


def test_identities_are_read_from_another_image_where_there_is_one(
    networks: LossNetworks,
) -> None:
    wanted = networks.wanted({"identity": {}}, pairs(witness=True), GIVEN)
    assert wanted.person is not None
    np.testing.assert_allclose(wanted.embedding, WITNESS, rtol=1e-6)
    np.testing.assert_allclose(wanted.person.identity_vector, WITNESS, rtol=1e-6)


def test_identities_are_the_sources_without_another_image(networks: LossNetworks) -> None:
    wanted = networks.wanted({"identity": {}}, pairs(witness=False), GIVEN)
    assert wanted.person is not None
    np.testing.assert_array_equal(wanted.embedding, GIVEN)
    np.testing.assert_allclose(wanted.person.identity_vector, SOURCE, rtol=1e-6)


def test_attributes_are_those_of_the_target_as_it_is(networks: LossNetworks) -> None:
    wanted = networks.wanted({"identity": {}}, pairs(witness=True), GIVEN)
    assert wanted.attributes is not None
    np.testing.assert_allclose(wanted.attributes.attribute_vector, TARGET, rtol=1e-6)
    np.testing.assert_allclose(wanted.attributes.pose_degrees, TARGET, rtol=1e-6)


def test_attributes_that_a_pair_asks_for_are_the_sources(networks: LossNetworks) -> None:
    control = AttributeControl(ASKS, jnp.asarray(CONTROLLED_GROUPS.index("pose")))
    wanted = networks.wanted({"identity": {}}, pairs(True, control), GIVEN)
    assert wanted.attributes is not None
    degrees = wanted.attributes.pose_degrees
    np.testing.assert_allclose(degrees[:, 0], [SOURCE, TARGET], rtol=1e-6)


def test_swaps_are_read_before_the_blend(networks: LossNetworks) -> None:
    codes = LatentCodes(jnp.zeros((BATCH, 4, 4, 1)), jnp.zeros((BATCH, 2, 4)))
    gates = SwapGates(*[jnp.zeros(shape) for shape in ((2, 1), (2, 2, 1), (2, 2, 1), (2, 1, 1))])
    mask = jnp.ones((BATCH, tiny.RESOLUTION, tiny.RESOLUTION, 1))
    drawn = Drawn(plain(0.9), plain(GENERATED), mask, codes, gates, None)
    read = networks.read({"identity": {}}, pairs(witness=True), pooling.pool_drawn(drawn, 8))
    assert read.factors is not None
    np.testing.assert_allclose(read.embedding, GENERATED, rtol=1e-6)
    np.testing.assert_allclose(read.factors.identity_vector, GENERATED, rtol=1e-6)
    assert (read.distance, read.self_distance, read.true_distance) == (None, None, None)
    assert (read.pose_degrees, read.parts) == (None, None)


class MeanPose(PoseNetwork):
    """Reads the mean of a picture as every angle of its head."""

    def degrees(self, variables: Any, images: jax.Array) -> jax.Array:
        return jnp.repeat(jnp.mean(images, axis=(1, 2, 3))[:, None], 3, axis=1)


def test_poses_are_the_targets_but_for_pairs_that_ask(networks: LossNetworks) -> None:
    reader = copy.copy(networks)
    reader.pose = MeanPose(Hopenet(), 8)
    frozen = {"identity": {}, "pose": {}}
    for group, first in (("pose", SOURCE), ("gaze", TARGET)):
        control = AttributeControl(ASKS, jnp.asarray(CONTROLLED_GROUPS.index(group)))
        wanted = reader.wanted(frozen, pairs(True, control), GIVEN)
        assert wanted.pose_degrees is not None
        np.testing.assert_allclose(wanted.pose_degrees[:, 0], [first, TARGET], rtol=1e-6)
        np.testing.assert_array_equal(wanted.keeps, ~ASKS)
    wanted = reader.wanted(frozen, pairs(True), GIVEN)
    assert wanted.pose_degrees is not None and wanted.keeps.all()
    np.testing.assert_allclose(wanted.pose_degrees, TARGET, rtol=1e-6)


def test_what_no_loss_reads_is_not_read() -> None:
    silent = LossNetworks(MEAN, {}, dict.fromkeys(WEIGHTS, 0.0))
    wanted = silent.wanted({}, pairs(witness=True), GIVEN)
    assert wanted.person is None and wanted.attributes is None and wanted.target_labels is None


def test_pairs_are_pooled_for_the_losses_and_whole_for_the_networks() -> None:
    made = pairs(witness=True)
    assert made.whole_source.shape[1] == made.whole_target.shape[1] == tiny.RESOLUTION
    pooled = (made.source.image, made.target.image, made.truth, made.witness)
    assert [image.shape[1] for image in pooled if image is not None] == [8] * 4
    values = [float(x.mean()) for x in (made.whole_target, made.target.image, made.truth)]
    np.testing.assert_allclose(values, [HIDDEN, HIDDEN, TARGET], rtol=1e-6)
    assert made.true_swap is None


@pytest.mark.parametrize(("asked", "side"), [(0, 8), (4, 4)])
def test_distances_in_an_identity_net_are_measured_where_it_is_at_home(
    asked: int, side: int
) -> None:
    small = IdentityNetwork(MEAN.network, side=8)
    networks = LossNetworks(small, {}, {"perceptual": 1.0}, asked)
    assert networks.perceptual is not None and networks.perceptual.side == side
