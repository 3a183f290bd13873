"""Every task: a step of every config, one device like eight, nothing moved that must not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.errors import UserError
from alrl_jax.storage.model_directory import read_model, save_model
from alrl_jax.training import sharding
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import Task, make_task
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

# Every loss has to be compiled: tests that look at few of them switch off the others.
EXPENSIVE = ("adversarial", "perceptual", "self_perceptual", "self_reconstruction", "background")
FEW_LOSSES = {f"losses__{name}": 0.0 for name in EXPENSIVE}
TASK_CONFIGS = {"generator": "generator_64", "identity": "identity_64", "swap": "synthetic_64"}
SUMS = {"loss/total", "loss/generator", "loss/discriminator"}
MANY = {"discriminator__mbstd_blocks": 8, "discriminator__mbstd_group_size": 1}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_identity(tmp_path_factory.mktemp("models") / "identity")


@pytest.fixture(scope="module")
def tiny_task(identity: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Task]:
    def make(name: str, **changes: Any) -> Task:
        if name == tiny.ROWS_CONFIG:
            folder = tmp_path_factory.mktemp(name) / "swapper"
            # The neutral start of rows selects nothing.
            path = tiny.save_tiny_swapper(folder, identity, swap__selector="all_target")
            changes["pretrained__swapper"] = str(path)
        if name not in tiny.WITH_PUBLISHED:
            return make_task(tiny.tiny_config(name, identity, **changes))
        wanted = tiny.load_config_file(name).get_config().pretrained
        names = [network for network, directory in wanted.items() if directory]
        paths = fabricate(tmp_path_factory.mktemp(name), names, tiny.RESOLUTION, tiny.NARROW)
        named = {f"pretrained__{key}": str(path) for key, path in paths.items()}
        return make_task(tiny.tiny_config(name, paths["identity"], **named, **changes))

    return make


def run(
    task: Task, devices: int, steps: int = 1, batch_size: int = tiny.BATCH
) -> tuple[Any, list[dict[str, float]], str]:
    """State, metrics of every step, and the compiled text of the last step's phase."""
    mesh = sharding.make_mesh(jax.devices()[:devices])
    frozen = sharding.replicate(mesh, task.load_frozen())
    pretrained = task.load_pretrained()
    state = sharding.replicate(mesh, jax.jit(task.init)(jax.random.key(0), pretrained))
    structure, metrics, programs, text = jax.tree.structure(state), [], {}, ""
    for step in range(steps):
        batch = sharding.shard_batch(
            mesh,
            jax.tree.map(np.asarray, tiny.random_batch(task.batch_kind, batch_size, seed=step)),
        )
        phase = task.phase(step)
        if phase not in programs:
            programs[phase] = lower_step(task, phase, mesh, state, frozen, batch).compile()
        leaves, values = programs[phase](jax.tree.leaves(state), jax.tree.leaves((frozen, batch)))
        state = jax.tree.unflatten(structure, leaves)
        metrics.append({name: float(value) for name, value in values.items()})
        text = programs[phase].as_text()
    return state, metrics, text


# Rows of the table have tests of their own, and other tests take steps of synthetic_64, of what
# photographs need (test_training_on_photos.py) and of the networks that only they have
# (test_loss_networks.py).
LONG_TO_COMPILE = ("autoencoder_64", "synthetic_64", "synthetic_64_refine")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name in (*tiny.WITH_PUBLISHED, tiny.ROWS_CONFIG, *LONG_TO_COMPILE)
        else name
        for name in (*tiny.CONFIG_NAMES, "stand_ins_64:pose", "stand_ins_64:parser")
    ],
)
def test_every_config_takes_a_step(tiny_task: Callable[..., Task], name: str) -> None:
    task = tiny_task(name)
    state, metrics, _ = run(task, devices=1)
    assert int(state.step) == 1
    assert all(np.isfinite(value) for value in metrics[0].values())
    assert "loss/total" in metrics[0] or "loss/generator" in metrics[0]


@pytest.mark.parametrize(
    "name",
    [
        name if task == "identity" else pytest.param(name, marks=pytest.mark.slow)
        for task, name in TASK_CONFIGS.items()
    ],
)
def test_eight_devices_train_like_one(tiny_task: Callable[..., Task], name: str) -> None:
    special = {
        "generator_64": {"losses__path_length": 2.0, "generator__style_mixing": 0.9},
        "synthetic_64": {
            "losses__r1": 0.0,
            "losses__pose_consistency": 0.1,
            "swap__cycle_targets": 0.5,
            "batch_size": 16,
        },
    }
    task = tiny_task(name, **MANY, **special.get(name, {}))
    # The first step of the generator runs both lazy regularisers; the others are one program.
    steps = 1 if name == "generator_64" else 2
    _, one, _ = run(task, devices=1, steps=steps, batch_size=16)
    _, eight, text = run(task, devices=8, steps=steps, batch_size=16)
    for step, (single, many) in enumerate(zip(one, eight, strict=True)):
        assert single.keys() == many.keys()
        # Adam's first update is a sign: where a gradient is rounding noise it points either way, so
        # that from the second step on only the sums of many terms agree to the last digits.
        for key in single if step == 0 else SUMS & single.keys():
            assert many[key] == pytest.approx(single[key], rel=1e-5, abs=1e-6), key
    if name == TASK_CONFIGS["swap"]:
        assert "all-reduce" in text
        assert not re.search(r"all-gather|all-to-all", text)


