"""Losses of the swap against NumPy: every entry of the table on one forward pass, then by hand."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.face_analyser import FaceFactors
from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.training.losses import swap
from alrl_jax.training.losses.face_parts import PARTS, FaceParts
from alrl_jax.training.losses.table import LOSSES, evaluate
from alrl_jax.training.tasks.swap_forward import (
    Constants,
    Drawn,
    Encoded,
    Read,
    SwapForward,
    SwapPairs,
    Wanted,
)
from alrl_jax.types import UNLABELLED, FaceBatch, LatentCodes, ParsingLabels, SwapGates
from tests.support import target_oracles
from tests.support.target_oracles import sigmoid

BATCH, SIDE, LAYERS, WIDTH, GROUPS = 3, 4, 5, 6, 2
FACE_CLASSES = (1, 2, 4, 10)
RNG = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def uniform(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.uniform(0.05, 0.95, shape), jnp.float32)


def any_image() -> jax.Array:
    return normal(BATCH, SIDE, SIDE, 3)


def classes() -> jax.Array:
    some = RNG.integers(0, 19, (BATCH, SIDE, SIDE))
    return jnp.asarray(np.where(RNG.random(some.shape) < 0.2, UNLABELLED, some), jnp.int32)


def face() -> FaceBatch:
    """Of the second face nothing is known, and of the first not all."""
    return FaceBatch(
        image=any_image(),
        parsing=classes(),
        identity=jnp.arange(BATCH),
        identity_factors=normal(BATCH, 2).at[0, 1].set(jnp.nan),
        attribute_factors=normal(BATCH, 3).at[0, 0].set(jnp.nan),
        pose_degrees=20.0 * normal(BATCH, 3),
        landmarks=normal(BATCH, 1, 2),
        labelled=jnp.asarray([True, False, True]),
    )


def encoding() -> FaceEncoding:
    codes = LatentCodes(normal(BATCH, 4, 4, 2), normal(BATCH, LAYERS, WIDTH))
    return FaceEncoding(codes, normal(BATCH, SIDE, SIDE, 1), normal(BATCH, SIDE, SIDE, 19))


def factors() -> FaceFactors:
    return FaceFactors(
        normal(BATCH, 4), normal(BATCH, 5), 20.0 * normal(BATCH, 3), normal(BATCH, 1, 2)
    )


def labels(*known: bool) -> ParsingLabels:
    return ParsingLabels(classes(), jnp.asarray(known))


def parts() -> FaceParts:
    """Of the second face, one part or another is not there."""
    area = uniform(BATCH, len(PARTS)).at[1, RNG.integers(len(PARTS))].set(0.0)
    lengths = (uniform(BATCH, len(PARTS)) for _ in range(2))
    return FaceParts(
        area, uniform(BATCH, len(PARTS), 2), *lengths, normal(BATCH, 2, 2), uniform(BATCH)
    )


def gates() -> SwapGates:
    layers = (BATCH, LAYERS, GROUPS)
    owners = uniform(LAYERS, GROUPS, 3)
    return SwapGates(uniform(BATCH, GROUPS), uniform(*layers), uniform(*layers) ** 2, owners)


# No two parts are alike: an entry that names a wrong one gives another number.
FORWARD = SwapForward(
    pairs=SwapPairs(
        source=face(),
        target=face(),
        truth=any_image(),
        same_identity=jnp.asarray([True, False, True]),
        whole_source=any_image(),
        whole_target=any_image(),
        witness=any_image(),
        true_swap=any_image(),
        keeps_background=jnp.asarray([True, True, False]),
        control=None,
    ),
    encoded=Encoded(encoding(), encoding(), encoding(), normal(BATCH, 4)),
    drawn=Drawn(
        image=any_image(),
        generated=any_image(),
        mask=uniform(BATCH, SIDE, SIDE, 1),
        codes=LatentCodes(normal(BATCH, 4, 4, 2), normal(BATCH, LAYERS, WIDTH)),
        gates=gates(),
        reconstructed=any_image(),
    ),
    wanted=Wanted(
        normal(BATCH, 4),
        factors(),
        factors(),
        labels(True, False, True),
        labels(False, True, True),
        pose_degrees=20.0 * normal(BATCH, 3),
        parts=parts(),
        keeps=jnp.asarray([True, True, False]),
    ),
    read=Read(
        normal(BATCH, 4),
        factors(),
        uniform(BATCH),
        uniform(BATCH),
        uniform(BATCH),
        normal(BATCH, 4),
        uniform(BATCH),
        20.0 * normal(BATCH, 3),
        parts(),
    ),
    probe_factors=normal(BATCH, 5),
    fake_logits=normal(BATCH, 1),
    constants=Constants(jnp.asarray(FACE_CLASSES), normal(WIDTH), jnp.asarray(0.7)),
)


def weighted_l1(image: Any, wanted: Any, mask: Any) -> np.ndarray:
    """Where the mask is 0, a pixel counts a quarter."""
    values = []
    for a, b, m in zip(np.asarray(image), np.asarray(wanted), np.asarray(mask), strict=True):
        weights = np.repeat(0.25 + 0.75 * m, 3, axis=-1)
        values.append(np.average(np.abs(a - b), weights=weights))
    return np.array(values)


def bits(p: Any) -> np.ndarray:
    """Entropy in nats."""
    p = np.asarray(p, np.float64)
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def one_region(logits: Any, found: ParsingLabels) -> float:
    """Mean of cross-entropy and Dice over the faces that are known."""
    values = []
    for x, seen, known in zip(logits, found.classes, found.known, strict=True):
        if known:
            p, t = sigmoid(x)[..., 0], np.isin(seen, FACE_CLASSES).astype(float)
            crossed = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
            values.append(crossed + 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    return float(np.mean(values))


def region(f: SwapForward) -> float:
    source = one_region(f.encoded.source.region_logits, f.wanted.source_labels)
    return source + one_region(f.encoded.target.region_logits, f.wanted.target_labels)


def parsing(f: SwapForward) -> float:
    found, values = f.wanted.target_labels, []
    logits = np.asarray(f.encoded.target.parsing_logits, np.float64)
    for b, y, x in np.ndindex(BATCH, SIDE, SIDE):
        truth = int(found.classes[b, y, x])
        if found.known[b] and truth != UNLABELLED:
            values.append(np.log(np.exp(logits[b, y, x]).sum()) - logits[b, y, x, truth])
    return float(np.mean(values))


def attributes(f: SwapForward) -> float:
    read, wanted = f.read.factors, f.wanted.attributes
    degrees = np.asarray(read.pose_degrees) - np.asarray(wanted.pose_degrees)
    others = np.asarray(read.attribute_vector) - np.asarray(wanted.attribute_vector)
    return np.mean(others**2) + np.mean(degrees**2) / 100


def attribute_groups(f: SwapForward) -> float:
    target = f.pairs.target
    truth = np.concatenate([target.identity_factors, target.attribute_factors], axis=1)
    errors = np.asarray(f.probe_factors) - truth
    return np.mean(errors[[0, 2]][np.isfinite(truth[[0, 2]])] ** 2)


def background(f: SwapForward) -> float:
    outside = 1 - np.repeat(np.asarray(f.drawn.mask), 3, axis=-1)
    error = np.abs(np.asarray(f.drawn.generated) - f.pairs.target.image) * outside
    return np.mean(error[np.asarray(f.pairs.keeps_background)])


def information(f: SwapForward) -> float:
    p = np.asarray(f.drawn.gates.probabilities)
    return -(np.mean(bits(p.mean(0))) - np.mean(bits(p)))


SAME = [0, 2]
ORACLES: dict[str, Callable[[SwapForward], Any]] = {
    "identity": lambda f: np.mean(
        [1 - a @ b for a, b in zip(f.read.embedding, f.wanted.embedding, strict=True)]
    ),
    "blended_identity": lambda f: np.mean(
        [1 - a @ b for a, b in zip(f.read.blended_embedding, f.wanted.embedding, strict=True)]
    ),
    "blended_reconstruction": lambda f: np.mean(
        np.abs(np.asarray(f.drawn.image) - f.pairs.truth)[SAME]
    ),
    "blended_perceptual": lambda f: np.asarray(f.read.blended_distance)[SAME].mean(),
    "identity_factors": lambda f: np.mean(
        (f.read.factors.identity_vector - f.wanted.person.identity_vector) ** 2
    ),
    "attributes": attributes,
    "pose": lambda f: np.mean((f.read.pose_degrees - f.wanted.pose_degrees) ** 2) / 100,
    "landmarks": target_oracles.landmarks,
    "expression": target_oracles.expression,
    "gaze": target_oracles.gaze,
    "light": target_oracles.light,
    "reconstruction": lambda f: weighted_l1(f.drawn.generated, f.pairs.truth, f.drawn.mask)[
        SAME
    ].mean(),
    "perceptual": lambda f: np.asarray(f.read.distance)[SAME].mean(),
    "self_reconstruction": lambda f: weighted_l1(
        f.drawn.reconstructed, f.pairs.source.image, sigmoid(f.encoded.source.region_logits)
    ).mean(),
    "self_perceptual": lambda f: np.asarray(f.read.self_distance).mean(),
    "region": region,
    "parsing": parsing,
    "background": background,
    "pose_consistency": lambda f: np.mean(
        (f.encoded.generated.codes.pose - f.drawn.codes.pose) ** 2
    ),
    "attribute_consistency": lambda f: np.mean(
        (f.encoded.generated.codes.attributes - f.drawn.codes.attributes) ** 2
    ),
    "latent": lambda f: np.mean((f.encoded.target.codes.attributes - f.constants.w_avg) ** 2),
    "gate_budget": lambda f: (np.mean(f.drawn.gates.probabilities) - 0.7) ** 2,
    "gate_entropy": lambda f: np.mean(bits(f.drawn.gates.probabilities)),
    "gate_information": information,
    "attribute_groups": attribute_groups,
    "adversarial": lambda f: np.mean(np.log(1 + np.exp(-np.asarray(f.fake_logits, np.float64)))),
    "supervised": lambda f: (
        weighted_l1(f.drawn.generated, f.pairs.true_swap, f.drawn.mask).mean()
        + np.mean(f.read.true_distance) / 8
    ),
}


def test_every_loss_has_an_oracle() -> None:
    missing = LOSSES["swap"].keys() ^ ORACLES.keys()
    assert not missing, "write an oracle in NumPy for every loss, in ORACLES"


@pytest.mark.parametrize("name", ORACLES)
def test_every_loss_is_its_oracle(name: str) -> None:
    value = float(evaluate(LOSSES["swap"][name], FORWARD))
    assert value == pytest.approx(float(ORACLES[name](FORWARD)), rel=1e-5)


def test_the_oracles_tell_the_parts_apart() -> None:
    values = [float(oracle(FORWARD)) for oracle in ORACLES.values()]
    assert len({round(value, 4) for value in values}) == len(values)


def half(inside: float, outside: float) -> jax.Array:
    """An image of 4 x 4 pixels whose left half has one value and the right one another."""
    return jnp.full((1, 4, 4, 1), outside).at[:, :, :2].set(inside)


def test_reconstruction_looks_at_the_face_first() -> None:
    black, yes = jnp.zeros((1, 4, 4, 3)), jnp.ones((1,), bool)
    wide = lambda x: jnp.broadcast_to(x, black.shape)  # noqa: E731
    in_face, beside = wide(half(1.0, 0.0)), wide(half(0.0, 1.0))
    face_mask = half(1.0, 0.0)
    assert float(swap.reconstruction(in_face, black, face_mask, yes)) == pytest.approx(0.8)
    assert float(swap.reconstruction(beside, black, face_mask, yes)) == pytest.approx(0.2)
    logits = half(100.0, -100.0)
    assert float(swap.self_reconstruction(in_face, black, logits)) == pytest.approx(0.8)
    assert float(swap.self_reconstruction(beside, black, logits)) == pytest.approx(0.2)


def test_the_background_is_outside_of_the_mask() -> None:
    black = jnp.zeros((1, 4, 4, 3))
    beside, yes = jnp.broadcast_to(half(0.0, 1.0), black.shape), jnp.ones((1,), bool)
    assert float(swap.background(beside, black, half(1.0, 0.0), yes)) == pytest.approx(0.5)
    assert float(swap.background(beside, black, half(0.0, 1.0), yes)) == 0.0
    assert float(swap.background(beside, black, half(1.0, 0.0), ~yes)) == 0.0


@pytest.mark.parametrize("name", ["reconstruction", "background", "supervised"])
def test_no_loss_moves_the_mask(name: str) -> None:
    """Else it would shrink to where the images agree, or grow over where they do not."""

    def loss(mask: jax.Array) -> jax.Array:
        forward = FORWARD.replace(drawn=FORWARD.drawn.replace(mask=mask))
        return evaluate(LOSSES["swap"][name], forward)

    assert not np.asarray(jax.grad(loss)(FORWARD.drawn.mask)).any()


def test_only_one_persons_pairs_are_compared_with_the_target() -> None:
    images, mask = any_image(), jnp.ones((BATCH, SIDE, SIDE, 1))
    nowhere = jnp.zeros((BATCH,), bool)
    assert float(swap.reconstruction(images, images + 1.0, mask, nowhere)) == 0.0
    assert float(swap.perceptual(jnp.ones((BATCH,)), nowhere)) == 0.0
    one = nowhere.at[1].set(True)
    assert float(swap.perceptual(jnp.asarray([1.0, 5.0, 2.0]), one)) == 5.0


def test_a_region_that_is_right_costs_nothing_and_one_that_is_wrong_most() -> None:
    """Dice grows with the overlap: 16 pixels, half of them face, and one more on either side."""
    found = ParsingLabels(half(1, 0)[..., 0].astype(jnp.int32), jnp.ones((1,), bool))
    face_classes = jnp.asarray([1])
    right, wrong = half(30.0, -30.0), half(-30.0, 30.0)
    loss = lambda x: float(swap.region(x, found, x, found, face_classes))  # noqa: E731
    assert loss(right) == pytest.approx(0.0, abs=1e-6)
    assert loss(wrong) == pytest.approx(2 * (30.0 + 1 - 1 / 17), rel=1e-6)
    unknown = found.replace(known=jnp.zeros((1,), bool))
    assert float(swap.region(wrong, unknown, right, found, face_classes)) == pytest.approx(0.0)


def test_pixels_without_a_class_are_left_out() -> None:
    logits = jnp.zeros((2, 1, 2, 19)).at[:, 0, 0, 3].set(jnp.log(18.0))
    seen = jnp.asarray([[[3, UNLABELLED]], [[5, 5]]], jnp.int32)
    known = jnp.asarray([True, False])
    # 18 of 36 equal parts are class 3's.
    value, slope = jax.value_and_grad(swap.parsing)(logits, ParsingLabels(seen, known))
    assert float(value) == pytest.approx(np.log(2))
    assert not np.asarray(slope)[0, 0, 1].any() and not np.asarray(slope)[1].any()


def test_the_encoder_alone_learns_from_codes_that_come_back() -> None:
    encoded, drew = jnp.asarray([[1.0, 3.0]]), jnp.asarray([[2.0, 5.0]])
    value, slopes = jax.value_and_grad(swap.code_consistency, (0, 1))(encoded, drew)
    assert float(value) == pytest.approx(2.5)
    np.testing.assert_allclose(slopes[0], [[-1.0, -2.0]])
    np.testing.assert_array_equal(slopes[1], [[0.0, 0.0]])


@pytest.mark.parametrize(("mean", "budget", "error"), [(0.2, 0.7, 0.25), (0.9, 0.5, 0.16)])
def test_gates_move_towards_their_budget(mean: float, budget: float, error: float) -> None:
    p = jnp.full((2, 3, 2), mean) + jnp.asarray([0.1, -0.1])
    value, slope = jax.value_and_grad(swap.gate_budget)(p, jnp.asarray(budget))
    assert float(value) == pytest.approx(error, rel=1e-5)
    assert (np.sign(slope) == np.sign(mean - budget)).all()


def test_gates_that_see_nothing_give_no_information() -> None:
    """Two gates, four pairs: one that is sure and differs, one that is sure and does not."""
    both = jnp.asarray([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])[:, None]
    assert float(swap.gate_information(both)) == pytest.approx(-np.log(2) / 2, abs=1e-3)
    undecided = jnp.full((4, 1, 2), 0.5)
    assert float(swap.gate_information(undecided)) == pytest.approx(0.0, abs=1e-6)
    assert float(swap.gate_entropy(undecided)) == pytest.approx(np.log(2))
    assert float(swap.gate_entropy(both)) == pytest.approx(0.0, abs=2e-4)
    assert np.isfinite(np.asarray(jax.grad(swap.gate_entropy)(both))).all()


def test_unknown_factors_have_no_loss() -> None:
    """Neither they nor their gradients reach the loss."""
    known = (jnp.asarray([[jnp.nan]]), jnp.asarray([[1.0, 2.0]]), jnp.ones((1,), bool))
    loss = lambda read: swap.attribute_groups(read, *known)  # noqa: E731
    value, slope = jax.value_and_grad(loss)(jnp.asarray([[5.0, 1.0, 0.0]]))
    assert float(value) == pytest.approx(2.0)
    np.testing.assert_allclose(slope, [[0.0, 0.0, -2.0]])
    nothing = (jnp.zeros((1, 0)), jnp.zeros((1, 0)), jnp.ones((1,), bool))
    assert float(swap.attribute_groups(jnp.ones((1, 3)), *nothing)) == 0.0


def test_a_caricature_has_other_factors() -> None:
    """Its embedding is the person's, as only the direction counts there."""
    read = lambda gain: FaceFactors(  # noqa: E731
        identity_vector=gain * jnp.ones((2, 4)),
        attribute_vector=jnp.zeros((2, 4)),
        pose_degrees=jnp.zeros((2, 3)),
        landmarks=jnp.zeros((2, 1, 2)),
    )
    unit = jnp.full((2, 4), 0.5)
    assert float(swap.identity(unit, unit)) == pytest.approx(0.0)
    assert float(swap.identity(unit, -unit)) == pytest.approx(2.0)
    assert float(swap.identity_factors(read(3.0), read(1.0))) == pytest.approx(4.0)
