"""A small face analyser: the identity net of the losses, and the judges of the benchmark.

It regresses the known factors of a face. The identity part of its output, scaled to unit length,
serves as an embedding: faces whose identity factors point the same way are the same person.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

POSE_SCALE_DEGREES = 30.0
"""The net's unit of angle, so that its raw outputs are of order one."""


@flax.struct.dataclass
class FaceFactors:
    """What an analyser reads from a face.

    Attributes:
        identity_vector: standardised factors that make the person.
        attribute_vector: standardised pose, expression, light, skin, hair and background.
        pose_degrees: yaw, pitch, roll.
        landmarks: x, y as a share of the image's width and height.
    """

    identity_vector: Float[Array, "b i"]
    attribute_vector: Float[Array, "b a"]
    pose_degrees: Float[Array, "b 3"]
    landmarks: Float[Array, "b m 2"]


class ConvNorm(nn.Module):
    """3x3 convolution and group normalisation."""

    width: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 {self.width}"]:
        x = nn.Conv(self.width, (3, 3), strides=self.stride, padding=1, use_bias=False)(x)
        return nn.GroupNorm(num_groups=None, group_size=min(8, self.width))(x)


class ResidualStage(nn.Module):
    """Halves the resolution, then refines with one residual unit."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 {self.width}"]:
        x = nn.silu(ConvNorm(self.width, stride=2)(x))
        refined = ConvNorm(self.width)(nn.silu(ConvNorm(self.width)(x)))
        return nn.silu(x + refined)


class PlainStage(nn.Module):
    """Two convolutions, the second at half the resolution: the judges' other architecture."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 {self.width}"]:
        x = nn.relu(ConvNorm(self.width, stride=2)(x))
        return nn.relu(ConvNorm(self.width)(x))


STAGES = {"residual": ResidualStage, "plain": PlainStage}


class FaceAnalyser(nn.Module):
    """Convolutional regressor of identity, attributes, pose and landmarks.

    Attributes:
        block: row of ``STAGES``.
        widths: channels of the stages; each halves the resolution.
        hidden: width of the last hidden layer.
        identity_width: number of identity factors, which is the width of the embedding.
        attribute_width: number of attribute factors.
        num_landmarks: number of landmarks.
    """

    block: str
    widths: tuple[int, ...]
    hidden: int
    identity_width: int
    attribute_width: int
    num_landmarks: int

    def setup(self) -> None:
        self.stages = [
            STAGES[self.block](width, name=f"stage{i}") for i, width in enumerate(self.widths)
        ]
        self.trunk = nn.Dense(self.hidden)
        self.identity_head = nn.Dense(self.identity_width)
        self.attribute_head = nn.Dense(self.attribute_width)
        self.pose_head = nn.Dense(3)
        self.landmark_head = nn.Dense(2 * self.num_landmarks)

    def __call__(self, images: Float[Array, "b h w 3"]) -> FaceFactors:
        """Reads the factors of faces with pixels in [-1, 1]."""
        last = self.features(images)[-1]
        hidden = nn.silu(self.trunk(last.reshape(last.shape[0], -1)))
        landmarks = self.landmark_head(hidden).reshape(-1, self.num_landmarks, 2)
        return FaceFactors(
            identity_vector=self.identity_head(hidden),
            attribute_vector=self.attribute_head(hidden),
            pose_degrees=POSE_SCALE_DEGREES * self.pose_head(hidden),
            landmarks=0.5 + landmarks,
        )

    def features(self, images: Float[Array, "b h w 3"]) -> list[Array]:
        """Feature maps after every stage, fine to coarse, for perceptual distances."""
        maps = []
        x = images
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def embed(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b i"]:
        """Unit embeddings of identity."""
        return unit_length(self(images).identity_vector)


def unit_length(vectors: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """Scales vectors to length one; a zero vector stays zero."""
    return vectors * jax.lax.rsqrt(jnp.sum(jnp.square(vectors), axis=-1, keepdims=True) + 1e-12)


def feature_distance(first: list[Array], second: list[Array]) -> Float[Array, " b"]:
    """Distance of feature pyramids in the manner of LPIPS with equal channel weights.

    Channels are scaled to unit length at every position, squared differences are summed over
    channels, averaged over positions and summed over the levels (Zhang et al. 2018, without the
    learned channel weights).
    """
    total = jnp.zeros(first[0].shape[0], jnp.float32)
    for a, b in zip(first, second, strict=True):
        squares = jnp.square(unit_length(a) - unit_length(b))
        total += jnp.mean(jnp.sum(squares, axis=-1), axis=(1, 2))
    return total
