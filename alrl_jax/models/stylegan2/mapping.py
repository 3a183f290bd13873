"""The mapping network of StyleGAN2: from normal vectors, and classes, to the space W."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float32

from alrl_jax.errors import UserError
from alrl_jax.models.stylegan2 import layers, ops

MAPPING_LR_MULTIPLIER = 0.01


class MappingNetwork(nn.Module):
    """Maps normal vectors, with a label where there are classes, to the space W.

    Attributes:
        w_dim: width of W.
        num_layers: depth.
        label_dim: number of classes, 0 without.
        track_average: hold ``w_avg``, the centre of truncation.
    """

    w_dim: int
    num_layers: int = 8
    label_dim: int = 0
    track_average: bool = True

    @nn.compact
    def __call__(
        self, z: Float32[Array, "b z"] | None, label: Float32[Array, "b n"] | None = None
    ) -> Float32[Array, "b d"]:
        """Returns w; z is None where only the label counts."""
        width = 0 if label is None else label.shape[-1]
        if width != self.label_dim:
            raise UserError(
                f"got labels of {width} classes; expected {self.label_dim}, where 0 means no "
                "label; pass what the network was made for"
            )
        # Each by itself: normalised together, either could drown the other.
        parts = [] if z is None else [ops.normalize_2nd_moment(z)]
        if label is not None:
            embedded = layers.EqualizedDense(self.w_dim, name="embed")(label)
            parts.append(ops.normalize_2nd_moment(embedded))
        x = jnp.concatenate(parts, axis=-1)
        for i in range(self.num_layers):
            x = layers.EqualizedDense(
                self.w_dim, lr_multiplier=MAPPING_LR_MULTIPLIER, activate=True, name=f"fc{i}"
            )(x)
        if self.track_average:  # no gradient moves it: whoever trains keeps the running mean
            self.variable("constants", "w_avg", jnp.zeros, (self.w_dim,), jnp.float32)
        return x
