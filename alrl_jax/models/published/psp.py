"""Encoders of faces into W+: pSp (Richardson et al., CVPR 2021) and e4e (Tov et al., TOG 2021).

An IR-SE body, a feature pyramid on the ends of its stages, and one head for every code.  Both have
the same tensors; pSp's heads give the codes, e4e's first head gives one code for all layers and
the others what each layer adds to it.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from alrl_jax.models.published.face_backbones import STRIDE, Body, InputLayer, conv3x3
from alrl_jax.models.resize import resize_bilinear
from alrl_jax.models.stylegan2.layers import EqualizedDense

HEAD_SLOPE = 0.01
"""Of the leaky ReLU in the heads."""

LEVEL_STARTS = (0, 3, 7)
"""First code that the coarse, the middle and the fine map feed."""


def level_of(index: int) -> int:
    """The map that feeds a code: 0 coarse, 1 middle, 2 fine."""
    return sum(index >= start for start in LEVEL_STARTS) - 1


def head_depth(resolution: int, index: int) -> int:
    """How often a head halves its map until one pixel is left."""
    return (resolution // STRIDE).bit_length() - 1 + level_of(index)


class StyleHead(nn.Module):
    """A map as one code: strided convolutions down to a pixel, then a dense layer.

    Attributes:
        width: of the code.
        depth: number of convolutions.
        dtype: of the convolutions.
    """

    width: int
    depth: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b {self.width}"]:
        for i in range(self.depth):
            x = conv3x3(self.width, 2, self.dtype, f"conv{i}", use_bias=True)(x)
            x = nn.leaky_relu(x, HEAD_SLOPE)
        # Codes are float32 whatever the maps are: the generator amplifies their rounding.
        return EqualizedDense(self.width, name="linear")(x[:, 0, 0].astype(jnp.float32))


class StyleHeads(nn.Module):
    """One head a code.

    Attributes:
        resolution: side of the image in pixels.
        num_styles: number of codes.
        width: of a code.
        dtype: of the computation.
    """

    resolution: int
    num_styles: int
    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, levels: list[Array]) -> Float[Array, "b {self.num_styles} {self.width}"]:
        """What every head says of its map; maps coarse to fine."""
        codes = []
        for i in range(self.num_styles):
            depth = head_depth(self.resolution, i)
            head = StyleHead(self.width, depth, self.dtype, name=f"style{i}")
            codes.append(head(levels[level_of(i)]))
        return jnp.stack(codes, axis=1)


class StyleEncoder(nn.Module):
    """Face to W+ codes.

    Attributes:
        resolution: side of the images in pixels.
        widths: see ``Body``.
        units: see ``Body``.
        squeeze: see ``Unit``.
        num_styles: number of codes.
        code_width: width of a code, and of the pyramid.
        offsets: the heads behind the first give what is added to its code (e4e); else they give
            the codes themselves (pSp).
        centred: hold ``latent_avg``, which is added to the codes.
        dtype: of the computation; the codes are float32.
        remat: see ``Body``.
    """

    resolution: int
    widths: tuple[int, ...]
    units: tuple[int, ...]
    squeeze: int | None
    num_styles: int
    code_width: int
    offsets: bool
    centred: bool
    dtype: DTypeLike = jnp.float32
    remat: str = "none"

    def setup(self) -> None:
        self.input_layer = InputLayer(self.widths[0], self.dtype)
        self.body = Body(self.widths, self.units, self.squeeze, dtype=self.dtype, remat=self.remat)
        self.latlayer1 = nn.Conv(self.code_width, (1, 1), dtype=self.dtype)
        self.latlayer2 = nn.Conv(self.code_width, (1, 1), dtype=self.dtype)
        self.styles = StyleHeads(self.resolution, self.num_styles, self.code_width, self.dtype)
        if self.centred:
            shape = (self.num_styles, self.code_width)
            self.latent_avg = self.variable(
                "constants", "latent_avg", jnp.zeros, shape, jnp.float32
            )

    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b l d"]:
        """Codes of faces with pixels in [-1, 1], around ``latent_avg`` where there is one."""
        return self.codes(self.pyramid(self.features(images)))

    def codes(self, levels: list[Array]) -> Float32[Array, "b l d"]:
        """Codes of what ``pyramid`` gives."""
        codes = self.styles(levels)
        if self.offsets:
            first = codes[:, :1]
            codes = jnp.concatenate([first, first + codes[:, 1:]], axis=1)
        return codes + self.latent_avg.value if self.centred else codes

    def features(self, images: Float[Array, "b h w c"]) -> list[Array]:
        """Maps c1, c2, c3 at 1/4, 1/8 and 1/16 of the resolution."""
        return self.maps(images)[1:]

    def maps(self, images: Float[Array, "b h w c"]) -> list[Array]:
        """The same, and before them the map at 1/2 of the resolution."""
        return self.body(self.input_layer(images))

    def pyramid(self, features: list[Array]) -> list[Array]:
        """Maps c3, p2, p1, all of the codes' width: what the heads see, coarse to fine."""
        c1, c2, c3 = features
        p2 = _double(c3) + self.latlayer1(c2)
        p1 = _double(p2) + self.latlayer2(c1)
        return [c3, p2, p1]


def _double(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return resize_bilinear(x, 2 * x.shape[1], 2 * x.shape[2], align_corners=True)
