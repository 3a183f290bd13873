"""GAN inversion: the W+ codes from which a generator draws given images, found by optimisation.

After the projector of StyleGAN2 (Karras et al. 2020, appendix D): Adam from the average code, its
rate warmed up and let down along a cosine.  The codes are those of W+ (Abdal et al. 2019), one a
layer.  Images of a batch do not touch each other: the loss is a sum, and Adam takes no norm over
all of it.  Rates are in standard deviations of the codes, so that they suit every generator.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from alrl_jax.models.stylegan2 import ops
from alrl_jax.training.optim import make_optimizer
from alrl_jax.types import AnyArray

PyTree = Any
Distance = Callable[[PyTree, Float[Array, "b h w 3"], Float[Array, "b h w 3"]], Float[Array, " b"]]
"""Of weights, images and targets."""

COARSEST = 4
"""Side of the last level of a pyramid, in pixels, where halving leads there."""
ABSOLUTE_SHARE = 0.1
"""Weight of absolute beside squared differences: they sharpen what is nearly right."""
# Adam's first steps are as long as its rate, whatever the gradient: it has to start low.
WARMUP_SHARE = 0.05
BETAS = (0.9, 0.999)


@flax.struct.dataclass
class Codes:
    """What a generator draws from.

    Attributes:
        ws: W+ codes.
        pose: what is added to the constant of a generator with pose codes, else None.
    """

    ws: Float[AnyArray, "b l d"]
    pose: Float[AnyArray, "b h w c"] | None = None


@flax.struct.dataclass
class Prior:
    """Where the search begins and how far a step goes.

    Attributes:
        center: codes, one of each kind.
        scale: a standard deviation of each kind, of shape [1, 1, 1] or [1, 1, 1, 1].
    """

    center: Codes
    scale: Codes


@flax.struct.dataclass
class InversionState:
    """A search on its way.

    Attributes:
        step: steps done.
        offsets: of the codes from the centre, in standard deviations.
        opt_state: Adam's.
    """

    step: Int[Array, ""]
    offsets: Codes
    opt_state: PyTree


def measure_prior(w_avg: Float[Array, " d"], samples: Codes) -> Prior:
    """The prior of a generator.

    Args:
        w_avg: average of W.
        samples: codes of normal latents, a few hundred or more.
    """
    # Training tracked this average over far more codes than there are samples.
    center = Codes(jnp.broadcast_to(w_avg, (1, *samples.ws.shape[1:])))
    if samples.pose is not None:
        center = Codes(center.ws, jnp.mean(samples.pose, axis=0, keepdims=True))

    def deviation(values: Array, middle: Array) -> Array:
        # One number for all: a channel that hardly varies among samples may be what a photo needs.
        return jnp.sqrt(jnp.mean(jnp.square(values - middle), keepdims=True))

    return Prior(center, jax.tree.map(deviation, samples, center))


def pyramid_distance(
    images: Float[Array, "b h w 3"], targets: Float[Array, "b h w 3"]
) -> Float[Array, " b"]:
    """How far images are from others, at all scales alike.

    The mean over full, half, quarter ... resolution of squared and, a little, absolute
    differences.  Coarse levels guide the search from far away, where pixels say nothing.
    """
    difference, levels = images - targets, []
    while True:
        squared = jnp.mean(jnp.square(difference), axis=(1, 2, 3))
        absolute = jnp.mean(jnp.abs(difference), axis=(1, 2, 3))
        levels.append(squared + ABSOLUTE_SHARE * absolute)
        # Below this a level is hardly more than the mean colour.
        if difference.shape[1] < 2 * COARSEST or difference.shape[1] % 2:
            return jnp.mean(jnp.stack(levels), axis=0)
        difference = ops.mean_pool(difference)


@dataclasses.dataclass(frozen=True)
class Inverter:
    """The search, without the networks.

    Attributes:
        synthesize: ``(networks, codes) -> images``.
        distance: what is made small, ``(networks, images, targets)`` to a number an image.
        num_steps: length of the search.
        learning_rate: peak rate, in standard deviations of the codes.
    """

    synthesize: Callable[[PyTree, Codes], Float[Array, "b h w 3"]]
    distance: Distance
    num_steps: int
    learning_rate: float

    def init(self, prior: Prior, count: int) -> InversionState:
        """The beginning of a search for ``count`` images: all at the centre."""
        offsets = jax.tree.map(
            lambda x: jnp.zeros((count, *x.shape[1:]), jnp.float32), prior.center
        )
        return InversionState(jnp.zeros((), jnp.int32), offsets, self._optimizer().init(offsets))

    def codes(self, prior: Prior, state: InversionState) -> Codes:
        """What has been found so far."""
        return jax.tree.map(lambda c, s, o: c + s * o, prior.center, prior.scale, state.offsets)

    def advance(
        self,
        networks: PyTree,
        prior: Prior,
        state: InversionState,
        targets: Float[Array, "b h w 3"],
        count: Int[Array, ""],
    ) -> InversionState:
        """``count`` steps more; to be compiled once for any count."""
        # The count is an argument: a last, shorter stretch runs the program of the others.
        return jax.lax.fori_loop(
            0, count, lambda _, s: self._step(networks, prior, s, targets), state
        )

    def result(
        self,
        networks: PyTree,
        prior: Prior,
        state: InversionState,
        targets: Float[Array, "b h w 3"],
    ) -> tuple[Codes, Float[Array, "b h w 3"], Float[Array, " b"]]:
        """The codes, what is drawn from them, and how far that is from the targets."""
        codes = self.codes(prior, state)
        images = self.synthesize(networks, codes)
        return codes, images, self.distance(networks, images, targets)

    def _step(
        self, networks: PyTree, prior: Prior, state: InversionState, targets: Array
    ) -> InversionState:
        def loss(offsets: Codes) -> Array:
            codes = self.codes(prior, dataclasses.replace(state, offsets=offsets))
            images = self.synthesize(networks, codes)
            # A sum: what is found for an image does not depend on how many share its batch.
            return jnp.sum(self.distance(networks, images, targets))

        gradient = jax.grad(loss)(state.offsets)
        updates, opt_state = self._optimizer().update(gradient, state.opt_state)
        offsets = cast(Codes, optax.apply_updates(cast(Any, state.offsets), updates))
        return InversionState(state.step + 1, offsets, opt_state)

    def _optimizer(self) -> optax.GradientTransformation:
        # It holds no state, so that it may be made wherever it is needed.
        steps = self.num_steps
        warmup = int(WARMUP_SHARE * steps)
        return make_optimizer(
            self.learning_rate, *BETAS, num_steps=steps, warmup_steps=warmup, decay=True
        )
