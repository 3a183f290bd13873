"""The swap learns from published loss networks, and says in one line what it cannot learn from."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.commands.fabricate_models import fabricate
from alrl_jax.data.parsing_classes import BISENET_TO_CELEBAMASK
from alrl_jax.errors import UserError
from alrl_jax.models.build import build_identity_network, build_swapper
from alrl_jax.storage.model_directory import MODEL_FILE, save_model
from alrl_jax.training import sharding
from alrl_jax.training.losses.table import LOSSES, total_loss
from alrl_jax.training.state import TrainState
from alrl_jax.training.step import lower_step
from alrl_jax.training.tasks import make_task, pooling
from alrl_jax.training.tasks.loss_networks import identity_values
from alrl_jax.training.tasks.swap import SwapTask
from alrl_jax.training.tasks.swap_forward import SwapForward
from alrl_jax.types import PairBatch
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

Make = Callable[..., SwapTask]

FACTORS = {
    "losses__identity_factors": 0.0,
    "losses__attributes": 0.0,
    "losses__attribute_groups": 0.0,
}
KEEP_TARGET = ("pose", "landmarks", "expression", "gaze", "light")
FEW = {
    f"losses__{name}": 0.0
    for name in ("adversarial", "r1", "perceptual", "self_perceptual", "background")
}
OTHERS = tuple(
    f"losses__{name}"
    for name in (
        "adversarial",
        "background",
        "reconstruction",
        "self_reconstruction",
        "latent",
        "gate_budget",
        "gate_entropy",
    )
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Directories by name."""
    folder = tmp_path_factory.mktemp("models")
    names = ("identity", "lpips", "parser", "pose")
    found = fabricate(folder, names, tiny.RESOLUTION, tiny.NARROW)
    own = tiny.save_tiny_identity(folder / "own")
    return {name: str(path) for name, path in {**found, "own": own}.items()}


@pytest.fixture(scope="module")
def make(models: dict[str, str]) -> Make:
    def swap_task(identity: str = "identity", **changes: Any) -> SwapTask:
        named = {f"pretrained__{n}": models.get(d, d) for n, d in changes.pop("named", {}).items()}
        config = tiny.tiny_config("synthetic_64", Path(models[identity]), **named, **changes)
        task = make_task(config)
        assert isinstance(task, SwapTask)
        return task

    return swap_task


def faces(labelled: bool) -> PairBatch:
    """Targets without labels, sources with them or without."""
    batch = tiny.random_batch("pairs")
    assert isinstance(batch, PairBatch)
    known = jnp.full((tiny.BATCH,), labelled)
    return batch.replace(
        source=batch.source.replace(labelled=known),
        target=batch.target.replace(labelled=jnp.zeros_like(known)),
    )


def step(task: SwapTask, batch: PairBatch, devices: int = 1) -> tuple[Any, dict[str, float], str]:
    """State and metrics after an update, and the compiled text."""
    mesh = sharding.make_mesh(jax.devices()[:devices])
    frozen = sharding.replicate(mesh, task.load_frozen())
    state = sharding.replicate(mesh, jax.jit(task.init)(jax.random.key(0), {}))
    structure = jax.tree.structure(state)
    batch = sharding.shard_batch(mesh, jax.tree.map(np.asarray, batch))
    program = lower_step(task, task.phase(1), mesh, state, frozen, batch).compile()
    leaves, metrics = program(jax.tree.leaves(state), jax.tree.leaves((frozen, batch)))
    values = {name: float(value) for name, value in metrics.items()}
    return jax.tree.unflatten(structure, leaves), values, program.as_text()


def traced_forward(task: SwapTask, batch: PairBatch) -> SwapForward:
    """A forward pass that is traced alone; what it left out is None already."""
    traced: list[SwapForward] = []
    frozen, key = task.load_frozen(), jax.random.key(0)

    def forward(state: TrainState) -> jax.Array:
        pairs = task._pairs(state, frozen, batch, key)
        traced.append(task._forward(state.params, state, frozen, pairs, key)[0])
        return total_loss("swap", traced[0], task._weights)[0]

    jax.eval_shape(forward, jax.eval_shape(task.init, key, {}))
    return traced[0]


