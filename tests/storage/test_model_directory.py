import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from alrl_jax.errors import UserError
from alrl_jax.storage import model_directory
from alrl_jax.storage.model_directory import (
    WEIGHTS_FILE,
    read_model,
    read_shapes,
    resolve_directory,
    save_model,
    save_shapes,
)

VARIABLES: dict[str, Any] = {
    "params": {"a": {"weight": np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)}},
    "constants": {"scalar": np.float32(0.1), "count": np.int32(7)},
}


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    save_model(
        tmp_path / "new" / "m",
        "generator",
        {"resolution": 32, "channels": ((4, 8),)},
        {**VARIABLES, "device": {"x": jnp.ones(2)}},
        conventions={"demod": "scaled"},
        source={"file": "g.pt"},
    )
    meta, variables = read_model(tmp_path / "new" / "m")
    assert meta["kind"] == "generator"
    assert meta["config"] == {"resolution": 32, "channels": [[4, 8]]}
    assert meta["conventions"] == {"demod": "scaled"}
    assert meta["source"] == {"file": "g.pt"}
    weight = variables["params"]["a"]["weight"]
    assert np.array_equal(weight, VARIABLES["params"]["a"]["weight"])
    assert variables["constants"]["scalar"].shape == ()
    assert variables["constants"]["count"].dtype == np.int32
    assert np.array_equal(variables["device"]["x"], np.ones(2))


def test_half_is_stored_small_and_read_as_float32(tmp_path: Path) -> None:
    save_model(tmp_path / "m", "judge", {}, VARIABLES, half=True)
    _, variables = read_model(tmp_path / "m")
    weight = variables["params"]["a"]["weight"]
    assert weight.dtype == np.float32
    expected = VARIABLES["params"]["a"]["weight"].astype(np.float16).astype(np.float32)
    assert np.array_equal(weight, expected)
    assert variables["constants"]["count"].dtype == np.int32


def test_8_bits_are_stored_with_a_scale_for_every_output(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(3, 3, 64, 8)).astype(np.float32)
    weight *= np.array([0, 1e-30, 1e-6, 1, 1, 1e6, 1, 1], np.float32)
    conv = {"kernel": weight, "bias": np.float32(range(8))}
    tree = {"conv": conv, "other": {"kernel": 0 * weight}, "count": np.int32(7)}
    with pytest.raises(UserError, match="got int8 cnov; expected some of conv, count, other"):
        save_model(tmp_path / "m", "judge", {}, tree, int8=("cnov",))
    save_model(tmp_path / "m", "judge", {}, tree, int8=("conv",))
    stored = safetensors.numpy.load_file(tmp_path / "m" / WEIGHTS_FILE)
    assert stored["conv/kernel"].dtype == np.int8 and stored["conv/bias"].dtype == np.float16
    assert stored["other/kernel"].dtype == np.float16
    _, found = read_model(tmp_path / "m")
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert found["conv"]["kernel"].dtype == np.float32 and found["count"].dtype == np.int32
    error = np.abs(found["conv"]["kernel"] - weight).max(axis=(0, 1, 2))
    assert (error <= np.abs(weight).max(axis=(0, 1, 2)) / 253).all()
    _, shapes = read_shapes(tmp_path / "m")
    assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, tree)
    assert shapes["conv"]["kernel"].dtype == jnp.float32


def test_what_a_base_holds_is_not_stored_again(tmp_path: Path) -> None:
    save_model(tmp_path / "base", "swapper", {}, VARIABLES, half=True)
    _, shared = read_model(tmp_path / "base")
    own = {"constants": shared["constants"], "params": {"a": {"weight": -np.ones((2, 3))}}}
    changed = {**shared, "params": own["params"], "more": {"x": np.arange(3.0)}}
    save_model(tmp_path / "m", "swapper", {}, changed, base=tmp_path / "base")
    stored = safetensors.numpy.load_file(tmp_path / "m" / WEIGHTS_FILE)
    assert set(stored) == {"params/a/weight", "more/x"}
    for name, read in (("whole", read_model), ("shapes", read_shapes)):
        _, found = read(tmp_path / "m")
        assert jax.tree.structure(found) == jax.tree.structure(changed), name
    np.testing.assert_array_equal(read_model(tmp_path / "m")[1]["params"]["a"]["weight"], -1.0)
    found = read_model(tmp_path / "m")[1]["constants"]
    jax.tree.map(np.testing.assert_array_equal, found, shared["constants"])
    save_model(tmp_path / "base", "swapper", {}, changed)
    with pytest.raises(UserError, match="with other weights than those that this model shares"):
        read_model(tmp_path / "m")
    meta = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps({**meta, "base": {"sha256": ""}}))
    with pytest.raises(UserError, match="expected arrays, directory, sha256 of a model directory"):
        read_model(tmp_path / "m")


