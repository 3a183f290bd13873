"""Hopenet gives the angles of the project, through its converted weights."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.errors import UserError
from alrl_jax.loading.measuring import HopenetModel
from alrl_jax.models.published.hopenet import ANGLES, Hopenet, expected_degrees
from tests.goldens.golden import assert_close, read_golden
from tests.support.checkpoints.golden_files import convert_golden, pixels


def test_angles_are_those_of_the_project(tmp_path: Path) -> None:
    golden = read_golden("hopenet")
    model = alrl_jax.load(convert_golden(golden, "hopenet", tmp_path))
    assert isinstance(model, HopenetModel) and model.config == {"depths": [3, 4, 6, 3]}
    images = pixels(golden, "img_uint8")
    np.testing.assert_allclose(model(images), golden.arrays["degrees"], atol=2e-4)
    logits = np.asarray(jax.jit(Hopenet().apply)(model.variables, jnp.asarray(images)))
    for i, angle in enumerate(ANGLES):
        assert_close(logits[:, i], golden.arrays[f"logits_{angle}"])


def test_degrees_are_the_mean_of_bins_of_three() -> None:
    logits = np.full((2, 3, 66), -1e9, np.float32)
    logits[0, :, 33] = 0
    logits[1, 0, [0, 65]] = 0
    logits[1, 1, 0] = logits[1, 2, 65] = 0
    np.testing.assert_allclose(
        expected_degrees(jnp.asarray(logits)), [[0, 0, 0], [-1.5, -99, 96]], atol=1e-4
    )


def test_other_sizes_are_refused() -> None:
    model = HopenetModel("hopenet", {"depths": [3, 4, 6, 3]}, {})
    with pytest.raises(UserError, match="expected .n, 224, 224, 3."):
        model(np.zeros((1, 256, 256, 3), np.float32))