@pytest.mark.parametrize("name", LOSSES["swap"])
def test_a_loss_finds_what_it_reads_where_it_is_the_only_one(make: Make, name: str) -> None:
    alone = {f"losses__{other}": float(other == name) for other in (*LOSSES["swap"], "r1")}
    batch = faces(labelled=True)
    batch = batch.replace(truth=batch.target.image) if name == "supervised" else batch
    named = {"parser": "parser", "pose": "pose"}
    traced_forward(make("own", named=named, **alone, data__true_swaps=name == "supervised"), batch)


@pytest.mark.slow
def test_all_published_loss_networks_serve_together(make: Make, tmp_path: Path) -> None:
    # Little else is learned, as every loss has to be compiled.
    others = dict.fromkeys(OTHERS, 0.0)
    named = {"lpips": "lpips", "parser": "parser", "pose": "pose"}
    keeping = {f"losses__{name}": 0.1 for name in KEEP_TARGET}
    task = make(named=named, **FACTORS, **others, **keeping)
    assert set(task.load_frozen()) == {"identity", "lpips", "parser", "pose"}
    assert set(task.load_frozen()["identity"]) == {"params", "batch_stats"}
    state, metrics, text = step(task, faces(labelled=True), devices=8)
    assert all(np.isfinite(value) for value in metrics.values())
    for name in ("identity", "perceptual", "self_perceptual", "region", "parsing", *KEEP_TARGET):
        assert metrics[f"loss/{name}"] > 0, name
    assert metrics["labels/from_parser"] == 0.5
    assert "loss/attributes" not in metrics
    # Weights travel as arguments, and nothing is gathered from the devices.
    assert not any(word in text for word in ("all-gather", "all-to-all"))
    # The swapper takes its identity net along, and opens like any other.
    model = task.export(state, task.load_frozen())
    save_model(tmp_path / "swapper", model.kind, model.config, model.variables)
    swapper = build_swapper(alrl_jax.load(tmp_path / "swapper").config)
    images = tiny.random_faces(2).image
    wanted = task._loss_networks.identity.embed(task.load_frozen()["identity"], images)
    np.testing.assert_allclose(swapper.embed(model.variables, images), wanted, rtol=1e-5)


def test_labels_of_the_data_win(make: Make, models: dict[str, str]) -> None:
    """A labelled source keeps its mask; the target has none and gets the parser's."""
    task = make("own", named={"parser": "parser"}, **FEW)
    batch, frozen = faces(labelled=True), task.load_frozen()
    loss_networks = task._loss_networks
    assert loss_networks.parser is not None

    def labels(batch: PairBatch) -> Any:
        pairs = pooling.pool_pairs(batch, batch.target, None, tiny.RESOLUTION)
        return loss_networks.labels(frozen, pairs)

    source, target = jax.jit(labels)(batch)
    np.testing.assert_array_equal(source.classes, batch.source.parsing)
    logits = alrl_jax.load(models["parser"])(
        jax.image.resize(batch.target.image, (tiny.BATCH, 64, 64, 3), "bilinear")
    )
    small = jax.image.resize(logits, (tiny.BATCH, 32, 32, 19), "bilinear", antialias=False)
    wanted = np.vectorize(BISENET_TO_CELEBAMASK.__getitem__)(np.asarray(small).argmax(-1))
    assert np.mean(np.asarray(target.classes) == wanted) > 0.999
    assert np.asarray(source.known).all() and np.asarray(target.known).all()
    unlabelled, _ = jax.jit(labels)(faces(labelled=False))
    assert (np.asarray(unlabelled.classes) != batch.source.parsing).any()