def test_half_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="float16"):
        save_model(tmp_path / "m", "judge", {}, {"w": np.full(1, 1e6, np.float32)}, half=True)
    assert not list(tmp_path.iterdir())


def test_a_model_is_replaced_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    save_model(tmp_path / "m", "judge", {"n": 1}, VARIABLES)
    save_model(tmp_path / "m", "judge", {"n": 2}, VARIABLES)
    assert read_model(tmp_path / "m")[0]["config"] == {"n": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    modes = {p.stat().st_mode for p in (tmp_path / "m").iterdir()}
    assert len(modes) == 1, "weights that others cannot read"


def test_a_failed_write_keeps_the_old_model(tmp_path: Path) -> None:
    save_model(tmp_path / "m", "judge", {"n": 1}, VARIABLES)
    with pytest.raises(TypeError):
        save_model(tmp_path / "m", "judge", {"n": object()}, VARIABLES)
    assert read_model(tmp_path / "m")[0]["config"] == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_other_peoples_directories_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="model directory"):
        save_model(tmp_path, "judge", {}, VARIABLES)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_model_of_shapes_alone_is_read_as_such_and_refused_as_weights(tmp_path: Path) -> None:
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), VARIABLES)
    save_shapes(tmp_path / "m", "judge", {"n": 1}, shapes, source={"made": "up"})
    meta, found = read_shapes(tmp_path / "m")
    assert (meta["kind"], meta["config"]) == ("judge", {"n": 1})
    assert found == shapes
    with pytest.raises(UserError, match="sha256"):
        read_model(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="model directory"):
        save_shapes(tmp_path / "mine", "judge", {}, shapes, source={})


def test_embedded_names_mean_the_package_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_directory, "EMBEDDED", tmp_path)
    save_model(tmp_path / "tiny", "judge", {}, VARIABLES)
    assert resolve_directory("embedded/tiny") == tmp_path / "tiny"
    assert read_model("embedded/tiny")[0]["kind"] == "judge"
    assert resolve_directory("runs/tiny") == Path("runs/tiny")
    with pytest.raises(UserError, match="tiny"):
        resolve_directory("embedded/huge")


def _truncate(path: Path) -> None:
    data = (path / "weights.safetensors").read_bytes()
    (path / "weights.safetensors").write_bytes(data[:-4])


def _forge(path: Path) -> None:
    """Weights that are no safetensors, with the right checksum."""
    meta = json.loads((path / "model.json").read_text())
    (path / "weights.safetensors").write_bytes(b"junk")
    meta["sha256"] = model_directory.hashlib.sha256(b"junk").hexdigest()
    (path / "model.json").write_text(json.dumps(meta))


DAMAGE = {
    "no directory": lambda p: p.rename(p.with_name("elsewhere")),
    "no model.json": lambda p: (p / "model.json").unlink(),
    "no JSON": lambda p: (p / "model.json").write_text("{"),
    "no kind": lambda p: (p / "model.json").write_text('{"config": {}}'),
    "a list": lambda p: (p / "model.json").write_text("[]"),
    "no weights": lambda p: (p / "weights.safetensors").unlink(),
    "cut weights": _truncate,
    "no safetensors": _forge,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_directory_is_one_line(tmp_path: Path, damage: str) -> None:
    save_model(tmp_path / "m", "judge", {}, VARIABLES)
    DAMAGE[damage](tmp_path / "m")
    with pytest.raises(UserError) as error:
        read_model(tmp_path / "m")
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
