"""Tests of the analyser's second look at the eyes."""

import jax
import jax.numpy as jnp
import numpy as np

from alrl_jax.models.face_analyser import FaceAnalyser, crop_around

FIELDS = {
    "block": "residual",
    "widths": (4, 4),
    "hidden": 8,
    "identity_width": 3,
    "attribute_width": 2,
    "num_landmarks": 2,
}


def test_a_crop_on_the_pixel_grid_is_a_slice() -> None:
    images = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    # Of 4 x 4 pixels: its centre lies between pixels 6 and 7 along x, 3 and 4 along y.
    centres = jnp.asarray([[7 / 16, 4 / 16], [10 / 16, 12 / 16]])
    found = crop_around(images, centres, 4)
    np.testing.assert_allclose(found[0], images[0, 2:6, 5:9], atol=1e-6)
    np.testing.assert_allclose(found[1], images[1, 10:14, 8:12], atol=1e-6)


def test_a_crop_between_pixels_is_their_mean_and_beyond_the_image_black() -> None:
    images = jnp.broadcast_to(jnp.arange(16.0)[None, None, :, None], (1, 16, 16, 1))
    found = crop_around(images, jnp.asarray([[7.5 / 16, 0.0]]), 4)
    np.testing.assert_allclose(found[0, 2, :, 0], [5.5, 6.5, 7.5, 8.5], atol=1e-5)
    np.testing.assert_array_equal(found[0, 0], 0.0)


def test_only_identity_and_attributes_see_the_second_look() -> None:
    images = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    net = FaceAnalyser(**FIELDS, glimpses=(0, 1))
    variables = net.init(jax.random.key(2), images)

    def read(weights: dict, scale: float) -> dict:
        # The names of the module's parts are what a weight file holds.
        changed = jax.tree.map(lambda x: scale * x, weights["params"]["glimpse"])
        out = net.apply({"params": {**weights["params"], "glimpse": changed}}, images)
        return {name: np.asarray(getattr(out, name)) for name in out.__dataclass_fields__}

    once, twice = read(variables, 1.0), read(variables, 2.0)
    same = {name for name in once if np.array_equal(once[name], twice[name])}
    assert same == {"pose_degrees", "landmarks"}


def test_the_second_look_does_not_move_landmarks_by_its_gradient() -> None:
    images = jax.random.normal(jax.random.key(3), (1, 16, 16, 3))
    net = FaceAnalyser(**FIELDS, glimpses=(0,))
    variables = net.init(jax.random.key(4), images)
    gradients = jax.grad(lambda v: jnp.sum(net.apply(v, images).attribute_vector))(variables)
    assert not np.any(gradients["params"]["landmark_head"]["kernel"])
    assert np.any(gradients["params"]["glimpse"]["conv0"]["kernel"])
