"""The dual-space encoder: one backbone and the heads that read its features.

``pose`` gives the spatial code that is added to StyleGAN2's constant input, ``attributes`` the W+
codes, ``region`` the face mask and the parsing of the image. All heads read the same features:
those of a backbone of ``backbones.py`` (``DualSpaceEncoder``), or those of a converted pSp or e4e
encoder, whose own heads then are the attribute head (``StyleDualSpaceEncoder``).
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from alrl_jax.models.published.psp import StyleEncoder
from alrl_jax.models.stylegan2 import ops
from alrl_jax.types import LatentCodes

NUM_PARSING_CLASSES = 19
"""Classes of CelebAMask-HQ."""


@flax.struct.dataclass
class FaceEncoding:
    """All that the encoder says about a face.

    Attributes:
        codes: pose code and W+ codes.
        region_logits: logits of the swapped face region.
        parsing_logits: logits of the CelebAMask-HQ classes.
        features: the backbone's maps at 1/2 and 1/4, which the generator may take over.
        others: what all other heads of ``HEADS`` say, by name.
    """

    codes: LatentCodes
    region_logits: Float[Array, "b h w 1"]
    parsing_logits: Float[Array, "b h w 19"]
    features: tuple[Array, ...] = ()
    others: dict[str, Array] = flax.struct.field(default_factory=dict)


class PoseHead(nn.Module):
    """4x4 spatial code of layout and pose.

    Attributes:
        channels: channels of the generator's constant input; 0 when the pose space is not used.
        starts_at_zero: a fresh head leaves the constant as the generator learned it.
        dtype: of the computation; the code is float32.
    """

    channels: int
    starts_at_zero: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], features: list[Array]
    ) -> Float[Array, "b 4 4 {self.channels}"]:
        x = nn.silu(next(x for x in features[::-1] if x.shape[1] >= 4))
        while x.shape[1] > 4:
            x = nn.silu(_conv3x3(x.shape[-1], self.dtype)(ops.mean_pool(x)))
        start = nn.initializers.zeros if self.starts_at_zero else nn.initializers.lecun_normal()
        x = nn.Conv(self.channels, (3, 3), padding=1, dtype=self.dtype, kernel_init=start)(x)
        return x.astype(jnp.float32)


class AttributeHead(nn.Module):
    """W+ codes as offsets from ``w_avg``: coarse layers from coarse features, as in pSp.

    Attributes:
        num_layers: layers of W+.
        width: width of a code.
    """

    num_layers: int
    width: int

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], features: list[Array]
    ) -> Float[Array, "b {self.num_layers} {self.width}"]:
        codes = []
        for count, x in zip(layers_per_level(self.num_layers), features[::-1], strict=True):
            x = nn.silu(x)
            while x.shape[1] > 4:
                x = nn.silu(nn.Conv(features[-1].shape[-1], (3, 3), padding=1)(ops.mean_pool(x)))
            flat = nn.Dense(count * self.width)(x.reshape(x.shape[0], -1))
            codes.append(flat.reshape(-1, count, self.width))
        return jnp.concatenate(codes, axis=1)


class RegionHead(nn.Module):
    """Face region and parsing at image resolution, by a feature pyramid and the image itself.

    Attributes:
        width: of the maps.
        dtype: of the computation; the logits are float32.
    """

    width: int = 32
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], features: list[Array]
    ) -> Float[Array, "b h w 20"]:
        x = _conv1x1(self.width, self.dtype)(features[-1])
        for finer in features[-2::-1]:
            x = _double(x) + _conv1x1(self.width, self.dtype)(finer)
            x = nn.silu(_conv3x3(self.width, self.dtype)(x))
        x = _double(_conv1x1(self.width // 2, self.dtype)(x))
        x = jnp.concatenate([x, images.astype(self.dtype)], axis=-1)
        x = nn.silu(_conv3x3(self.width // 2, self.dtype)(x))
        return _conv1x1(1 + NUM_PARSING_CLASSES, self.dtype)(x).astype(jnp.float32)


HEADS: dict[str, type[nn.Module]] = {
    "pose": PoseHead,
    "attributes": AttributeHead,
    "region": RegionHead,
}
"""Heads of the encoder; each reads the image and the feature pyramid. On the trunk of pSp, the
attribute head is pSp's. A further head is built without arguments, and what it says is
``FaceEncoding.others[NAME]``."""


class DualSpaceEncoder(nn.Module):
    """Face to pose code, W+ codes, region and parsing.

    Attributes:
        backbone: images to feature maps at 1/2, 1/4 and 1/8 of the resolution.
        pose_channels: channels of the pose code.
        num_layers: layers of W+.
        code_width: width of a W+ code.
    """

    backbone: nn.Module
    pose_channels: int
    num_layers: int
    code_width: int

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], w_avg: Float[Array, " d"]) -> FaceEncoding:
        """Encodes faces.

        Args:
            images: pixels in [-1, 1].
            w_avg: centre of the generator's W space; codes are offsets from it.
        """
        features = self.backbone(images)
        pose = HEADS["pose"](self.pose_channels, name="pose")(images, features)
        offsets = HEADS["attributes"](self.num_layers, self.code_width, name="attributes")(
            images, features
        )
        return _encoding(images, features, LatentCodes(pose=pose, attributes=w_avg + offsets))


class StyleDualSpaceEncoder(nn.Module):
    """Face to pose code, W+ codes, region and parsing, on the trunk of pSp and e4e.

    The trunk's variables are those of a converted encoder. A fresh pose head gives a pose code of
    zero, so that the face is drawn as that encoder and its generator draw it.

    Attributes:
        trunk: encoder into W+, whose codes are the attributes.
        pose_channels: channels of the pose code.
        dtype: of the computation of the other heads.
    """

    trunk: StyleEncoder
    pose_channels: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], w_avg: Float[Array, " d"]) -> FaceEncoding:
        """Encodes faces with pixels in [-1, 1]; ``w_avg`` is not used, as the trunk has its own."""
        half, *features = self.trunk.maps(images)
        levels = self.trunk.pyramid(features)
        seen = [half, *levels[::-1]]
        pose = HEADS["pose"](self.pose_channels, True, dtype=self.dtype, name="pose")(images, seen)
        codes = LatentCodes(pose=pose, attributes=self.trunk.codes(levels))
        return _encoding(images, seen, codes, self.dtype)


def _encoding(
    images: Float[Array, "b h w 3"],
    features: list[Array],
    codes: LatentCodes,
    dtype: DTypeLike = jnp.float32,
) -> FaceEncoding:
    """What an encoder says beside the codes, the same on every backbone."""
    region = HEADS["region"](dtype=dtype, name="region")(images, features)
    further = HEADS.keys() - {"pose", "attributes", "region"}
    return FaceEncoding(
        codes=codes,
        region_logits=region[..., :1],
        parsing_logits=region[..., 1:],
        features=tuple(features[:2]),
        others={name: HEADS[name](name=name)(images, features) for name in sorted(further)},
    )


def layers_per_level(num_layers: int) -> tuple[int, int, int]:
    """How many W+ layers each level feeds: coarse (to 8x8), middle (16x16), fine (the rest)."""
    coarse = min(3, num_layers - 2)
    middle = min(4, num_layers - coarse - 1)
    return coarse, middle, num_layers - coarse - middle


def _conv1x1(features: int, dtype: DTypeLike) -> nn.Conv:
    return nn.Conv(features, (1, 1), dtype=dtype)


def _conv3x3(features: int, dtype: DTypeLike) -> nn.Conv:
    return nn.Conv(features, (3, 3), padding=1, dtype=dtype)


def _double(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    b, h, w, c = x.shape
    return jax.image.resize(x, (b, 2 * h, 2 * w, c), "bilinear")
