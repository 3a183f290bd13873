"""Rows of the table: each trains what is its own on features and a generator that nothing moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import alrl_jax
from alrl_jax.config import Config
from alrl_jax.errors import UserError
from alrl_jax.loading.loader import KINDS, SwapperModel
from alrl_jax.models.swapper.selection import BEST_FIXED, SELECTORS
from alrl_jax.models.swapper.transfers import TRANSFERS
from alrl_jax.storage.model_directory import read_model, save_model
from alrl_jax.training.tasks import SwapTask, make_task
from alrl_jax.types import PairBatch
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

SHARES = (0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0)
OTHER_LOSSES = (
    "perceptual",
    "self_perceptual",
    "self_reconstruction",
    "background",
    "parsing",
    "attributes",
    "identity_factors",
    "latent",
    "pose_consistency",
    "attribute_consistency",
)
"""Losses that have nothing to do with a row; each is long to compile."""
FEW = {f"losses__{name}": 0.0 for name in OTHER_LOSSES} | {"swap__turn_head": False}
TRANSFER = {"swap__context": 8, "swap__pose_transfer": True}
"""Shape of the selection that rows start from."""
QUICK = ("adaptive", "best_fixed")
BOUNDS = {"all_target", "all_source"}
SELECTIONS = sorted({*SELECTORS, *TRANSFERS, BEST_FIXED} - BOUNDS)
"""Selections that have a row."""
SOURCE, TARGET = tiny.random_faces(3, seed=1).image, tiny.random_faces(3, seed=2).image


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    identity = tiny.save_tiny_identity(folder / "identity")
    return {
        "identity": identity,
        "swapper": tiny.save_tiny_swapper(folder / "swapper", identity, **TRANSFER),
    }


@pytest.fixture(scope="module")
def make(paths: dict[str, Path]) -> Callable[..., SwapTask]:
    def make_row(row: str, **changes: Any) -> SwapTask:
        changes = {"pretrained__swapper": str(paths["swapper"]), **changes}
        if row == "best_fixed":
            changes = {"swap__source_weights": SHARES, **changes}
        task = make_task(
            tiny.tiny_config(f"{tiny.ROWS_CONFIG}:{row}", paths["identity"], **changes)
        )
        assert isinstance(task, SwapTask)
        return task

    return make_row


def train(task: SwapTask, batch: PairBatch) -> tuple[Any, Any, dict[str, float]]:
    """State before and after a step, and its metrics."""
    frozen = task.load_frozen()
    before = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    step = jax.jit(task.step, static_argnames="phase")
    after, metrics = step(before, frozen, batch, phase=task.phase(0))
    return before, after, {name: float(value) for name, value in metrics.items()}


def model_of(task: SwapTask, state: Any) -> SwapperModel:
    model = task.export(state, task.load_frozen())
    swapper = KINDS["swapper"](model.kind, model.config, model.variables)
    assert isinstance(swapper, SwapperModel)
    return swapper


def moved(before: Any, after: Any) -> float:
    """Share of the arrays that differ."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return float(np.mean([bool((np.asarray(a) != np.asarray(b)).any()) for a, b in pairs]))


@pytest.mark.parametrize(
    "selector",
    [pytest.param(s, marks=() if s in QUICK else pytest.mark.slow) for s in SELECTIONS],
)
def test_every_selection_trains_on_frozen_features(
    make: Callable[..., SwapTask], paths: dict[str, Path], tmp_path: Path, selector: str
) -> None:
    task = make(selector, **FEW)
    before, after, metrics = train(task, tiny.random_batch("pairs"))
    assert all(np.isfinite(value) for value in metrics.values())
    learns = selector in ("adaptive", "ftm4", "mixer")
    assert ("swap" in after.params) == learns
    for tree in (after.params, after.ema, after.opt_state):
        names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]
        assert not [name for name in names if "backbone" in name or "generator" in name]
    assert moved(before.params["encoder"], after.params["encoder"]) > 0.5
    if learns:
        assert moved(before.params["swap"], after.params["swap"]) > 0
    model = model_of(task, after)
    _, shared = read_model(paths["swapper"])
    assert moved(shared["generator"], model.variables["generator"]) == 0
    own = model.variables["encoder"]["params"]
    assert moved(shared["encoder"]["params"]["backbone"], own["backbone"]) == 0
    save_model(tmp_path / "row", model.kind, model.config, model.variables)
    again = alrl_jax.load(tmp_path / "row")
    assert again.selectors[0] == selector and "adaptive" not in again.selectors[1:]
    swapped, gates = again.swap(SOURCE, TARGET), again.swap(SOURCE, TARGET, selector=selector).gates
    assert np.isfinite(np.asarray(swapped.image)).all()
    np.testing.assert_array_equal(swapped.gates.attributes, gates.attributes)
    if selector == "adaptive":
        assert set(np.unique(np.asarray(gates.attributes))) <= {0.0, 1.0}, "binary at inference"
    if selector == "best_fixed":
        np.testing.assert_array_equal(gates.attributes[0, :, 0], SHARES[1:])


