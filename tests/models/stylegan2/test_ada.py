"""Every transform against an oracle, the pipeline against its probability, p against the signs."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.models.stylegan2 import ada
from alrl_jax.training import sharding

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIDE, COUNT = 16, 6
GREY = np.full((3, 3), 1 / 3)


def images(count: int = COUNT, side: int = SIDE) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(3).uniform(-1, 1, (count, side, side, 3)), "f4")


def vector(value: float) -> jnp.ndarray:
    return jnp.full((COUNT,), value, jnp.float32)


def ramps() -> np.ndarray:
    """Images whose channels are x, y and x + y in pixels from the middle."""
    place = np.arange(SIDE) - (SIDE - 1) / 2
    x, y = np.meshgrid(place, place)
    return np.broadcast_to(np.stack([x, y, x + y], -1), (COUNT, SIDE, SIDE, 3)).astype("f4")


def drawn(name: str, key: int = 5) -> np.ndarray:
    """What a row of the tables draws at probability 1."""
    table = ada.GEOMETRY if name in ada.GEOMETRY else ada.COLOUR
    size = 3 if name in ada.GEOMETRY else 4
    row = {name: table[name]}
    draw = jax.jit(lambda key: ada.compose(row, size, 4000, SIDE, jnp.ones(()), key))
    return np.asarray(draw(jax.random.key(key)))


def test_at_probability_0_nothing_changes_bit_for_bit() -> None:
    faces = images()

    def loss(x: jnp.ndarray) -> tuple[jnp.ndarray, jnp.ndarray]:
        seen = ada.augment(x, jnp.zeros(()), jax.random.key(1))
        return jnp.sum(seen * faces), seen

    slope, seen = jax.jit(jax.grad(loss, has_aux=True))(faces)
    np.testing.assert_array_equal(seen, faces)
    np.testing.assert_array_equal(slope, faces)


@pytest.mark.parametrize(
    ("maps", "oracle"),
    [
        (ada.scaling(vector(-1), vector(1)), lambda x: x[:, :, ::-1]),
        (ada.rotation(vector(0), vector(1)), lambda x: np.rot90(x, -1, (1, 2))),
        (ada.rotation(vector(-1), vector(0)), lambda x: x[:, ::-1, ::-1]),
        (
            ada.translation(vector(2), vector(-3)),
            lambda x: np.pad(x, ((0, 0), (0, 3), (2, 0), (0, 0)), "reflect")[:, 3:, :-2],
        ),
        (
            ada.translation(vector(0.5), vector(0)),
            lambda x: (x + np.concatenate([x[:, :, 1:2], x[:, :, :-1]], 2)) / 2,
        ),
    ],
    ids=["mirror", "quarter turn", "half turn", "shift", "half a pixel"],
)
def test_maps_of_pixels_upon_pixels_are_exact(maps: jnp.ndarray, oracle: object) -> None:
    assert callable(oracle)
    faces = images()
    np.testing.assert_array_equal(jax.jit(ada.warp)(faces, maps), oracle(np.asarray(faces)))


@pytest.mark.parametrize(
    ("maps", "back"),
    [
        (ada.scaling(vector(1.5), vector(1.25)), [[1 / 1.5, 0], [0, 0.8]]),
        (ada.rotation(vector(0.8), vector(0.6)), [[0.8, 0.6], [-0.6, 0.8]]),
    ],
    ids=["scale", "rotation"],
)
def test_what_lies_between_pixels_is_bilinear(maps: jnp.ndarray, back: list) -> None:
    """Linear images stay linear, wherever no border is reflected."""
    x, y = ramps()[0, ..., 0], ramps()[0, ..., 1]
    from_x, from_y = (row[0] * x + row[1] * y for row in back)
    inside = np.maximum(np.abs(from_x), np.abs(from_y)) <= (SIDE - 1) / 2
    wanted = np.stack([from_x, from_y, from_x + from_y], -1)
    got = np.asarray(jax.jit(ada.warp)(jnp.asarray(ramps()), maps))[0]
    assert inside.mean() > 0.7
    np.testing.assert_allclose(got[inside], wanted[inside], atol=1e-5)


def test_maps_follow_each_other_in_order() -> None:
    faces, mirror = images(), ada.scaling(vector(-1), vector(1))
    shift = ada.translation(vector(3), vector(0))
    both = jax.jit(ada.warp)(faces, jnp.matmul(shift, mirror))
    wanted = np.pad(faces[:, :, ::-1], ((0, 0), (0, 0), (3, 0), (0, 0)), "reflect")[:, :, :-3]
    np.testing.assert_array_equal(both, wanted)
    rows = {name: ada.GEOMETRY[name] for name in ("mirror", "pixel_shift")}
    total = ada.compose(rows, 3, 50, SIDE, jnp.ones(()), jax.random.key(0))
    # The shift comes last: no mirror turns it round, which products the other way would do.
    first = ada.compose({"mirror": rows["mirror"]}, 3, 50, SIDE, jnp.ones(()), jax.random.key(0))
    move = np.asarray(total) @ np.linalg.inv(first)
    np.testing.assert_array_equal(move[:, :2, :2], np.broadcast_to(np.eye(2), (50, 2, 2)))
    np.testing.assert_array_equal(move[:, :2, 2], total[:, :2, 2])


@pytest.mark.parametrize(
    ("colours", "matrix", "offset"),
    [
        (ada.brightening(vector(0.25)), np.eye(3), 0.25),
        (ada.contrasting(vector(1.5)), 1.5 * np.eye(3), 0.0),
        (ada.luma_scaling(vector(-1)), np.eye(3) - 2 * GREY, 0.0),
        (ada.saturating(vector(0.5)), GREY + 0.5 * (np.eye(3) - GREY), 0.0),
        (ada.hue_rotation(vector(2 * math.pi / 3)), np.roll(np.eye(3), 1, 0), 0.0),
    ],
    ids=["brightness", "contrast", "luma flip", "saturation", "hue"],
)
def test_colours(colours: jnp.ndarray, matrix: np.ndarray, offset: float) -> None:
    faces = images()
    got = jax.jit(ada.recolour)(faces, colours)
    np.testing.assert_allclose(got, np.asarray(faces) @ matrix.T + offset, atol=1e-6)


def test_hue_turns_by_its_angle() -> None:
    turn = np.asarray(ada.hue_rotation(vector(0.3)))[0, :3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(turn.sum(1), 1.0, atol=1e-6)
    assert np.trace(turn) == pytest.approx(1 + 2 * math.cos(0.3), abs=1e-6)


def test_draws_have_the_laws_of_the_paper() -> None:
    assert set(np.unique(drawn("mirror")[:, 0, 0])) == {-1, 1}
    turns = {tuple(row) for row in drawn("quarter_turn")[:, :2, 0].tolist()}
    assert turns == {(1, 0), (0, 1), (-1, 0), (0, -1)}
    assert set(np.unique(drawn("pixel_shift")[:, 0, 2])) == set(range(-2, 3))
    for name, place, deviation in (
        ("scale", (0, 0), 0.2 * math.log(2)),
        ("stretch", (0, 0), 0.2 * math.log(2)),
        ("contrast", (0, 0), 0.5 * math.log(2)),
    ):
        assert np.log(drawn(name)[:, *place]).std() == pytest.approx(deviation, rel=0.05), name
    np.testing.assert_allclose(np.linalg.det(drawn("stretch")), 1.0, rtol=1e-5)
    assert drawn("shift")[:, 0, 2].std() == pytest.approx(0.125 * SIDE, rel=0.05)
    assert drawn("brightness")[:, 1, 3].std() == pytest.approx(0.2, rel=0.05)
    saturations = drawn("saturation")
    assert np.log(saturations[:, 0, 0] - saturations[:, 0, 1]).std() == pytest.approx(
        math.log(2), rel=0.05
    )
    assert set(np.round(np.trace(drawn("luma_flip"), axis1=1, axis2=2), 5)) == {2, 4}
    for name in ("rotation_before", "rotation_after"):
        angle = np.arctan2(*drawn(name)[:, 1::-1, 0].T)
        assert angle.std() == pytest.approx(2 * math.pi / math.sqrt(12), rel=0.05)


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        (("scale",), 0.3),
        (("mirror",), 0.15),
        (("rotation_before", "rotation_after"), 0.3),
        (("hue",), 0.3),
    ],
)
def test_transforms_happen_as_often_as_said(rows: tuple[str, ...], share: float) -> None:
    table, size = (ada.GEOMETRY, 3) if rows[0] in ada.GEOMETRY else (ada.COLOUR, 4)
    part = {name: table[name] for name in rows}
    maps = ada.compose(part, size, 4000, SIDE, jnp.asarray(0.3), jax.random.key(2))
    changed = (np.asarray(maps) != np.eye(size)).any((1, 2))
    assert changed.mean() == pytest.approx(share, abs=0.03)


def test_the_gradient_is_the_transpose() -> None:
    """The warp is linear: <warp(x), y> = <x, gradient of it>."""
    maps = ada.compose(ada.GEOMETRY, 3, COUNT, SIDE, jnp.ones(()), jax.random.key(4))
    faces, weights = (
        images(),
        jnp.asarray(np.random.default_rng(1).normal(size=(6, 16, 16, 3)), "f4"),
    )
    value, slope = jax.jit(jax.value_and_grad(lambda x: jnp.sum(ada.warp(x, maps) * weights)))(
        faces
    )
    assert float(jnp.sum(slope * faces)) == pytest.approx(float(value), rel=1e-4)


def test_eight_devices_see_what_one_sees_and_pass_nothing_on() -> None:
    faces, seen = np.asarray(images(16)), []
    for devices in (1, 8):
        mesh = sharding.make_mesh(jax.devices()[:devices])
        batch = sharding.shard_batch(mesh, faces)
        loss = lambda x: jnp.sum(  # noqa: E731
            jnp.square(ada.augment(x, jnp.asarray(0.7), jax.random.key(9)))
        )
        compiled = jax.jit(jax.grad(loss)).lower(batch).compile()
        seen.append(np.asarray(compiled(batch)))
    np.testing.assert_allclose(*seen, atol=1e-6)
    assert (seen[0] != 2 * faces).any()
    text = compiled.as_text()
    assert not any(word in text for word in ("all-gather", "all-to-all", "collective-permute"))


def adaptive(**changes: float) -> ada.DiscriminatorAugmentation:
    values = {"probability": 0.2, "target": 0.6, "kimg": 500.0, **changes}
    return ada.DiscriminatorAugmentation("adaptive", **values)


def after(rule: ada.DiscriminatorAugmentation, signs: list[float], start: float = 0.5) -> float:
    mutable = {**rule.start(), "other": 1, "ada_p": jnp.asarray(start)}
    for step, sign in enumerate(signs):
        before = mutable["ada_p"]
        mutable, metrics = rule.adapt(mutable, jnp.asarray(step), jnp.asarray(sign), 64)
        assert metrics == {"ada/p": before, "ada/real_sign": sign}
    assert mutable["other"] == 1
    return float(mutable["ada_p"])


def test_the_probability_moves_towards_the_target() -> None:
    stride = 4 * 64 / 500_000
    assert after(adaptive(), [1.0] * 3) == 0.5
    assert after(adaptive(), [1.0] * 4) == pytest.approx(0.5 + stride)
    assert after(adaptive(), [0.5, 0.6, 0.6, 0.6]) == pytest.approx(0.5 - stride)
    assert after(adaptive(), [1.0] * 4 + [0.0] * 4 + [-1.0] * 4) == pytest.approx(0.5 - stride)
    # All the way in the time that was given, and no further.
    assert after(adaptive(kimg=1.024), [1.0] * 16, 0.0) == pytest.approx(1.0)
    assert after(adaptive(kimg=0.5), [1.0] * 16, 0.0) == 1.0
    assert after(adaptive(), [-1.0] * 8, 0.0) == 0.0


def test_modes() -> None:
    faces, key = images(), jax.random.key(0)
    off = ada.DiscriminatorAugmentation("off", 0.2, 0.6, 500.0)
    assert off.start() == {} and off.augment(faces, {}, key, "real") is faces
    assert off.adapt({"other": 1}, jnp.asarray(3), jnp.ones(()), 64) == ({"other": 1}, {})
    fixed = ada.DiscriminatorAugmentation("fixed", 0.2, 0.6, 500.0)
    mutable = fixed.start()
    assert float(mutable["ada_p"]) == pytest.approx(0.2)
    assert fixed.adapt(mutable, jnp.asarray(3), jnp.ones(()), 64)[0] == mutable
    assert float(adaptive().start()["ada_p"]) == 0.0
    uses = (*ada.USES, "real")
    see = jax.jit(lambda faces, mutable: [fixed.augment(faces, mutable, key, use) for use in uses])
    seen = [np.asarray(x) for x in see(faces, mutable)]
    assert all((x != faces).any() for x in seen)
    assert (seen[0] != seen[1]).any() and (seen[1] != seen[2]).any()
    np.testing.assert_array_equal(seen[1], seen[3])
