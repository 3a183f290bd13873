"""What every learned selection may have beside it: codes of one face, refined for the other.

All functions belong to the module that they are given: its name is on the weights. The same
refinement stands beside every selection that is compared, so that selections alone differ.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from alrl_jax.models.activity import silu
from alrl_jax.models.swapper.pair_codes import FROM_SOURCE, PairCodes

Codes = Float[Array, "b l d"]


def pair_context(
    module: nn.Module, faces: PairCodes, overrides: Int[Array, " k"], width: int, normalised: bool
) -> Float[Array, "b {width}"]:
    """What all codes of both faces say together, and what is asked of the source.

    A layer's code says both which person a face is and how it looks; how the target looks, so that
    it can take the place of how the source does, stands in the other codes as well.

    Args:
        module: that owns the weights.
        faces: codes and identities.
        overrides: see ``Selector``.
        width: of the context.
        normalised: whether inputs of wide layers are normalised.
    """
    batch = faces.identity.shape[0]
    asked = (overrides == FROM_SOURCE).astype(faces.identity.dtype)
    asked = jnp.broadcast_to(asked, (batch, overrides.shape[0]))
    source, target = faces.source, faces.target
    parts = [source.pose, target.pose, source.attributes, target.attributes, faces.identity]
    parts = [normalise(part.reshape(batch, -1), normalised) for part in parts]
    x = jnp.concatenate([*parts, asked], axis=-1)
    x = hidden_units(module, nn.Dense(width, name="context_in")(x), "context_in", normalised)
    return hidden_units(module, nn.Dense(width, name="context_out")(x), "context_out", normalised)


def refine_source(
    module: nn.Module,
    source: Codes,
    target: Codes,
    known: Float[Array, "b e"],
    width: int,
    normalised: bool,
) -> Codes:
    """Source codes, refined layer by layer for the target; starts as the identity function.

    Args:
        module: that owns the weights.
        source: W+ codes of the source.
        target: W+ codes of the target.
        known: of the pair as a whole.
        width: of the hidden layer.
        normalised: whether inputs of wide layers are normalised.
    """
    layers, code_width = source.shape[1:]
    repeated = jnp.broadcast_to(known[:, None], (*source.shape[:2], known.shape[-1]))
    parts = [normalise(part, normalised) for part in (source, target, repeated)]
    inputs = jnp.concatenate(parts, axis=-1)
    # Layers share nothing: codes of different resolutions mean different things.
    first = module.param(
        "transfer_in",
        nn.initializers.lecun_normal(batch_axis=(0,)),
        (layers, inputs.shape[-1], width),
        jnp.float32,
    )
    # Zero: a fresh transfer gives the source's codes as they are.
    last = module.param(
        "transfer_out", nn.initializers.zeros, (layers, width, code_width), jnp.float32
    )
    hidden = jnp.einsum("bli,lih->blh", inputs, first)
    hidden = hidden_units(module, hidden, "transfer_in", normalised, "transfer_norm")
    return source + jnp.einsum("blh,lhd->bld", hidden, last)


def refine_pose(
    module: nn.Module, faces: PairCodes, known: Float[Array, "b e"], width: int, normalised: bool
) -> Float[Array, "b 4 4 c"]:
    """What the target's pose code lacks to lay out the source's head; starts at 0.

    The code says where the outline of the head is, and with it how wide the face.

    Args:
        module: that owns the weights.
        faces: codes and identities.
        known: of the pair as a whole.
        width: of the hidden layer.
        normalised: whether inputs of wide layers are normalised.
    """
    source, target = faces.source.pose, faces.target.pose
    if normalised:
        parts = [x.reshape(x.shape[0], -1) for x in (source, target, known)]
        seen = jnp.concatenate([normalise(x, True) for x in parts], axis=-1)
    else:
        # Faces side by side in every place, as models without normalised inputs learned it.
        seen = jnp.concatenate([source, target], axis=-1).reshape(source.shape[0], -1)
        seen = jnp.concatenate([seen, known], axis=-1)
    hidden = nn.Dense(width, name="pose_transfer_in")(seen)
    hidden = hidden_units(module, hidden, "pose_transfer_in", normalised)
    # Starts at zero, so that a trained generator first sees poses that it knows.
    start = nn.initializers.zeros
    moved = nn.Dense(target[0].size, kernel_init=start, name="pose_transfer_out")(hidden)
    return moved.reshape(target.shape)


def normalise(x: Float[Array, "*b n"], wanted: bool = True) -> Float[Array, "*b n"]:
    """Vectors with mean 0 and deviation 1.

    Thousands of inputs with a mean of their own all push a layer's units the same way. Optimisers
    that move whole matrices can so push whole layers to where SiLU is 0 (``models/activity.py``).
    """
    if not wanted:
        return x
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    scale = jnp.sqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + 1e-6)
    return centred / scale


def hidden_units(
    module: nn.Module, x: Float[Array, "*b n"], name: str, normalised: bool, norm: str = ""
) -> Float[Array, "*b n"]:
    """What a hidden layer passes on.

    Args:
        module: that owns the layer.
        x: what the layer's weights make of its inputs.
        name: of the layer.
        normalised: whether it is normalised before it is decided which units fire.
        norm: name of the normalisation; by default, that of the layer.
    """
    if normalised:
        # In each vector about half of the units are above 0, whatever the weights have become.
        x = nn.LayerNorm(name=norm or name.replace("_in", "") + "_norm")(x)
    return silu(module, x, name)
