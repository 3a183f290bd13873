"""``alrl_jax.load``: what a model directory becomes, and what a caller can ask of it."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import alrl_jax
from alrl_jax import loading
from alrl_jax.errors import UserError
from alrl_jax.loading import Model, SwapperModel, loader, protocols
from alrl_jax.loading.loader import KINDS, load_as
from alrl_jax.models.swapper.selection import SELECTORS
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.tasks import make_task
from alrl_jax.training.tasks.diagnostics import FIRST_OWNERS
from alrl_jax.training.tasks.task import ExportedModel
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")


def save_untrained(name: str, directory: Path, identity: Path | None = None) -> Path:
    task = make_task(tiny.tiny_config(name, identity))
    state = jax.jit(task.init)(jax.random.key(0), {})
    model = task.export(state, task.load_frozen())
    save_model(directory, model.kind, model.config, model.variables)
    return directory


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny.save_tiny_identity(root / "identity")
    save_untrained("synthetic_64", root / "swapper", root / "identity")
    return root


@pytest.fixture(scope="module")
def swapper(models: Path) -> SwapperModel:
    return alrl_jax.load_swapper(models / "swapper")


SOURCE, TARGET = tiny.random_faces(3, seed=1).image, tiny.random_faces(3, seed=2).image


def test_a_swap_has_all_its_parts(swapper: SwapperModel) -> None:
    output = swapper.swap(SOURCE, TARGET)
    assert output.image.shape == SOURCE.shape
    assert set(np.unique(np.asarray(output.gates.attributes))) <= {0.0, 1.0}
    blended = output.mask * output.generated + (1 - output.mask) * TARGET
    np.testing.assert_allclose(output.image, blended, atol=1e-6)


def test_everything_from_the_target_is_its_reconstruction(swapper: SwapperModel) -> None:
    output = swapper.swap(SOURCE, TARGET, identity_from="target")
    np.testing.assert_allclose(output.generated, swapper.reconstruct(TARGET), atol=1e-5)


def test_pose_from_the_source_is_the_sources_pose_code(swapper: SwapperModel) -> None:
    from_source = swapper.swap(SOURCE, TARGET, pose_from="source")
    from_target = swapper.swap(SOURCE, TARGET, pose_from="target")
    itself = swapper.swap(SOURCE, SOURCE)
    np.testing.assert_allclose(from_source.codes.pose, itself.codes.pose, atol=1e-5)
    assert float(np.abs(from_source.codes.pose - from_target.codes.pose).max()) > 1e-3


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_swaps(swapper: SwapperModel, selector: str) -> None:
    output = swapper.swap(SOURCE, TARGET, selector=selector)
    assert np.isfinite(np.asarray(output.image)).all()


def test_unknown_arguments_are_refused(swapper: SwapperModel) -> None:
    with pytest.raises(UserError, match="attribute group is 'hat'"):
        swapper.swap(SOURCE, TARGET, groups={"hat": "source"})
    with pytest.raises(UserError, match="pose from 'both'"):
        swapper.swap(SOURCE, TARGET, pose_from="both")
    with pytest.raises(UserError, match="selector is 'luck'"):
        swapper.swap(SOURCE, TARGET, selector="luck")


def test_identity_net_gives_unit_embeddings(models: Path) -> None:
    embeddings = loading.load_analyser(models / "identity", "identity")(SOURCE)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1.0, rtol=1e-4)


def test_a_generator_draws_from_latents(tmp_path: Path) -> None:
    model = alrl_jax.load_generator(save_untrained("generator_64", tmp_path / "generator"))
    z = np.random.default_rng(0).normal(size=(2, model.config["z_dim"])).astype(np.float32)
    ws = model.map(z, truncation_psi=0.7)
    image = model.synthesize(ws)
    assert image.shape == (2, tiny.RESOLUTION, tiny.RESOLUTION, 3)
    assert np.isfinite(np.asarray(image)).all()
    np.testing.assert_array_equal(image, model.synthesize(ws))


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        alrl_jax.load(tmp_path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m", "oracle", {}, {"w": np.zeros(2, np.float32)})
    with pytest.raises(UserError, match="kind 'oracle'"):
        alrl_jax.load(tmp_path / "m")


TYPED = {name: getattr(loading, name) for name in loading.__all__ if name.startswith("load_")}


def save_stored(directory: Path, kind: str) -> Path:
    """A directory of a kind; its networks could not be built of it."""
    save_model(directory, kind, {}, {"w": np.zeros(2, np.float32)})
    return directory


def test_every_class_has_a_typed_loader() -> None:
    """One for every class of the table, named in its annotation."""
    given = {loader.__annotations__["return"] for loader in TYPED.values()}
    assert given == set(KINDS.values()) and len(TYPED) == len(given)


@pytest.mark.parametrize("name", TYPED)
def test_a_typed_loader_refuses_other_kinds_before_it_builds_them(
    name: str, tmp_path: Path
) -> None:
    model_class = TYPED[name].__annotations__["return"]
    own = [kind for kind, each in KINDS.items() if each is model_class]
    for other in (kind for kind in KINDS if kind not in own):
        with pytest.raises(UserError) as refused:
            TYPED[name](save_stored(tmp_path / other, other))
        (line,) = str(refused.value).splitlines()
        assert line.startswith(f"got a model of kind {other!r} in {tmp_path / other}; expected ")
        assert f"expected {' or '.join(map(repr, own))}; take " in line


def test_load_gives_the_class_of_the_table(models: Path) -> None:
    for name, kind in (("swapper", "swapper"), ("identity", "identity")):
        model = alrl_jax.load(models / name)
        assert type(model) is KINDS[kind] and isinstance(model, Model) and model.kind == kind


def test_one_kind_of_a_class_can_be_asked_for(models: Path) -> None:
    with pytest.raises(UserError, match="kind 'identity' in .*; expected 'judge'; take embedded"):
        loading.load_analyser(models / "identity", "judge")
    with pytest.raises(UserError, match="expected 'judge'; pick another$"):
        load_as(loading.AnalyserModel, models / "identity", "pick another", "judge")


def test_models_have_what_an_evaluation_needs(models: Path, swapper: SwapperModel) -> None:
    analyser = loading.load_analyser(models / "identity")
    assert isinstance(swapper, protocols.Swapper) and not isinstance(swapper, protocols.Judge)
    assert isinstance(analyser, protocols.Judge) and isinstance(analyser, protocols.Described)
    assert isinstance(analyser, protocols.MeasuringNetwork)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_a_run_says_whether_it_trained_ownership(
    monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    """Its model is taken out without its losses."""
    exported = ExportedModel("swapper", {"swap": {"owners_trained": False}}, {})
    task = SimpleNamespace(export=lambda *_: exported, load_frozen=dict)
    drawn = np.float32([[1.0, -1.0, 0.0], [0.5, 0.0, -0.5]])
    params, mutable = {"swap": {"params": {"owners": -drawn}}}, {FIRST_OWNERS: drawn}
    fields = {"step": np.int32(3), "params": params, "ema": {}, "mutable": mutable}
    losses = {"losses": {"attribute_groups": weight}}
    monkeypatch.setattr(loader, "read_config", lambda _: losses)
    monkeypatch.setattr(loader, "make_task", lambda _: task)
    monkeypatch.setattr(loader, "read_fields", lambda *_: (3, fields))
    _, model = loader.export_workdir(Path("run"))
    assert model.config["swap"]["owners_trained"] is bool(weight)
    assert model.config["swap"]["owners_like_first"] == pytest.approx(-1.0)
