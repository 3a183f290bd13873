"""Images that losses see pooled: means of pixels, labels of the same places."""

import jax.numpy as jnp
import numpy as np

from alrl_jax.models.swapper.encoder import FaceEncoding
from alrl_jax.training.tasks import pooling
from alrl_jax.types import LatentCodes
from tests.support import tiny


def test_pixels_are_averaged_and_labels_taken_from_the_middle() -> None:
    faces = tiny.random_faces(2)
    small = pooling.pool_faces(faces, 8)
    blocks = np.asarray(faces.image).reshape(2, 8, 4, 8, 4, 3)
    np.testing.assert_allclose(small.image, blocks.mean((2, 4)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(small.parsing, np.asarray(faces.parsing)[:, 2::4, 2::4])
    np.testing.assert_allclose(small.landmarks, np.asarray(faces.landmarks) / 4)
    assert pooling.pool_faces(faces, 0) is faces
    assert pooling.pool_faces(faces, tiny.RESOLUTION) is faces


def test_regions_are_resized_to_where_they_are_compared() -> None:
    logits = jnp.arange(2 * 4 * 4 * 20, dtype=jnp.float32).reshape(2, 4, 4, 20)
    codes = LatentCodes(pose=jnp.zeros((2, 4, 4, 1)), attributes=jnp.zeros((2, 1, 1)))
    encoding = FaceEncoding(codes, logits[..., :1], logits[..., 1:])
    larger = pooling.resize_encoding(encoding, 8)
    assert larger.region_logits.shape == (2, 8, 8, 1)
    np.testing.assert_allclose(larger.parsing_logits.mean((1, 2)), logits[..., 1:].mean((1, 2)))
    same = pooling.resize_encoding(encoding, 4)
    assert same.region_logits is encoding.region_logits
