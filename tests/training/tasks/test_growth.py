"""A swapper that starts from one of half its resolution: the same faces, upsampled."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.loading.loader import KINDS
from alrl_jax.models.stylegan2.upfirdn import upsample2d
from alrl_jax.storage.model_directory import read_model, save_model
from alrl_jax.training import sharding
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import growth, make_task
from alrl_jax.training.tasks.growth import Growth, grow, larger_generator
from alrl_jax.types import PairBatch
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

OLD, NEW = tiny.RESOLUTION, 2 * tiny.RESOLUTION
LAYERS, NEW_LAYERS, GROUPS, WIDTH = 8, 2, 4, 16
FROM_OLD_TO_NEW = Growth(OLD, NEW, WIDTH, GROUPS, pose_size=4 * 4 * 16)
CHANGES = {
    "swap__context": 8,
    "swap__pose_transfer": True,
    "swap__target_features": "pair",
}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_identity(tmp_path_factory.mktemp("models") / "identity")


@pytest.fixture(scope="module")
def small(identity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swapper whose weights are all random, with what training needs."""
    task = make_task(tiny.tiny_config("synthetic_64", identity, **CHANGES))
    shapes = task.export(jax.eval_shape(task.init, jax.random.key(3), {}), task.load_frozen())
    rng = np.random.default_rng(0)
    weights = {
        name: jax.tree.map(lambda x: 0.1 * rng.standard_normal(x.shape, np.float32), tree)
        for name, tree in shapes.variables.items()
        if name != "identity"  # which a run takes from a directory of its own
    }
    directory = tmp_path_factory.mktemp("models") / "small"
    identity_net = {"identity": shapes.variables["identity"]}
    save_model(directory, shapes.kind, shapes.config, weights | identity_net)
    return directory


def _config(identity: Path, small: Path, **changes: Any) -> Config:
    values = {"resolution": NEW, "loss_resolution": OLD, "pretrained__swapper": str(small)}
    return tiny.tiny_config("synthetic_64", identity, **values, **CHANGES, **changes)