def test_what_no_loss_asks_is_neither_opened_nor_computed(make: Make) -> None:
    nowhere = {"lpips": "/nowhere", "parser": "/nowhere"}
    silent = {"losses__region": 0.0, "losses__parsing": 0.0, "losses__attributes": 0.0}
    silent |= {f"losses__{name}": 0.0 for name in ("identity", "self_reconstruction")}
    silent |= {"losses__attribute_groups": 0.0}
    task = make("own", named=nowhere, **FEW, **silent)
    assert set(task.load_frozen()) == {"identity"}
    batch = faces(labelled=False)
    made = traced_forward(task, batch)
    read = [getattr(made.read, field.name) for field in dataclasses.fields(made.read)]
    assert read == [None] * len(read)
    wanted = (made.wanted.person, made.wanted.attributes, made.wanted.target_labels)
    assert wanted == (None, None, None)
    assert made.drawn.reconstructed is None and made.fake_logits is None
    assert made.probe_factors is None


def test_the_log_says_where_masks_come_from(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "absl")
    make("own", named={"parser": "parser"}).load_frozen()
    make("own").load_frozen()
    first, second = (record.message for record in caplog.records if "masks" in record.message)
    assert "from the data where a face has one, else from /" in first
    assert first.endswith("/parser") and second == "masks come from the data alone"


@pytest.mark.parametrize(
    ("identity", "changes", "message"),
    [
        ("own", {"named": {"lpips": "/nowhere"}}, "pretrained.lpips: got /nowhere, which holds no"),
        ("own", {"named": {"parser": "/nowhere"}}, "pretrained.parser: got /nowhere, which holds"),
        ("own", {"named": {"lpips": "parser"}}, "of kind face_parser; expected lpips"),
        ("own", {"named": {"parser": "identity"}}, "of kind arcface; expected face_parser"),
        ("lpips", {}, "of kind lpips; expected identity or arcface or iresnet"),
        (
            "identity",
            {**FACTORS, "losses__attribute_groups": 0.1},
            "losses.attribute_groups is 0.1; expected 0",
        ),
        (
            "identity",
            {**FACTORS, "losses__attributes": 0.5},
            "losses.attributes is 0.5; expected 0, as .* reads identities alone",
        ),
        ("identity", FACTORS, "losses.perceptual is 0.5 without pretrained.lpips"),
        ("own", {"losses__pose": 0.5}, "losses.pose is 0.5 without pretrained.pose"),
        ("own", {"losses__gaze": 0.5}, "losses.gaze is 0.5 without pretrained.parser"),
        (
            "own",
            {"losses__pose": 0.5, "named": {"pose": "parser"}},
            "pretrained.pose is .* of kind face_parser; expected hopenet",
        ),
    ],
)
def test_what_cannot_serve_a_loss_is_one_clear_line(
    make: Make, identity: str, changes: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        make(identity, **changes)
    assert "\n" not in str(error.value)


def test_a_parser_of_other_classes_is_refused(
    make: Make, models: dict[str, str], tmp_path: Path
) -> None:
    meta = json.loads((Path(models["parser"]) / MODEL_FILE).read_text())
    meta["config"]["num_classes"] = 11
    (tmp_path / MODEL_FILE).write_text(json.dumps(meta))
    with pytest.raises(UserError, match="of 11 classes; expected the 19 of CelebAMask-HQ"):
        make("own", named={"parser": str(tmp_path)})


def test_an_identity_net_of_our_own_reads_at_its_own_resolution(models: dict[str, str]) -> None:
    named = {"identity": models["own"]}
    values = identity_values(named, 4 * tiny.RESOLUTION)
    network = build_identity_network(values)
    faces = jnp.ones((1, 4 * tiny.RESOLUTION, 4 * tiny.RESOLUTION, 3))
    assert network.side == tiny.RESOLUTION and network._pool(faces).shape[1] == tiny.RESOLUTION
    with pytest.raises(UserError, match=r"of resolution 32; expected a divisor of .* \(16\)"):
        identity_values(named, tiny.RESOLUTION // 2)


def test_lpips_measures_at_a_side_of_its_own(make: Make) -> None:
    named = {"lpips": "lpips"}
    for side in (0, tiny.RESOLUTION // 2):
        task = make("own", named=named, perceptual_resolution=side)
        assert task._loss_networks.perceptual is not None
        assert task._loss_networks.perceptual.side == side
