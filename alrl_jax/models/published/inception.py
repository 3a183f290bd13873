"""The Inception v3 by which FID compares sets of images.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, with the
weights and pools of the TensorFlow graph of 2015 that Heusel et al. (NeurIPS 2017) used: average
pools leave their padding out, and the last block has a max pool in the average's place.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from alrl_jax.models.published.inference_layers import AROUND, ConvUnit, spatial_mean
from alrl_jax.models.resize import resize_bilinear
from alrl_jax.types import AnyArray

SIDE = 299
FEATURES = 2048
NUM_CLASSES = 1008
"""Of the classifier behind the features, which FID does not use."""
_EPSILON = 1e-3

Maps = Float[Array, "b _ _ _"]
Unit = tuple[str, int, tuple[int, int]]
"""Name, channels and kernel of a convolution."""

ONE = (1, 1)
THREE = (3, 3)
ROW, COLUMN = (1, 7), (7, 1)


def _unit(x: Maps, unit: Unit, stride: int = 1, padded: bool = True) -> Maps:
    name, features, kernel = unit
    return ConvUnit(features, kernel, stride, padded, _EPSILON, name=name)(x)


def _chain(x: Maps, units: Sequence[Unit]) -> Maps:
    for unit in units:
        x = _unit(x, unit)
    return x


def _average_pool(x: Maps) -> Maps:
    return nn.avg_pool(x, (3, 3), (1, 1), AROUND, count_include_pad=False)


def _max_pool(x: Maps) -> Maps:
    return nn.max_pool(x, (3, 3), (1, 1), AROUND)


def _halve(x: Maps) -> Maps:
    return nn.max_pool(x, (3, 3), (2, 2))


class BlockA(nn.Module):
    """35 x 35 maps; ``pool_features`` are the channels of the pooled branch."""

    pool_features: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        """Maps to maps."""
        five = [("branch5x5_1", 48, ONE), ("branch5x5_2", 64, (5, 5))]
        double = [
            ("branch3x3dbl_1", 64, ONE),
            ("branch3x3dbl_2", 96, THREE),
            ("branch3x3dbl_3", 96, THREE),
        ]
        pooled = _unit(_average_pool(x), ("branch_pool", self.pool_features, ONE))
        branches = [_unit(x, ("branch1x1", 64, ONE)), _chain(x, five), _chain(x, double), pooled]
        return jnp.concatenate(branches, axis=-1)


class BlockB(nn.Module):
    """35 x 35 maps to 17 x 17."""

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        """Maps to maps."""
        three = _unit(x, ("branch3x3", 384, THREE), stride=2, padded=False)
        double = _chain(x, [("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE)])
        double = _unit(double, ("branch3x3dbl_3", 96, THREE), stride=2, padded=False)
        return jnp.concatenate([three, double, _halve(x)], axis=-1)


class BlockC(nn.Module):
    """17 x 17 maps; ``width`` are the channels inside the branches."""

    width: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        """Maps to maps."""
        c = self.width
        seven = [("branch7x7_1", c, ONE), ("branch7x7_2", c, ROW), ("branch7x7_3", 192, COLUMN)]
        double = [
            ("branch7x7dbl_1", c, ONE),
            ("branch7x7dbl_2", c, COLUMN),
            ("branch7x7dbl_3", c, ROW),
            ("branch7x7dbl_4", c, COLUMN),
            ("branch7x7dbl_5", 192, ROW),
        ]
        pooled = _unit(_average_pool(x), ("branch_pool", 192, ONE))
        branches = [_unit(x, ("branch1x1", 192, ONE)), _chain(x, seven), _chain(x, double), pooled]
        return jnp.concatenate(branches, axis=-1)


class BlockD(nn.Module):
    """17 x 17 maps to 8 x 8."""

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        """Maps to maps."""
        three = _unit(x, ("branch3x3_1", 192, ONE))
        three = _unit(three, ("branch3x3_2", 320, THREE), stride=2, padded=False)
        seven = [
            ("branch7x7x3_1", 192, ONE),
            ("branch7x7x3_2", 192, ROW),
            ("branch7x7x3_3", 192, COLUMN),
        ]
        last = ("branch7x7x3_4", 192, THREE)
        seven_by_three = _unit(_chain(x, seven), last, stride=2, padded=False)
        return jnp.concatenate([three, seven_by_three, _halve(x)], axis=-1)


class BlockE(nn.Module):
    """8 x 8 maps; ``max_pooled`` says which pool stands in the pooled branch."""

    max_pooled: bool

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        """Maps to maps."""
        three = _unit(x, ("branch3x3_1", 384, ONE))
        double = _chain(x, [("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)])
        pooled = _max_pool(x) if self.max_pooled else _average_pool(x)
        branches = [
            _unit(x, ("branch1x1", 320, ONE)),
            _unit(three, ("branch3x3_2a", 384, (1, 3))),
            _unit(three, ("branch3x3_2b", 384, (3, 1))),
            _unit(double, ("branch3x3dbl_3a", 384, (1, 3))),
            _unit(double, ("branch3x3dbl_3b", 384, (3, 1))),
            _unit(pooled, ("branch_pool", 192, ONE)),
        ]
        return jnp.concatenate(branches, axis=-1)


def resize_for_inception(images: Float[AnyArray, "b h w 3"]) -> Float[AnyArray, "b 299 299 3"]:
    """Images of any size at that of the network, as FID does it: bilinear, not antialiased."""
    return resize_bilinear(images, SIDE, SIDE, align_corners=False)


class Inception(nn.Module):
    """Images to the features behind the last pool."""

    @nn.compact
    def __call__(self, images: Float[Array, "b 299 299 3"]) -> Float[Array, "b 2048"]:
        """Features of images of 299 x 299 pixels in [-1, 1], see ``resize_for_inception``."""
        x = _unit(images, ("Conv2d_1a_3x3", 32, THREE), stride=2, padded=False)
        x = _unit(x, ("Conv2d_2a_3x3", 32, THREE), padded=False)
        x = _halve(_unit(x, ("Conv2d_2b_3x3", 64, THREE)))
        x = _unit(x, ("Conv2d_3b_1x1", 80, ONE))
        x = _halve(_unit(x, ("Conv2d_4a_3x3", 192, THREE), padded=False))
        for name, pool_features in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pool_features, name=name)(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = BlockC(width, name=f"Mixed_6{name}")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(max_pooled=False, name="Mixed_7b")(x)
        x = BlockE(max_pooled=True, name="Mixed_7c")(x)
        return spatial_mean(x)[:, 0, 0]
