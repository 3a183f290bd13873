"""``alrl_jax.load``: what a model directory becomes, and what a caller can ask of it."""

from pathlib import Path

import jax
import numpy as np
import pytest

import alrl_jax
from alrl_jax.errors import UserError
from alrl_jax.loading.loader import SwapperModel
from alrl_jax.models.swapper.selection import SELECTORS
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.tasks import make_task
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
    model = alrl_jax.load(models / "swapper")
    assert isinstance(model, SwapperModel)
    return model


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


def test_unknown_wishes_are_refused(swapper: SwapperModel) -> None:
    with pytest.raises(UserError, match="attribute group is 'hat'"):
        swapper.swap(SOURCE, TARGET, groups={"hat": "source"})
    with pytest.raises(UserError, match="pose from 'both'"):
        swapper.swap(SOURCE, TARGET, pose_from="both")
    with pytest.raises(UserError, match="selector is 'luck'"):
        swapper.swap(SOURCE, TARGET, selector="luck")


def test_identity_net_gives_unit_embeddings(models: Path) -> None:
    embeddings = alrl_jax.load(models / "identity")(SOURCE)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1.0, rtol=1e-4)


def test_a_generator_draws_from_latents(tmp_path: Path) -> None:
    model = alrl_jax.load(save_untrained("generator_64", tmp_path / "generator"))
    z = np.random.default_rng(0).normal(size=(2, model.config["z_dim"])).astype(np.float32)
    ws = model.map(z, truncation_psi=0.7)
    image = model.synthesize(ws)
    assert image.shape == (2, tiny.RESOLUTION, tiny.RESOLUTION, 3)
    assert np.isfinite(np.asarray(image)).all()
    np.testing.assert_array_equal(image, model.synthesize(ws))


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        alrl_jax.load(tmp_path)


def test_a_kind_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m", "oracle", {}, {"w": np.zeros(2, np.float32)})
    with pytest.raises(UserError, match="kind 'oracle'"):
        alrl_jax.load(tmp_path / "m")
