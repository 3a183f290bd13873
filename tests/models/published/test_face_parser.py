"""The face parser gives the logits of BiSeNet, through its converted weights."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import alrl_jax
from alrl_jax.loading.measuring import FaceParserModel
from alrl_jax.models.functional import apply
from alrl_jax.models.published.face_parser import FaceParser
from tests.goldens.golden import assert_close, nhwc, read_golden
from tests.support.checkpoints.golden_files import convert_golden, pixels


def test_logits_are_those_of_the_project(tmp_path: Path) -> None:
    golden = read_golden("bisenet_parsing")
    model = alrl_jax.load(convert_golden(golden, "face_parser", tmp_path))
    assert isinstance(model, FaceParserModel) and model.config == {"num_classes": 19}
    images = pixels(golden, "img_uint8")
    logits = np.asarray(model(images))
    assert logits.shape == (1, 512, 512, 19)
    arrays = golden.arrays
    assert_close(logits[:, ::8, ::8], nhwc(arrays["logits_s8"]))
    assert_close(logits[:, 200:232, 240:272], nhwc(arrays["logits_crop"]))
    best = np.sort(logits, axis=-1)
    certain = best[..., -1] - best[..., -2] > 1e-3
    assert certain.mean() > 0.99
    assert np.array_equal(logits.argmax(-1)[certain], arrays["argmax"][certain])
    # The heads that were added for training are part of the network.
    network = FaceParser(19)
    heads = jax.jit(lambda v, x: apply(network, v, x)[1:])(model.variables, images)
    assert_close(heads[0][:, ::16, ::16], nhwc(arrays["logits16_s16"]))
    assert_close(heads[1][:, ::16, ::16], nhwc(arrays["logits32_s16"]))


def test_any_size_and_any_number_of_classes() -> None:
    network = FaceParser(11)
    images = jax.ShapeDtypeStruct((2, 100, 75, 3), jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    shapes = [x.shape for x in jax.eval_shape(network.apply, variables, images)]
    assert shapes == [(2, 100, 75, 11)] * 3