def test_a_swap_step_moves_what_it_trains(tiny_task: Callable[..., Task]) -> None:
    task = tiny_task("synthetic_64")
    before = jax.jit(task.init)(jax.random.key(0), {})
    after, _, _ = run(task, devices=1)
    for name in ("encoder", "swap", "probe", "generator", "discriminator"):
        moved = [
            bool((np.asarray(a) != np.asarray(b)).any())
            for a, b in zip(
                jax.tree.leaves(before.params[name]),
                jax.tree.leaves(after.params[name]),
                strict=True,
            )
        ]
        assert np.mean(moved) > 0.5, name
    jax.tree.map(np.testing.assert_array_equal, before.mutable, after.mutable)


@pytest.mark.slow
def test_a_frozen_generator_is_an_argument(tiny_task: Callable[..., Task], tmp_path: Path) -> None:
    path = fabricate(tmp_path, ["generator"], tiny.RESOLUTION, tiny.NARROW)["generator"]
    frozen = {"generator__train": False, "pretrained__generator": str(path)}
    task = tiny_task("synthetic_64", **frozen, **FEW_LOSSES)
    before = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    after, metrics, _ = run(task, devices=1)
    jax.tree.map(
        np.testing.assert_array_equal, before.params["discriminator"], after.params["discriminator"]
    )
    for tree in (after.params, after.ema, after.opt_state, after.mutable, task.load_pretrained()):
        assert "generator" not in tree and "constants" not in tree
    assert "loss/discriminator" not in metrics[0]
    exported = task.export(after, task.load_frozen())
    _, variables = read_model(path)
    jax.tree.map(np.testing.assert_array_equal, exported.variables["generator"], variables)
    assert exported.config["generator"]["demod_convention"] == "scaled"


def test_a_frozen_generator_has_to_be_a_trained_one(tiny_task: Callable[..., Task]) -> None:
    with pytest.raises(UserError, match=r"generator.train is False without pretrained.generator"):
        tiny_task("synthetic_64", generator__train=False)


def test_the_loss_of_a_fixed_batch_falls(tiny_task: Callable[..., Task]) -> None:
    task = tiny_task("identity_64", identity__augment=0.0, optimizer__decay=False)
    state = jax.jit(task.init)(jax.random.key(0), {})
    batch, step = tiny.random_batch("faces"), jax.jit(task.step, static_argnames="phase")
    totals = []
    for _ in range(8):
        state, metrics = step(state, {}, batch, phase=task.phase(0))
        totals.append(float(metrics["loss/total"]))
    assert totals[-1] < 0.9 * totals[0]


@pytest.mark.slow
def test_unlabelled_faces_have_no_label_losses(tiny_task: Callable[..., Task]) -> None:
    task = tiny_task("synthetic_64", **FEW_LOSSES)
    state, frozen = jax.jit(task.init)(jax.random.key(0), {}), task.load_frozen()
    batch = tiny.random_batch("pairs")
    unknown = {
        "labelled": jnp.zeros((tiny.BATCH,), bool),
        "identity_factors": jnp.zeros((tiny.BATCH, 0)),
        "attribute_factors": jnp.zeros((tiny.BATCH, 0)),
        "landmarks": jnp.zeros((tiny.BATCH, 0, 2)),
    }
    batch = batch.replace(
        source=batch.source.replace(**unknown), target=batch.target.replace(**unknown)
    )
    _, metrics = jax.jit(task.step, static_argnames="phase")(
        state, frozen, batch, phase=task.phase(1)
    )
    for name in ("region", "parsing", "attribute_groups"):
        assert float(metrics[f"loss/{name}"]) == 0.0


def test_no_judge_appears_in_training(tmp_path: Path) -> None:
    config = tiny.tiny_config("judge_64")
    judge = make_task(config)
    model = judge.export(jax.jit(judge.init)(jax.random.key(1), {}), {})
    assert model.kind == "judge"
    save_model(tmp_path / "judge", model.kind, model.config, model.variables)
    with pytest.raises(UserError, match="kind judge; expected identity"):
        make_task(tiny.tiny_config("synthetic_64", tmp_path / "judge"))


def test_judges_differ_from_loss_networks() -> None:
    judge, identity = tiny.tiny_config("judge_64"), tiny.tiny_config("identity_64")
    assert judge.data.split != identity.data.split
    assert judge.identity.block != identity.identity.block
    assert judge.seed != identity.seed


def test_a_swap_without_identity_net_is_refused() -> None:
    with pytest.raises(UserError, match=r"pretrained\.identity is not set"):
        make_task(tiny.tiny_config("synthetic_64", pretrained__identity=""))


def test_an_unknown_loss_is_refused(identity: Path) -> None:
    config = tiny.tiny_config("synthetic_64", identity)
    losses = {**config.losses, "identityy": 1.0}
    with pytest.raises(UserError, match="identityy is not a loss of task swap"):
        make_task(type(config).from_dict({**config.to_dict(), "losses": losses}))


def test_compute_dtype_reaches_the_networks() -> None:
    def computed_in(dtype: str) -> bool:
        task = make_task(tiny.tiny_config("generator_64", compute_dtype=dtype))
        state = jax.jit(task.init)(jax.random.key(0), {})
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
        batch = tiny.random_batch("faces")
        return "bf16" in str(jax.make_jaxpr(lambda s: task.preview(s, {}, batch))(state))

    assert computed_in("bfloat16") and not computed_in("float32")
