"""A small face analyser: the identity net of the losses, and the judges of the benchmark.

It regresses the known factors of a face. The identity part of its output, scaled to unit length,
serves as an embedding: faces whose identity factors point the same way are the same person.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.stylegan2 import ops
from alrl_jax.types import AnyArray

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

    identity_vector: Float[AnyArray, "b i"]
    attribute_vector: Float[AnyArray, "b a"]
    pose_degrees: Float[AnyArray, "b 3"]
    landmarks: Float[AnyArray, "b m 2"]


class ResidualStage(nn.Module):
    """A convolution and one residual unit.

    Nothing is normalised: the level of a colour is a factor that the net has to read. The unit
    starts as the identity function instead, which keeps activations in range.
    """

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w {self.width}"]:
        x = nn.silu(_conv(self.width, "down")(x))
        refined = nn.silu(_conv(self.width, "refine0")(x))
        refined = _conv(self.width, "refine1")(refined)
        gain = self.param("gain", nn.initializers.zeros, (self.width,), jnp.float32)
        return x + gain * refined


class PlainStage(nn.Module):
    """Two convolutions: the judges' other architecture."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w {self.width}"]:
        x = nn.leaky_relu(_conv(self.width, "conv0")(x), 0.1)
        return nn.leaky_relu(_conv(self.width, "conv1")(x), 0.1)


STAGES = {"residual": ResidualStage, "plain": PlainStage}

GLIMPSE = 0.25
"""Side of what a ``Glimpse`` sees, as a share of the image's: an eye with its brow."""


class Glimpse(nn.Module):
    """A closer look at some places, at the image's own resolution.

    Attributes:
        width: channels of the convolutions, and half the length of what is seen of a place.
    """

    width: int

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w c"], centres: Float[Array, "b n 2"]
    ) -> Float[Array, "b m"]:
        """What is seen around points, given as x, y shares of the image's width and height."""
        size, places = images.shape[1] // 4, range(centres.shape[1])
        crops = jnp.stack([crop_around(images, centres[:, i], size) for i in places], axis=1)
        # All places at once: one product a layer, whose gradient devices sum once.
        x = crops.reshape(-1, *crops.shape[2:])
        x = nn.silu(_conv(self.width, "conv0")(x))
        x = nn.silu(_conv(self.width, "conv1")(ops.mean_pool(x)))
        seen = nn.silu(nn.Dense(2 * self.width, name="seen")(x.reshape(x.shape[0], -1)))
        return seen.reshape(images.shape[0], -1)


def crop_around(
    images: Float[Array, "b h w c"], centres: Float[Array, "b 2"], size: int
) -> Float[Array, "b {size} {size} c"]:
    """Bilinear crops of a ``GLIMPSE`` of the image around points; black beyond the image.

    Two products with matrices of weights: gathers are slow on accelerators, and their gradients
    slower.
    """
    _, height, width, _ = images.shape
    steps = GLIMPSE * ((jnp.arange(float(size)) + 0.5) / size - 0.5)

    def weights(middle: Float[Array, " b"], side: int) -> Float[Array, "b s {side}"]:
        # Pixel i covers the shares i/side to (i + 1)/side: its centre lies half a pixel in.
        places = (middle[:, None] + steps) * side - 0.5
        return jnp.maximum(0.0, 1.0 - jnp.abs(places[..., None] - jnp.arange(float(side))))

    rows, columns = weights(centres[:, 1], height), weights(centres[:, 0], width)
    return jnp.einsum("bph,bhwc,bqw->bpqc", rows, images, columns)


class FaceAnalyser(nn.Module):
    """Convolutional regressor of identity, attributes, pose and landmarks.

    Attributes:
        block: entry of ``STAGES``.
        widths: channels of the stages, which work at 1/2, 1/4, ... of the resolution.
        hidden: width of the last hidden layer.
        identity_width: number of identity factors, which is the width of the embedding.
        attribute_width: number of attribute factors.
        num_landmarks: number of landmarks.
        glimpses: landmarks, the eyes', at which the net looks closer: a pupil moves by a pixel or
            two of a small image, which the pooled maps lose. None: the maps alone.
    """

    block: str
    widths: tuple[int, ...]
    hidden: int
    identity_width: int
    attribute_width: int
    num_landmarks: int
    glimpses: tuple[int, ...] = ()

    def setup(self) -> None:
        self.stages = [
            STAGES[self.block](width, name=f"stage{i}") for i, width in enumerate(self.widths)
        ]
        self.trunk = nn.Dense(self.hidden)
        self.identity_head = nn.Dense(self.identity_width)
        self.attribute_head = nn.Dense(self.attribute_width)
        self.pose_head = nn.Dense(3)
        self.landmark_head = nn.Dense(2 * self.num_landmarks)
        if self.glimpses:
            self.glimpse = Glimpse(self.widths[0])
            self.joint = nn.Dense(self.hidden)

    def __call__(self, images: Float[Array, "b h w 3"]) -> FaceFactors:
        """Reads the factors of faces with pixels in [-1, 1]."""
        last = self.features(images)[-1]
        hidden = nn.silu(self.trunk(last.reshape(last.shape[0], -1)))
        landmarks = 0.5 + self.landmark_head(hidden).reshape(-1, self.num_landmarks, 2)
        known = self._looked_closer(images, hidden, landmarks) if self.glimpses else hidden
        return FaceFactors(
            identity_vector=self.identity_head(known),
            attribute_vector=self.attribute_head(known),
            pose_degrees=POSE_SCALE_DEGREES * self.pose_head(hidden),
            landmarks=landmarks,
        )

    def _looked_closer(
        self,
        images: Float[Array, "b h w 3"],
        hidden: Float[Array, "b n"],
        landmarks: Float[Array, "b m 2"],
    ) -> Float[Array, "b n"]:
        """What is known of the whole face and of the places that ``glimpses`` names."""
        # Landmarks learn where they are, not where a look would be of use.
        places = jax.lax.stop_gradient(landmarks)
        seen = self.glimpse(images, places[:, jnp.asarray(self.glimpses)])
        return nn.silu(self.joint(jnp.concatenate([hidden, seen], axis=-1)))

    def features(self, images: Float[Array, "b h w 3"]) -> list[Array]:
        """Feature maps after every stage, fine to coarse, for perceptual distances."""
        maps = [self.stages[0](ops.space_to_depth(images))]
        for stage in self.stages[1:]:
            maps.append(stage(ops.mean_pool(maps[-1])))
        return maps

    def embed(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b i"]:
        """Unit embeddings of identity."""
        return unit_length(self(images).identity_vector)


def _conv(width: int, name: str) -> nn.Conv:
    return nn.Conv(width, (3, 3), padding=1, kernel_init=nn.initializers.he_normal(), name=name)


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