def _started(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and variables of the larger swapper before its first step."""
    task = make_task(config)
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    model = task.export(state, task.load_frozen())
    return model.config, model.variables


@pytest.fixture(scope="module")
def large(identity: Path, small: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return _started(_config(identity, small))


def test_it_draws_the_smaller_one_s_faces_upsampled(
    small: Path, large: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    config, variables = large
    assert config["encoder"]["resolution"] == OLD and config["resolution"] == NEW
    faces = np.random.default_rng(1).uniform(-1, 1, (2, 2, OLD, OLD, 3)).astype(np.float32)
    meta, old = read_model(small)
    before = KINDS["swapper"]("swapper", meta["config"], old)
    after = KINDS["swapper"]("swapper", config, variables)
    source, target = faces.repeat(2, axis=2).repeat(2, axis=3)  # the encoder pools them again
    expected = before.swap(*faces, selector="all_source")
    got = after.swap(source, target, selector="all_source")
    drawn = np.asarray(upsample2d(jnp.asarray(expected.generated)))
    assert drawn.std() > 0.1
    np.testing.assert_allclose(got.generated, drawn, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        got.codes.attributes[:, :LAYERS], expected.codes.attributes, rtol=0, atol=1e-5
    )
    # The new codes are the average's until something is learned about them.
    w_avg = old["generator"]["constants"]["mapping"]["w_avg"]
    new_codes = np.asarray(got.codes.attributes[:, LAYERS:])
    np.testing.assert_array_equal(new_codes, np.broadcast_to(w_avg, new_codes.shape))


def test_what_has_no_layers_is_copied(
    small: Path, large: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    old = traverse_util.flatten_dict(read_model(small)[1], sep="/")
    new = traverse_util.flatten_dict(large[1], sep="/")
    grown, lost = [], []
    for path, leaf in old.items():
        if path not in new:
            lost.append(path)
        elif new[path].shape != leaf.shape:
            grown.append(path)
        else:
            np.testing.assert_array_equal(new[path], leaf, err_msg=path)
    assert sorted(lost) == [f"discriminator/b{OLD}/fromrgb/{name}" for name in ("bias", "weight")]
    swap = ("bias", "context_in/kernel", "owners", "places", "transfer_in", "transfer_out")
    head = "encoder/params/attributes/Dense_2"
    assert sorted(grown) == sorted(
        [f"{head}/bias", f"{head}/kernel", "probe/params/weight"]
        + [f"swap/params/{name}" for name in swap]
        + ["target_features/params/context_in/kernel"]
    )
    fresh = {path.split("/")[0] for path in new.keys() - old.keys()}
    assert fresh == {"generator", "discriminator"}
    assert all(f"/b{NEW}/" in path for path in new.keys() - old.keys())


def test_new_layers_start_as_the_table_says(
    small: Path, large: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    old, new = read_model(small)[1], large[1]
    was, now = old["swap"]["params"], new["swap"]["params"]
    for name in ("places", "owners", "bias"):
        np.testing.assert_array_equal(now[name][: -NEW_LAYERS * GROUPS], was[name])
        last = [was[name][-GROUPS:]] * NEW_LAYERS
        np.testing.assert_array_equal(now[name][-NEW_LAYERS * GROUPS :], np.concatenate(last))
    np.testing.assert_array_equal(now["transfer_out"][:LAYERS], was["transfer_out"])
    assert not np.asarray(now["transfer_out"][LAYERS:]).any()
    assert np.asarray(now["transfer_in"][LAYERS:]).all()
    # The context read two pose codes, then the codes of both faces: new ones say nothing yet.
    kernel, wanted = np.asarray(now["context_in"]["kernel"]), was["context_in"]["kernel"]
    end = 2 * FROM_OLD_TO_NEW.pose_size + LAYERS * WIDTH
    added, kept = NEW_LAYERS * WIDTH, np.ones(len(kernel), bool)
    for begin in (end, end + added + LAYERS * WIDTH):
        assert not kernel[begin : begin + added].any()
        kept[begin : begin + added] = False
    np.testing.assert_array_equal(kernel[kept], wanted)
    assert not np.asarray(new["probe"]["params"]["weight"][LAYERS:]).any()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "resolution": ({"resolution": 32, "loss_resolution": 0}, "resolution 64; expected 32 or less"),
    "held": ({"generator__train": False}, "expected True at resolution 128"),
    "groups": ({"swap__channel_groups": 8}, r"swap params/bias is \(44,\), in the run \(104,\)"),
    "width": ({"swap__width": 16}, r"swap params/code_tokens/bias is \(8,\), in the run \(16,\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_grow_is_one_clear_line(
    identity: Path, large: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path, fault: str
) -> None:
    changes, message = FAULTS[fault]
    config, variables = large
    save_model(tmp_path / "model", "swapper", config, variables)
    given = {"resolution": 2 * NEW, "loss_resolution": OLD, **CHANGES, **changes}
    with pytest.raises(UserError, match=message) as error:
        config = tiny.tiny_config(
            "synthetic_64", identity, pretrained__swapper=str(tmp_path / "model"), **given
        )
        task = make_task(config)
        jax.eval_shape(task.init, jax.random.key(0), task.load_pretrained())
    assert "\n" not in str(error.value)


def test_an_array_that_no_rule_knows_is_named() -> None:
    """Selections will have further arrays with a part for every layer."""
    old, new = {"params": {"gains": jnp.ones((8, 3))}}, {"params": {"gains": jnp.ones((10, 3))}}
    with pytest.raises(UserError, match=r"swap params/gains is \(8, 3\), in the run \(10, 3\)"):
        grow("swap", old, new, FROM_OLD_TO_NEW)
    for tree in ({}, old):
        message = "gains is missing" if not tree else "in the run missing"
        with pytest.raises(UserError, match=message):
            grow("swap", tree, {} if tree else new, FROM_OLD_TO_NEW)
    # One that is known, and differs by more than the new layers: another width of codes.
    old, new = ({"params": {"transfer_out": jnp.ones((n, 8, w))}} for n, w in ((8, 16), (10, 32)))
    with pytest.raises(UserError, match="transfer_out"):
        grow("swap", old, new, FROM_OLD_TO_NEW)


@pytest.mark.parametrize("name", ["cell0_in_weight", "cell2_shift_bias", "layer3_weight", "mix"])
def test_transfers_grow_by_fresh_layers(name: str) -> None:
    old, new = ({"params": {name: jnp.full((n, 3), float(n))}} for n in (4, 6))
    grown = grow("swap", old, new, FROM_OLD_TO_NEW)["params"][name]
    np.testing.assert_array_equal(grown[:, 0], [4.0] * 4 + [6.0] * 2)


def test_an_explicit_table_of_channels_goes_on_by_halves() -> None:
    values = {"resolution": 16, "channels": [[4, 32], [8, 16], [16, 8]], "w_dim": 16}
    larger = larger_generator(values, 64)
    assert larger["channels"] == [[4, 32], [8, 16], [16, 8], [32, 4], [64, 2]]
    assert larger["resolution"] == 64 and larger["w_dim"] == 16
    assert larger_generator({"resolution": 16, "channel_base": 9}, 32) == {
        "resolution": 32,
        "channel_base": 9,
    }


def test_every_rule_names_a_unit() -> None:
    rules = [rule for table in growth.PER_LAYER.values() for rule in table.values()]
    assert {rule.unit for rule in rules} == FROM_OLD_TO_NEW.units.keys()
    assert FROM_OLD_TO_NEW.layers == LAYERS and FROM_OLD_TO_NEW.new_layers == NEW_LAYERS


@pytest.mark.slow
def test_it_trains_on(identity: Path, small: Path) -> None:
    task = make_task(_config(identity, small))
    mesh = sharding.make_mesh(jax.devices()[:1])
    frozen = sharding.replicate(mesh, task.load_frozen())
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    before = jax.device_get(state.params["generator"]["synthesis"][f"b{NEW}"]["torgb"]["weight"])
    assert not before.any()
    state = sharding.replicate(mesh, state)
    pair = tiny.random_batch("pairs")
    assert isinstance(pair, PairBatch)
    larger = jax.tree.map(
        lambda x: x.repeat(2, axis=1).repeat(2, axis=2) if x.shape[1:3] == (OLD, OLD) else x, pair
    )
    batch = sharding.shard_batch(mesh, jax.tree.map(np.asarray, larger))
    structure = jax.tree.structure(state)
    program = lower_step(task, task.phase(1), mesh, state, frozen, batch).compile()
    leaves, metrics = program(jax.tree.leaves(state), jax.tree.leaves((frozen, batch)))
    assert all(np.isfinite(float(value)) for value in metrics.values())
    state = jax.tree.unflatten(structure, leaves)
    after = np.asarray(state.params["generator"]["synthesis"][f"b{NEW}"]["torgb"]["weight"])
    assert after.any()
