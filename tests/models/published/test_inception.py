"""FID's Inception gives the features of pytorch-fid, through its converted weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alrl_jax
from alrl_jax.loading.measuring import InceptionModel
from alrl_jax.models.published.inception import resize_for_inception
from tests.goldens.golden import Golden, assert_close, nhwc, read_golden
from tests.support.checkpoints.golden_files import convert_golden, pixels

SIZES = (256, 64, 384)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read_golden("fid_inception")


@pytest.mark.parametrize("size", SIZES)
def test_images_are_resized_as_fid_does_it(golden: Golden, size: int) -> None:
    images = jnp.asarray(pixels(golden, f"img_{size}_uint8"))
    resized = jax.jit(resize_for_inception)(images)
    # Most of it is the rounding of the sampling points in float32.
    expected = nhwc(golden.arrays[f"resized_{size}_s13"])
    assert_close(resized[:, ::13, ::13], expected, worst=1e-4, relative_l2=1e-5)


@pytest.mark.slow
def test_features_are_those_of_pytorch_fid(
    golden: Golden, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = convert_golden(golden, "inception", tmp_path_factory.mktemp("inception"))
    model = alrl_jax.load(directory)
    assert isinstance(model, InceptionModel) and model.kind == "inception"
    for size in SIZES:
        features = np.asarray(model(pixels(golden, f"img_{size}_uint8")))
        assert_close(features, golden.arrays[f"features_{size}"])
