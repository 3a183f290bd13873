"""The probe that gives the attribute groups their meaning while a swapper trains."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from alrl_jax.types import LatentCodes


class FactorProbe(nn.Module):
    """Reads the known factors of faces linearly from the codes that own them; training only.

    Training with this reading makes the names of the attribute groups mean what they say: a
    group's share in a code grows where the group's factors can be read from the code. Pose is read
    from the pose code.

    Attributes:
        attribute_groups: names of the attribute queries.
        factor_groups: for every factor, the group that it belongs to.
        channel_groups: groups that the channels of a code are split into.
    """

    attribute_groups: tuple[str, ...]
    factor_groups: tuple[str, ...]
    channel_groups: int

    @nn.compact
    def __call__(self, codes: LatentCodes, owners: Float[Array, "l #g k"]) -> Float[Array, "b f"]:
        """Predicted factors of faces with the given codes.

        Where the codes have no owners (one column for all groups), every factor is read from all.
        """
        batch, layers, width = codes.attributes.shape
        group = width // self.channel_groups
        parts = codes.attributes.reshape(batch, layers, self.channel_groups, group)
        belongs = [self.attribute_groups.index(name) for name in self.factor_groups]
        if owners.shape[-1] == 1:
            belongs = [0] * len(belongs)
        shares = owners[:, :, jnp.asarray(belongs, jnp.int32)]
        shares = jnp.broadcast_to(shares, (layers, self.channel_groups, len(belongs)))
        shape = (layers, self.channel_groups, group, len(belongs))
        weight = self.param("weight", nn.initializers.normal(0.02), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (len(belongs),), jnp.float32)
        # In full on accelerators too, as all that losses compare.
        full = lax.Precision.HIGHEST
        product = "blgc,lgf,lgcf->bf"
        read = jnp.einsum(product, parts, shares, weight, precision=full) + bias[None]
        from_pose = nn.Dense(len(belongs), precision=full, name="pose")(
            codes.pose.reshape(batch, -1)
        )
        # W+ codes follow the pose too, as colours and shadows do: read from both, the pose group
        # would come to own them.
        is_pose = jnp.asarray([name == "pose" for name in self.factor_groups])
        return jnp.where(is_pose[None], from_pose, read)