NO_LABELS = {"losses__region": 0.0, "losses__parsing": 0.0, "losses__attribute_groups": 0.0}


@pytest.mark.parametrize(
    "row", ["adaptive", pytest.param("detached_blend", marks=pytest.mark.slow)]
)
def test_the_mask_learns_from_the_swap(make: Callable[..., SwapTask], row: str) -> None:
    """Without any label of a mask, from the blended image alone; not where that is detached."""
    others = {"losses__identity": 0.0, "losses__reconstruction": 0.0}
    task = make(row, **(FEW | NO_LABELS | others))
    before, after, metrics = train(task, tiny.random_batch("pairs"))
    heads = [state.params["encoder"]["params"]["region"] for state in (before, after)]
    assert (moved(*heads) > 0.5) if row == "adaptive" else (moved(*heads) == 0)
    assert metrics["dead/swap"] <= 0.05 and metrics["dead/target_features"] <= 0.05
    assert metrics["gradient/target_features"] > 0 and 0 < metrics["mask/area"] < 1


def parameters(row: str) -> int:
    """Parameters of the selection and of the target's features of a row, at full width."""
    module = tiny.load_config_file(tiny.ROWS_CONFIG)
    config = module.get_config(row)
    config.pretrained.swapper = ""
    config.generator.train = config.encoder.train_backbone = True
    task = SwapTask(Config.from_dict(config.to_dict()))
    params = jax.eval_shape(task.init, jax.random.key(0), {}).params
    trees = [params["swap"], params["target_features"]]
    return sum(leaf.size for leaf in jax.tree.leaves(trees))


def test_fair_rows_have_as_many_parameters() -> None:
    rows = tiny.load_config_file(tiny.ROWS_CONFIG).FAIR
    counts = {row: parameters(row) for row in rows}
    most, least = max(counts.values()), min(counts.values())
    assert most <= 1.1 * least, counts


def test_rows_without_queries_obey_pose_and_identity_and_refuse_groups(
    make: Callable[..., SwapTask],
) -> None:
    task = make("ftm4", **FEW)
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    model = model_of(task, state)
    assert model.attribute_groups == ("identity", "pose")
    untouched = model.swap(SOURCE, TARGET, identity_from="target")
    np.testing.assert_allclose(untouched.generated, model.reconstruct(TARGET), atol=1e-5)
    turned = model.swap(SOURCE, TARGET, pose_from="source")
    np.testing.assert_allclose(turned.codes.pose, model.swap(SOURCE, SOURCE).codes.pose, atol=1e-6)
    for selector in ("ftm4", "mean"):
        with pytest.raises(UserError, match=f"'expression' with selector {selector}; expected"):
            model.swap(SOURCE, TARGET, groups={"expression": "source"}, selector=selector)
    with pytest.raises(UserError, match="selector is 'adaptive'; expected one of"):
        model.swap(SOURCE, TARGET, selector="adaptive")


