"""Head pose of a face (Ruiz et al., "Fine-Grained Head Pose Estimation Without Keypoints")."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.published.inference_layers import imagenet_normalise, spatial_mean
from alrl_jax.models.published.resnet import STEM_WIDTH, resnet_stages

ANGLES = ("yaw", "pitch", "roll")
NUM_BINS = 66
BIN_DEGREES = 3.0
FIRST_DEGREES = -99.0
"""What bin 0 stands for."""
SIDE = 224
"""Of the images that the published weights know, in pixels."""


class Hopenet(nn.Module):
    """A ResNet of bottlenecks with a head of 66 bins an angle.

    Attributes:
        depths: blocks of each stage; (3, 4, 6, 3) is ResNet-50.
        width: channels inside the blocks of the first stage.
    """

    depths: tuple[int, ...] = (3, 4, 6, 3)
    width: int = STEM_WIDTH

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b 3 n"]:
        """Logits of the bins of yaw, pitch and roll.

        Args:
            images: face crops in [-1, 1]; 224 x 224 pixels is what the published weights know.
        """
        shown = imagenet_normalise(images)
        features = resnet_stages(shown, self.depths, bottleneck=True, width=self.width)[-1]
        vector = spatial_mean(features)[:, 0, 0]
        logits = [nn.Dense(NUM_BINS, name=f"fc_{angle}")(vector) for angle in ANGLES]
        return jnp.stack(logits, axis=1)


def expected_degrees(logits: Float[Array, "b 3 n"]) -> Float[Array, "b 3"]:
    """The mean angle of the bins by their probabilities, in degrees."""
    bins = jnp.arange(logits.shape[-1], dtype=logits.dtype)
    return jnp.sum(jax.nn.softmax(logits) * bins, axis=-1) * BIN_DEGREES + FIRST_DEGREES
