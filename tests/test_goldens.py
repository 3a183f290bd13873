"""What tells that the weights drawn here are those that goldens were made with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.goldens import weights
from tests.goldens.golden import FOLDER, PROBES, read_golden, store_probes

Tensors = dict[str, np.ndarray]
NAMES = ("nvidia_d_32", "nvidia_g_32", "bisenet_parsing")  # every rule of a draw, in all
NORMAL = "b16.conv0.weight"  # of nvidia_d_32


def drawn(name: str, salt: str = "") -> Tensors:
    return weights.fill(json.loads((FOLDER / f"{name}.json").read_text())["spec"], salt)


def stored(name: str) -> np.ndarray:
    with np.load(PROBES) as probes:
        return probes[name]


def changed(change: Callable[[np.ndarray], np.ndarray]) -> Tensors:
    """The discriminator's weights with a change in one tensor."""
    tensors = drawn("nvidia_d_32")
    return tensors | {NORMAL: change(tensors[NORMAL]).astype(np.float32)}


def one_value(factor: float, place: int) -> Tensors:
    def change(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values.flat[place] *= factor
        return values

    return changed(change)


def without(tensors: Tensors, name: str) -> Tensors:
    return {key: value for key, value in tensors.items() if key != name}


def exchanged(tensors: Tensors, one: str, other: str) -> Tensors:
    assert tensors[one].shape == tensors[other].shape
    return tensors | {one: tensors[other], other: tensors[one]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("direction", [-np.inf, np.inf, 0.0])
def test_the_last_bit_of_every_value_is_free(name: str, direction: float) -> None:
    towards = np.float32(direction)
    tensors = {key: np.nextafter(value, towards) for key, value in drawn(name).items()}
    assert any((tensors[key] != value).any() for key, value in drawn(name).items())
    weights.assert_same(tensors, stored(name))


OTHERS = {
    "another seed": lambda: drawn("nvidia_d_32", "another-"),
    "another order": lambda: changed(np.random.default_rng(0).permutation),
    "another order in which the ends stay": lambda: changed(lambda x: x.swapaxes(0, 1)),
    "another scale": lambda: changed(lambda x: x * 1.000001),
    "an offset": lambda: changed(lambda x: x + 1e-6),
    "another first value": lambda: one_value(1.000001, 0),
    "another last value": lambda: one_value(0.999999, -1),
    "not a number": lambda: one_value(np.nan, 1),
    "an exchange": lambda: exchanged(drawn("nvidia_d_32"), NORMAL, "b16.conv1.weight"),
    "one too few": lambda: without(drawn("nvidia_d_32"), NORMAL),
    "one too many": lambda: drawn("nvidia_d_32") | {"more": np.zeros(1, np.float32)},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_network_is_found(other: str) -> None:
    with pytest.raises(AssertionError, match="tensors"):
        weights.assert_same(OTHERS[other](), stored("nvidia_d_32"))


@pytest.mark.parametrize("name", NAMES)
def test_every_random_tensor_is_looked_at(name: str) -> None:
    tensors, again, expected = drawn(name), drawn(name, "another-"), stored(name)
    random = [key for key in tensors if (tensors[key] != again[key]).any()]
    assert len(random) > len(tensors) // 3
    for key in random:
        one = expected[[sorted(tensors).index(key)]]
        weights.assert_same({key: tensors[key]}, one)
        with pytest.raises(AssertionError, match=f"in 1 tensors: .'{key}'"):
            weights.assert_same({key: again[key]}, one)


def test_goldens_with_weights_have_probes() -> None:
    infos = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    with np.load(PROBES) as probes:
        assert set(probes) == {name for name, info in infos.items() if "spec" in info}
        for name in probes:
            assert probes[name].shape == (len(infos[name]["spec"]), 3 + weights.PLACES)


def test_probes_of_a_new_golden_are_added(tmp_path: Path) -> None:
    for name in NAMES[:2]:
        store_probes(name, tmp_path / "probes.npz")
    with np.load(tmp_path / "probes.npz") as probes:
        for name in NAMES[:2]:
            weights.assert_same(read_golden(name).tensors, probes[name])
