"""A run on the world of human heads: its faces are rendered, read back and trained on."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from alrl_jax.data.pipeline import make_iterator
from alrl_jax.data.request import DataRequest
from alrl_jax.data.sources import open_source
from alrl_jax.training.tasks import make_task
from alrl_jax.types import FaceBatch
from alrl_jax.worlds import humans
from tests.support import tiny

SIDE = 128
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None or importlib.util.find_spec("embreex") is None,
    reason="needs the packages of requirements-data.lock",
)


@needs_package
def test_a_step_of_training_on_human_heads(tmp_path: Path) -> None:
    request = DataRequest("humans", str(tmp_path / "faces"), SIDE, 2, 1)
    source = open_source(request)
    assert len(source) == 2 and source.layout.attribute_factors == humans.ATTRIBUTE_FACTORS
    batch = next(make_iterator(source, kind="faces", batch_size=2, seed=0, flip=True))
    assert isinstance(batch, FaceBatch)
    config = tiny.tiny_config(
        "identity_64",
        resolution=SIDE,
        batch_size=2,
        data__source="humans",
        identity__glimpses=False,
    )
    task = make_task(config)

    def step(batch: FaceBatch) -> dict[str, jax.Array]:
        state = task.init(jax.random.key(0), {})
        return task.step(state, {}, batch, task.phase(0))[1]

    metrics = jax.jit(step)(batch)
    assert np.isfinite(float(metrics["loss/total"])) and float(metrics["loss/total"]) > 0
