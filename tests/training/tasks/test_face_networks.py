"""What task identity trains: each kind reads what its model knows, and opens like the published."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.errors import UserError
from alrl_jax.loading.faces import FaceEmbedderModel
from alrl_jax.loading.measuring import FaceParserModel, HopenetModel
from alrl_jax.storage.model_directory import save_model
from alrl_jax.training.tasks import make_task
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODELS = {"identity": FaceEmbedderModel, "pose": HopenetModel, "parser": FaceParserModel}


@pytest.mark.parametrize("name", MODELS)
def test_a_stand_in_opens_as_the_published_network_does(name: str, tmp_path: Path) -> None:
    task = make_task(tiny.tiny_config(f"stand_ins_64:{name}"))
    state = jax.jit(task.init)(jax.random.key(0), {})
    assert set(state.mutable) == {"analyser"}, "statistics are not trained"
    model = task.export(state, {})
    assert set(model.variables) == {"params", "batch_stats"}
    save_model(tmp_path / name, model.kind, model.config, model.variables)
    opened = alrl_jax.load(tmp_path / name)
    assert isinstance(opened, MODELS[name])
    side = int(model.config["resolution"])
    answer = opened(jnp.zeros((2, side, side, 3)))
    wanted = {"identity": (2, 16), "pose": (2, 3), "parser": (2, side, side, 19)}
    assert answer.shape == wanted[name] and np.isfinite(answer).all()


def test_a_stand_in_learns_nothing_else() -> None:
    with pytest.raises(UserError, match="losses.pose_regression has a weight with identity.kind a"):
        make_task(tiny.tiny_config("stand_ins_64:identity", losses__pose_regression=1.0))
    with pytest.raises(UserError, match="losses.arcface .*kind face_parser; expected 0, as that"):
        make_task(tiny.tiny_config("stand_ins_64:parser", losses__arcface=1.0))


def test_the_rehearsal_weighs_no_label_of_the_world() -> None:
    config = tiny.tiny_config("rehearsal_64")
    photos = tiny.tiny_config("ffhq_256")
    module = tiny.load_config_file("rehearsal_64")
    assert not [name for name in module.LABELLED if config.losses.get(name)]
    assert config.losses == photos.losses and not config.data.labels
    assert config.data.witnesses and photos.data.witnesses
    for name in ("cycle_targets", "attribute_control"):
        assert getattr(config.swap, name) == getattr(photos.swap, name) > 0
    assert config.swap.target_features == photos.swap.target_features == "pair"
    assert config.swap.pose_transfer and photos.swap.pose_transfer
    assert config.optimizer.gate_learning_rate and photos.optimizer.gate_learning_rate
