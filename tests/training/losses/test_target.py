"""What keeps the target: parts of a face measured by hand, losses of what is known to differ."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.data.parsing_classes import CELEBAMASK_LABELS
from alrl_jax.training.losses import target
from alrl_jax.training.losses.face_parts import PARTS, FaceParts, face_parts

SIDE = 20
NAMES = tuple(PARTS)
KEEPS = jnp.ones((1,), bool)
WHITE, BLACK = 1.0, -1.0

# Class: rows and columns, the last ones not included.
FACE = {
    "l_brow": (4, 5, 4, 8),
    "r_brow": (4, 5, 12, 16),
    "l_eye": (6, 8, 4, 8),
    "r_eye": (6, 8, 12, 16),
    "nose": (9, 12, 9, 11),
    "u_lip": (14, 15, 8, 12),
    "l_lip": (15, 16, 8, 12),
}


def drawn(changes: dict[str, Any] | None = None, dark: tuple[int, int] = (5, 13)) -> FaceParts:
    """A face of rectangles, white but for a black column in each eye."""
    maps = np.zeros((1, SIDE, SIDE, len(CELEBAMASK_LABELS)), np.float32)
    image = np.full((1, SIDE, SIDE, 3), WHITE, np.float32)
    for name, place in (FACE | (changes or {})).items():
        if place is not None:
            top, bottom, left, right = place
            maps[0, top:bottom, left:right, CELEBAMASK_LABELS.index(name)] = 1.0
    image[0, 6:8, list(dark)] = BLACK
    return face_parts(jnp.asarray(maps), jnp.asarray(image))


@pytest.fixture(scope="module")
def face() -> FaceParts:
    return drawn()


def of(values: jax.Array, name: str) -> np.ndarray:
    return np.asarray(values)[0, NAMES.index(name)]


def test_parts_are_measured_in_shares_of_the_side(face: FaceParts) -> None:
    """A rectangle of n pixels has the variance (n^2 - 1) / 12."""
    assert of(face.area, "l_eye") == pytest.approx(8 / SIDE**2)
    np.testing.assert_allclose(of(face.centre, "l_eye"), [6 / SIDE, 7 / SIDE], rtol=1e-5)
    np.testing.assert_allclose(of(face.centre, "lips"), [0.5, 15 / SIDE], rtol=1e-5)
    height = np.sqrt((2**2 - 1) / 12) / SIDE
    assert of(face.height, "lips") == pytest.approx(np.hypot(height, 1e-3), rel=1e-4)
    assert of(face.bend, "lips") == pytest.approx(0.0, abs=1e-6)
    # The dark column's middle is half a pixel to the left of the eye's.
    np.testing.assert_allclose(face.gaze[0], [[-0.5 / SIDE, 0.0]] * 2, atol=1e-6)
    assert float(face.opening[0]) == 0.0


def test_a_smile_bends_and_an_open_mouth_shows_its_inside() -> None:
    frown = drawn({"u_lip": (14, 15, 9, 11), "l_lip": (15, 16, 8, 12)})
    assert float(of(frown.bend, "lips")) > 0.01, "its ends lie below its middle"
    smile = drawn({"u_lip": (14, 15, 8, 12), "l_lip": (15, 16, 9, 11)})
    assert of(smile.bend, "lips") == pytest.approx(-of(frown.bend, "lips"), abs=1e-6)
    half = drawn({"mouth": (16, 18, 8, 12)})
    assert float(half.opening[0]) == pytest.approx(8 / (16 + 2e-4 * SIDE**2), rel=1e-5)


def test_what_is_not_there_measures_nothing_and_has_no_gradient(face: FaceParts) -> None:
    winking = drawn({"l_eye": None})
    for loss in (target.landmarks, target.gaze):
        assert float(loss(winking, face, KEEPS)) == pytest.approx(0.0, abs=1e-6)
    maps = jnp.zeros((1, SIDE, SIDE, len(CELEBAMASK_LABELS)))

    def loss(maps: jax.Array) -> jax.Array:
        read = face_parts(maps, jnp.ones((1, SIDE, SIDE, 3)))
        return target.landmarks(read, face, KEEPS) + target.expression(read, face, KEEPS)

    assert np.isfinite(np.asarray(jax.jit(jax.grad(loss))(maps))).all()


def test_a_moved_face_has_the_same_landmarks_and_a_longer_one_has_not(face: FaceParts) -> None:
    down = {name: (top + 1, bottom + 1, *x) for name, (top, bottom, *x) in FACE.items()}
    assert float(target.landmarks(drawn(down), face, KEEPS)) == pytest.approx(0.0, abs=1e-6)
    # One of six parts, one pixel lower: it lies 5/6, the others 1/6 of a pixel from where they did.
    lower = {name: down[name] for name in ("u_lip", "l_lip")}
    x = np.array([6, 14, 6, 14, 10, 10]) / SIDE
    y = np.array([7, 7, 4.5, 4.5, 10.5, 15]) / SIDE
    unit = np.mean((x - x.mean()) ** 2 + (y - y.mean()) ** 2) + 1e-6
    moved = (25 + 5) / 36 / SIDE**2 / 12  # of twelve numbers
    value = float(target.landmarks(drawn(lower), face, KEEPS))
    assert value == pytest.approx(moved / unit / 0.1**2, rel=1e-4)


def test_expression_is_not_how_wide_a_face_is(face: FaceParts) -> None:
    wide = {"l_eye": (6, 8, 3, 9), "l_brow": (4, 5, 3, 9), "u_lip": (14, 15, 6, 14)}
    wide |= {"l_lip": (15, 16, 6, 14)}
    assert float(target.expression(drawn(wide), face, KEEPS)) == pytest.approx(0.0, abs=1e-5)
    raised = {name: (3, 4, *FACE[name][2:]) for name in ("l_brow", "r_brow")}
    closed = {name: (7, 8, *FACE[name][2:]) for name in ("l_eye", "r_eye")}
    for changes in (raised, closed, {"mouth": (16, 18, 8, 12)}):
        assert float(target.expression(drawn(changes), face, KEEPS)) > 0.05


def test_eyes_that_look_elsewhere_are_seen(face: FaceParts) -> None:
    value = float(target.gaze(drawn(dark=(6, 14)), face, KEEPS))
    x = np.array([6, 14, 6, 14, 10, 10]) / SIDE
    y = np.array([7, 7, 4.5, 4.5, 10.5, 15]) / SIDE
    unit = np.mean((x - x.mean()) ** 2 + (y - y.mean()) ** 2) + 1e-6
    # One pixel to the right in both eyes, nothing up or down.
    assert value == pytest.approx(1 / SIDE**2 / 2 / unit / 0.04**2, rel=1e-4)


def test_pairs_that_ask_the_source_keep_nothing(face: FaceParts) -> None:
    other, nobody = drawn(dark=(6, 14)), jnp.zeros((1,), bool)
    for loss in (target.landmarks, target.expression, target.gaze):
        assert float(loss(other, face, nobody)) == 0.0
    images = jnp.ones((1, 16, 16, 3))
    logits = jnp.full((1, 16, 16, 1), 20.0)
    assert float(target.light(images, -images, logits, logits, nobody)) == 0.0


def test_light_is_the_luminance_of_cells_of_the_face() -> None:
    """Two pixels a side are a cell: a chequered face is as light as a grey one."""
    rows, columns = np.indices((16, 16))
    chequered = jnp.asarray(np.where((rows + columns) % 2, 1.0, -1.0)[None, ..., None] * np.ones(3))
    grey = jnp.zeros((1, 16, 16, 3))
    everywhere = jnp.full((1, 16, 16, 1), 20.0)
    light = lambda *x: float(target.light(*x, KEEPS))  # noqa: E731
    assert light(chequered, grey, everywhere, everywhere) == pytest.approx(0.0, abs=1e-6)
    assert light(grey + 0.2, grey, everywhere, everywhere) == pytest.approx(0.25, rel=1e-4)
    # A green light is ten times as light as a blue one.
    green, blue = (grey.at[..., i].set(0.4) for i in (1, 2))
    assert light(green, grey, everywhere, everywhere) == pytest.approx(0.7152**2, rel=1e-4)
    assert light(blue, grey, everywhere, everywhere) == pytest.approx(0.0722**2, rel=1e-4)
    left = jnp.where(columns[None, ..., None] < 8, 20.0, -20.0)
    beside = jnp.where(columns[None, ..., None] < 8, 0.0, 1.0) * jnp.ones(3)
    assert light(beside, grey, left, everywhere) == pytest.approx(0.0, abs=1e-6)


def test_light_does_not_move_the_region() -> None:
    images, logits = jnp.ones((1, 16, 16, 3)), jnp.zeros((1, 16, 16, 1))
    slope = jax.grad(lambda x: target.light(images, -images, x, x, KEEPS))(logits)
    assert not np.asarray(slope).any()


def test_ten_degrees_are_the_unit_of_pose() -> None:
    read, wanted = jnp.asarray([[30.0, 0.0, 0.0]]), jnp.asarray([[10.0, 0.0, -10.0]])
    assert float(target.pose(read, wanted)) == pytest.approx((4 + 0 + 1) / 3)