def test_what_starts_fresh_is_what_the_config_says(
    make: Callable[..., SwapTask], paths: dict[str, Path]
) -> None:
    def start(row: str, **changes: Any) -> Any:
        task = make(row, **FEW, **changes)
        return jax.jit(task.init)(jax.random.key(0), task.load_pretrained()).params

    _, shared = read_model(paths["swapper"])
    params = start("adaptive", fresh=("swap",))
    assert moved(shared["swap"], params["swap"]) > 0
    heads = {n: x for n, x in shared["encoder"]["params"].items() if n != "backbone"}
    assert moved(heads, params["encoder"]["params"]) == 0
    params = start("adaptive")
    assert moved(shared["swap"], params["swap"]) == 0
    start("mixer")  # another selection starts fresh by itself
    params = start("adaptive", fresh=("heads", "swap"), encoder__train_backbone=True)
    assert (
        moved(shared["encoder"]["params"]["backbone"], params["encoder"]["params"]["backbone"]) == 0
    )
    assert moved(heads, {n: params["encoder"]["params"][n] for n in heads}) > 0


@pytest.mark.slow
@pytest.mark.parametrize("space", ["coarse_codes", "no_pose_space", "trained_constant"])
def test_pose_spaces_train_on_the_same_features(make: Callable[..., SwapTask], space: str) -> None:
    task = make(space, **FEW)
    before, after, _ = train(task, tiny.random_batch("pairs"))
    trained = [
        state.params["generator"] for state in (before, after) if "generator" in state.params
    ]
    assert (moved(*trained) > 0) if space == "trained_constant" else not trained
    output = model_of(task, after).swap(SOURCE, TARGET)
    assert not np.asarray(output.codes.pose).any()
    if space == "coarse_codes":
        codes = model_of(task, after).swap(TARGET, TARGET).codes.attributes
        np.testing.assert_allclose(output.codes.attributes[:, :3], codes[:, :3], atol=1e-6)
        assert not np.asarray(output.gates.attributes[:, :3]).any()


def test_masks_that_need_no_region_head(make: Callable[..., SwapTask]) -> None:
    outputs = {}
    for row in ("adaptive", "ellipse", "no_blending"):
        task = make(row, **FEW, fresh=())
        state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
        outputs[row] = model_of(task, state).swap(SOURCE, TARGET)
    generated = outputs["adaptive"].generated
    for output in outputs.values():
        np.testing.assert_allclose(output.generated, generated, atol=1e-6)
    whole = outputs["no_blending"]
    np.testing.assert_array_equal(whole.image, whole.generated)
    mask = np.asarray(outputs["ellipse"].mask)
    np.testing.assert_array_equal(mask[0], mask[1])
    assert mask.min() == 0.0 and mask.max() == 1.0
    assert 0 < np.abs(mask - np.asarray(outputs["adaptive"].mask)).max()


@pytest.mark.slow
def test_the_ceiling_learns_from_true_swaps(make: Callable[..., SwapTask]) -> None:
    task = make("supervised", **FEW)
    frozen, batch = task.load_frozen(), tiny.random_batch("pairs")
    state = jax.jit(task.init)(jax.random.key(0), task.load_pretrained())
    step = jax.jit(task.step, static_argnames="phase")
    truths = (tiny.random_faces(tiny.BATCH, seed=9).image, batch.target.image)
    losses = [
        step(state, frozen, batch.replace(truth=truth), phase=task.phase(0))[1]["loss/supervised"]
        for truth in truths
    ]
    assert 0 < float(losses[0]) != float(losses[1]) > 0


def test_the_ceiling_alone_sees_true_swaps(make: Callable[..., SwapTask]) -> None:
    for name in tiny.CONFIG_NAMES:
        config = tiny.tiny_config(name)
        assert not config.data.true_swaps and not config.losses.get("supervised"), name
    rows = tiny.load_config_file(tiny.ROWS_CONFIG).ROWS
    asking = []
    for row in rows:
        changes = {"swap__source_weights": SHARES} if row == "best_fixed" else {}
        config = tiny.tiny_config(f"{tiny.ROWS_CONFIG}:{row}", **changes)
        asking += [row] if config.data.true_swaps or config.losses.get("supervised") else []
    assert asking == ["supervised"]


def test_frozen_features_have_to_be_trained_ones(make: Callable[..., SwapTask]) -> None:
    with pytest.raises(UserError, match="train_backbone is False without pretrained.swapper"):
        make("adaptive", pretrained__swapper="", generator__train=True)
