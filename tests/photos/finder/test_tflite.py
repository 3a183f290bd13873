"""Networks read from ``.tflite`` files: what LiteRT computes, and files that are refused."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Float, UInt8

from alrl_jax.models.published.operators import OPERATORS
from alrl_jax.photos.finder import package, tflite
from alrl_jax.photos.finder.networks import NETWORKS, open_network
from alrl_jax.photos.finder.package import INSTALL, PACKAGE
from alrl_jax.photos.finder.tflite import KINDS, NotReadableError, as_weights, read_network
from alrl_jax.utils.extras import is_installed

GOLDENS = Path(__file__).parents[2] / "goldens" / "face_finder.npz"
pytestmark = pytest.mark.skipif(not is_installed(PACKAGE), reason=f"needs {INSTALL}")
SCALES = {"full_range": (1 / 127.5, -1.0), "mesh": (1 / 255, 0.0)}
SHORT = "face_detection_short_range.tflite"
"""Another network, with all kinds of operators that the others lack."""


def folder() -> Path:
    found = package.folder()
    assert found is not None
    return found


def picture(side: int) -> UInt8[np.ndarray, "s s 3"]:
    """Waves and noise, the same on every machine."""
    y, x = np.mgrid[:side, :side]
    waves = np.stack([(x * (3 + k) + y * (5 - k)) // 4 % 200 for k in range(3)], axis=-1)
    noise = np.random.default_rng(side).integers(0, 56, (side, side, 3))
    return (waves + noise).astype(np.uint8)


def some(output: Float[np.ndarray, "..."]) -> Float[np.ndarray, " n"]:
    """Every 97th value, which is what a golden keeps."""
    return np.asarray(output, np.float32).ravel()[::97]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_compute_what_litert_computes(name: str) -> None:
    network = open_network(name, *SCALES[name])
    outputs = network([picture(network.side)])
    with np.load(GOLDENS) as goldens:
        for number, output in enumerate(outputs):
            expected = goldens[f"{name}_{number}"]
            np.testing.assert_allclose(some(output), expected, atol=5e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_other_networks_are_read_as_well() -> None:
    network = read_network(folder() / SHORT)
    images = picture(network.side)[None].astype(np.float32) / 127.5 - 1
    outputs = network(as_weights(network), jnp.asarray(images))
    with np.load(GOLDENS) as goldens:
        for number, output in enumerate(outputs):
            expected = goldens[f"short_range_{number}"]
            found = some(np.asarray(output))
            np.testing.assert_allclose(found, expected, atol=5e-5 * np.abs(expected).max())


def test_kinds_of_operators_are_known() -> None:
    assert {name for name, _ in KINDS.values()} == set(OPERATORS)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    whole = (folder() / NETWORKS["mesh"]).read_bytes()
    for content in (b"", b"TFL3", b"\x1c\0\0\0TFL2" + whole[8:], b"<!DOCTYPE html>" * 9):
        path.write_bytes(content)
        with pytest.raises(NotReadableError, match="no TensorFlow Lite file|damaged"):
            read_network(path)


def test_damage_is_a_message(tmp_path: Path) -> None:
    """Whatever is cut off or turned round in its tables: a message, and never another error."""
    path = tmp_path / "a.tflite"
    whole = (folder() / NETWORKS["mesh"]).read_bytes()
    for size in (9, 400, len(whole) // 2, len(whole) - 3000):
        path.write_bytes(whole[:size])
        with pytest.raises(NotReadableError):
            read_network(path)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(8, len(whole) - 1, 3) if rng.uniform() < 0.5 else (9, 17, 33):
            damaged[place] ^= int(rng.integers(1, 256))
        damaged[-int(rng.integers(1, 60_000)) :] = b"\xff" * 8
        path.write_bytes(damaged)
        try:
            read_network(path)
        except NotReadableError:
            refused += 1
    assert refused > 0


def test_operators_that_are_not_known_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(tflite.KINDS, 54)
    with pytest.raises(NotReadableError, match="an operator of number 54, which is not known"):
        read_network(folder() / NETWORKS["mesh"])
    with pytest.raises(NotReadableError, match="sparse tensors"):
        read_network(folder() / "face_detection_full_range_sparse.tflite")
    monkeypatch.setattr(tflite, "LARGEST", 1000)
    with pytest.raises(NotReadableError, match="more than 1000 bytes"):
        read_network(folder() / SHORT)
