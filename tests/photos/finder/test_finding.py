"""The real networks on pictures with known faces, and on pictures without any.

The portrait is read from scikit-image; renders come from the procedural world.
"""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from alrl_jax.photos.alignment import five_points
from alrl_jax.photos.finder import networks
from alrl_jax.photos.finder.finding import find
from alrl_jax.photos.finder.networks import load_network
from alrl_jax.photos.finder.package import INSTALL, PACKAGE
from alrl_jax.photos.finder.views import DetectorOptions
from alrl_jax.photos.found_face import FoundFace
from alrl_jax.utils.extras import is_installed
from alrl_jax.worlds import primitives
from tests.support.faces import moved, transform
from tools.bench import measure_finder
from tools.bench.measure_finder import EYES, PORTRAIT_EYES

data = pytest.importorskip("skimage.data")
pytestmark = pytest.mark.skipif(not is_installed(PACKAGE), reason=f"needs {INSTALL}")
OPTIONS = DetectorOptions()
EMPTY = (
    *("brick", "cell", "chelsea", "checkerboard", "coffee", "coins", "grass", "gravel"),
    *("hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "rocket", "text"),
)
"""Pictures of scikit-image without a person: a cat, a cup, walls, stars."""


def eyes_of(face: FoundFace) -> np.ndarray:
    assert face.points is not None and len(face.points) == 468
    return five_points(face.points)[:2]


def eye_error(found: np.ndarray, true: np.ndarray) -> float:
    """In eye distances."""
    distance = np.linalg.norm(true[1] - true[0])
    return float(np.linalg.norm(found - true, axis=-1).max() / distance)


@functools.cache
def known_eyes() -> np.ndarray:
    """Of the portrait as it is."""
    (face,) = find(data.astronaut(), OPTIONS)
    assert eye_error(eyes_of(face), np.array(PORTRAIT_EYES)) < 0.2
    assert face.confidence is not None and face.confidence > 0.8
    assert face.flag is not None and face.flag > 0.9
    return eyes_of(face)


@pytest.mark.parametrize(
    ("degrees", "scale"), [(0, 0.4), (30, 1), (90, 1), (180, 1), (-90, 0.6), (137, 0.8)]
)
def test_the_portrait_turned_and_small(degrees: float, scale: float) -> None:
    move = transform(degrees, scale, (0.0, 0.0))
    move[:2, 2] = 256 - (move @ [226, 125, 1])[:2]  # the face in the middle
    back = tuple(np.linalg.inv(move)[:2].ravel().tolist())
    whole = Image.fromarray(data.astronaut())
    photo = whole.transform(
        (512, 512), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)
    )
    (face,) = find(np.asarray(photo), OPTIONS)
    assert eye_error(eyes_of(face), moved(known_eyes(), move)) < 0.08


def test_the_portrait_at_the_border_and_doubled() -> None:
    portrait = data.astronaut()
    (face,) = find(np.ascontiguousarray(portrait[85:, 185:]), OPTIONS)
    assert eye_error(eyes_of(face), known_eyes() - [185, 85]) < 0.12
    first, second = find(np.concatenate([portrait[:300], portrait[:300]], axis=1), OPTIONS)
    assert eye_error(eyes_of(first), known_eyes()) < 0.08
    assert eye_error(eyes_of(second), known_eyes() + [512, 0]) < 0.08


def test_a_turned_face_beside_an_upright_one() -> None:
    portrait = data.astronaut()[:300, 76:376]
    photo = np.concatenate([portrait, np.rot90(portrait)], axis=1)
    first, second = find(photo, OPTIONS)
    assert eye_error(eyes_of(first), known_eyes() - [76, 0]) < 0.08
    turned = np.stack([known_eyes()[:, 1], 300 - (known_eyes()[:, 0] - 76)], axis=-1)
    assert eye_error(eyes_of(second), turned + [300, 0]) < 0.08


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_renders_with_known_landmarks(degrees: int) -> None:
    key = jax.random.key(11)
    looks = primitives.sample_attributes(key, 2)
    drawn = primitives.render(primitives.sample_identities(key, 2), looks, 256)
    places = [primitives.LANDMARKS.index(name) for name in EYES]
    for image, points in zip(np.asarray(drawn.image), np.asarray(drawn.landmarks), strict=True):
        photo = np.rot90(np.rint((image + 1) * 127.5).astype(np.uint8), -degrees // 90)
        move = transform(degrees, 1, (0.0, 0.0))
        move[:2, 2] = 128 - (move @ [128, 128, 1])[:2]
        (face,) = find(np.ascontiguousarray(photo), OPTIONS)
        assert eye_error(eyes_of(face), moved(points[places].astype(np.float64), move)) < 0.12


@pytest.mark.parametrize("name", ["chelsea", "coffee", "page"])
def test_no_face_is_found_where_none_is(name: str) -> None:
    assert find(_colour(np.asarray(getattr(data, name)())), OPTIONS) == []


@pytest.mark.slow
def test_no_face_is_found_in_fifteen_pictures() -> None:
    assert len(EMPTY) == 15
    found = {name: find(_colour(np.asarray(getattr(data, name)())), OPTIONS) for name in EMPTY}
    assert not [name for name, faces in found.items() if faces]


@pytest.mark.slow
def test_the_album() -> None:
    score = measure_finder.measure("blazeface", None).summary()
    assert score["faces"] + score["faces_covered"] == 310
    assert score["found"] >= 0.97 and score["false"] == 0
    assert score["eye_error"] is not None and score["eye_error"] < 0.04


def _colour(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype(np.uint8) * (255 if pixels.dtype == np.bool_ else 1)
    return pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def test_converted_networks_lie_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = load_network("mesh")
    (folder,) = (tmp_path / "alrl_jax" / "face_finder").iterdir()
    meta = json.loads((folder / "model.json").read_text())
    assert meta["source"]["file"] == networks.NETWORKS["mesh"]
    monkeypatch.setattr(networks, "read_network", lambda path: 1 / 0)
    _assert_same(load_network("mesh"), first)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (folder / "weights.safetensors").write_bytes(b"damaged")
    _assert_same(load_network("mesh"), first)
    _assert_same(load_network("mesh"), first)
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    _assert_same(load_network("mesh"), first)


def _assert_same(a: networks.Network, b: networks.Network) -> None:
    assert (a.input, a.side, a.outputs) == (b.input, b.side, b.outputs)
    assert a.operators == b.operators and set(a.constants) == set(b.constants)
    for name, values in a.constants.items():
        np.testing.assert_array_equal(values, b.constants[name])
