"""What a run of the task ``swap`` logs beside its losses: whether all of its parts are at work."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from alrl_jax.models.activity import ACTIVITY, dead_shares
from alrl_jax.models.swapper.swapper import Networks, PairEncoding, Swapper
from alrl_jax.training.losses.parts import entropy
from alrl_jax.training.state import TrainState
from alrl_jax.training.tasks.swap_forward import SwapForward
from alrl_jax.training.tasks.task import Metrics
from alrl_jax.types import SwapGates

FIRST_OWNERS = "first_owners"
"""Entry of a state's ``mutable``."""


def all_metrics(
    swapper: Swapper,
    networks: Networks,
    state: TrainState,
    forward: SwapForward,
    gradients: Mapping[str, Any],
) -> Metrics:
    """All of the below that a step's forward pass and gradients say.

    Args:
        swapper: the networks.
        networks: their variables before the update.
        state: before the update.
        forward: of the step.
        gradients: by network.
    """
    encoded = forward.encoded
    pair = PairEncoding(encoded.source, encoded.target, encoded.identity)
    return {
        "mask/area": jnp.mean(forward.drawn.mask),
        **gate_metrics(forward.drawn.gates),
        **owner_metrics(state),
        **gradient_metrics(gradients),
        **dead_metrics(swapper, networks, pair),
    }


def gate_metrics(gates: SwapGates) -> Metrics:
    """Mean, entropy in nats and spread of the gates, as they would be decided without noise.

    ``gates/varying`` is the share of gates over codes that are not the same for all pairs of the
    batch; ``gates/layer_NN`` the mean of each layer. Of gates in space, ``space/mean_N`` is how
    much of the target's features is kept at N px, and ``space/deviation_N`` how far a pixel's gate
    strays from its mean over the pairs.
    """
    # The votes alone: in training, noise and what pairs ask for make gates differ as well.
    decided = (gates.probabilities > 0.5).astype(jnp.float32)
    differs = jnp.any(decided != decided[:1], axis=0)
    found = {
        "gates/mean": jnp.mean(decided),
        "gates/entropy": jnp.mean(entropy(gates.probabilities)),
        "gates/varying": jnp.mean(differs.astype(jnp.float32)),
    }
    for layer, mean in enumerate(jnp.mean(decided, axis=(0, 2))):
        found[f"gates/layer_{layer:02d}"] = mean
    for resolution, kept in gates.space.items():
        found[f"space/mean_{resolution}"] = jnp.mean(kept)
        found[f"space/deviation_{resolution}"] = jnp.mean(jnp.std(kept, axis=0))
    return found


def first_owners(params: Mapping[str, Any]) -> dict[str, Array]:
    """What a state keeps of the ownership of codes that a run begins with; nothing without one."""
    owners = params.get("swap", {}).get("params", {}).get("owners")
    # A copy: a step gives away the memory of its state, which no array may have twice.
    return {} if owners is None else {FIRST_OWNERS: jnp.copy(owners)}


def owners_like_first(state: TrainState) -> Float[Array, ""] | None:
    """Correlation of the ownership's logits with those that the run began with.

    Near 1, ownership is still what was drawn, and what a caller asks for comes by chance. None
    without an ownership.
    """
    first = state.mutable.get(FIRST_OWNERS)
    if first is None:
        return None
    # A softmax does not see the mean of a code's logits.
    both = (first, state.params["swap"]["params"]["owners"])
    before, now = (x - jnp.mean(x, axis=-1, keepdims=True) for x in both)
    lengths = jnp.sqrt(jnp.sum(jnp.square(before)) * jnp.sum(jnp.square(now)))
    return jnp.sum(before * now) / jnp.maximum(lengths, 1e-12)


def owner_metrics(state: TrainState) -> Metrics:
    """``owners_like_first``, as it is logged."""
    found = owners_like_first(state)
    return {} if found is None else {"owners/like_first": found}


def gradient_metrics(gradients: Mapping[str, Any]) -> Metrics:
    """Norm of every network's gradient, before it is clipped."""
    return {f"gradient/{name}": optax.tree.norm(tree) for name, tree in gradients.items()}


def rate_metrics(rates: Mapping[str, optax.Schedule], step: Int[Array, ""]) -> Metrics:
    """Learning rates of the update that follows ``step`` finished ones."""
    with jax.numpy_dtype_promotion("standard"):
        return {
            f"rate/{name}": jnp.asarray(rate(step), jnp.float32) for name, rate in rates.items()
        }


def dead_metrics(swapper: Swapper, networks: Networks, pair: PairEncoding) -> Metrics:
    """Share of units of the swap module that fire for no pair of the batch, the worst layer's.

    Args:
        swapper: the networks.
        networks: variables by network.
        pair: both faces of every pair.
    """
    overrides, found = swapper.overrides({}), {}
    faces = pair.codes
    _, noted = swapper.selector.apply(networks["swap"], faces, overrides, mutable=[ACTIVITY])
    found["dead/swap"] = _worst(noted)
    if swapper.target_features is not None:
        _, noted = swapper.target_features.apply(
            networks["target_features"], faces, pair.target, overrides, mutable=[ACTIVITY]
        )
        found["dead/target_features"] = _worst(noted)
    return found


def _worst(noted: Any) -> Float[Array, ""]:
    shares = dead_shares(noted)
    return jnp.max(jnp.stack([*shares.values(), jnp.zeros(())]))


def gate_image(gates: Float[Array, "b l g"], resolution: int) -> Float[Array, "b h w 3"]:
    """Gates as images: a row a layer, a column a channel group, white from the source."""
    image = jnp.repeat(2.0 * gates[..., None] - 1.0, 3, axis=-1)
    return jax.image.resize(image, (gates.shape[0], resolution, resolution, 3), "nearest")
