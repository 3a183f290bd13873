"""GAN inversion: the W+ codes from which a generator draws given images, found by optimisation.

After the projector of StyleGAN2 (Karras et al. 2020, appendix D): Adam from the average code, its
rate warmed up and let down along a cosine.  The codes are those of W+ (Abdal et al. 2019), one a
layer.  Images of a batch do not touch each other: the loss is a sum, and Adam takes no norm over
all of it.  Rates are in standard deviations of the codes, so that they suit every generator.

The same search refines the codes of a swap, and tunes a generator around a pivot (Roich et al.
2021): what moves is any tree of arrays, and what it is compared with is any other.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from alrl_jax.models.stylegan2 import ops
from alrl_jax.training.optim import make_optimizer
from alrl_jax.types import AnyArray

PyTree = Any
Distance = Callable[[PyTree, Float[Array, "b h w 3"], PyTree], Float[Array, " b"]]
"""Of weights, images and what these are compared with."""

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
        center: codes, one of each kind, or one an image; or the weights that are tuned.
        scale: a standard deviation of each kind, of shape [1, 1, 1] or [1, 1, 1, 1]; of weights,
            what a step is measured in.
    """

    center: PyTree
    scale: PyTree


@flax.struct.dataclass
class InversionState:
    """A search on its way.

    Attributes:
        step: steps done.
        offsets: of the codes from the centre, in standard deviations.
        opt_state: Adam's.
        best: the offsets at which the loss of an image was least; where it never was a number, the
            first.
        best_loss: that loss.
    """

    step: Int[Array, ""]
    offsets: PyTree
    opt_state: PyTree
    best: PyTree
    best_loss: Float[Array, " b"]


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
        pull: weight of the mean squared offset, which keeps codes near the centre.
    """

    synthesize: Callable[[PyTree, PyTree], Float[Array, "b h w 3"]]
    distance: Distance
    num_steps: int
    learning_rate: float
    pull: float = 0.0

    def init(self, prior: Prior, count: int) -> InversionState:
        """The beginning of a search for ``count`` images: all at the centre."""
        offsets = jax.tree.map(
            lambda x: jnp.zeros((count, *x.shape[1:]), jnp.float32), prior.center
        )
        return self._begin(offsets, count)

    def init_one(self, prior: Prior) -> InversionState:
        """The same where what moves has no axis of images, such as weights that draw one."""
        return self._begin(jax.tree.map(jnp.zeros_like, prior.center), 1)

    def _begin(self, offsets: PyTree, count: int) -> InversionState:
        none = jnp.full((count,), jnp.inf)
        start = jnp.zeros((), jnp.int32)
        return InversionState(start, offsets, self._optimizer().init(offsets), offsets, none)

    def codes(self, prior: Prior, offsets: PyTree) -> PyTree:
        """What offsets stand for."""
        return jax.tree.map(lambda c, s, o: c + s * o, prior.center, prior.scale, offsets)

    def advance(
        self,
        networks: PyTree,
        prior: Prior,
        state: InversionState,
        targets: PyTree,
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
        targets: PyTree,
    ) -> tuple[PyTree, Float[Array, "b h w 3"], Float[Array, " b"]]:
        """The best codes, what is drawn from them, and how far that is from the targets.

        A search that ran away, or into what is no number, gives the best that it had found.
        """
        last, _ = self._loss(networks, prior, state.offsets, targets)
        codes = self.codes(prior, _where(last <= state.best_loss, state.offsets, state.best))
        images = self.synthesize(networks, codes)
        return codes, images, self.distance(networks, images, targets)

    def _loss(
        self, networks: PyTree, prior: Prior, offsets: PyTree, targets: PyTree
    ) -> tuple[Float[Array, " b"], Float[Array, "b h w 3"]]:
        """What is made small, image by image, and the images."""
        images = self.synthesize(networks, self.codes(prior, offsets))
        losses = self.distance(networks, images, targets)
        if self.pull:
            far = [jnp.mean(jnp.square(x).reshape(len(x), -1), 1) for x in jax.tree.leaves(offsets)]
            losses = losses + self.pull * jnp.mean(jnp.stack(far), axis=0)
        return losses, images

    def _step(
        self, networks: PyTree, prior: Prior, state: InversionState, targets: PyTree
    ) -> InversionState:
        def loss(offsets: PyTree) -> tuple[Array, Array]:
            losses, _ = self._loss(networks, prior, offsets, targets)
            # A sum: what is found for an image does not depend on how many share its batch.
            return jnp.sum(losses), losses

        gradient, losses = jax.grad(loss, has_aux=True)(state.offsets)
        updates, opt_state = self._optimizer().update(gradient, state.opt_state)
        offsets = optax.apply_updates(state.offsets, updates)
        better = losses < state.best_loss
        best = _where(better, state.offsets, state.best)
        best_loss = jnp.where(better, losses, state.best_loss)
        return InversionState(state.step + 1, offsets, opt_state, best, best_loss)

    def _optimizer(self) -> optax.GradientTransformation:
        # It holds no state, so that it may be made wherever it is needed.
        steps = self.num_steps
        warmup = int(WARMUP_SHARE * steps)
        return make_optimizer(
            self.learning_rate, *BETAS, num_steps=steps, warmup_steps=warmup, decay=True
        )


def _where(chosen: Bool[Array, " b"], yes: PyTree, no: PyTree) -> PyTree:
    """One of two trees, image by image; of arrays without an axis of images, for one image."""

    def pick(a: Array, b: Array) -> Array:
        shape = (-1, *[1] * (a.ndim - 1)) if a.ndim else ()
        return jnp.where(chosen.reshape(shape), a, b)

    return jax.tree.map(pick, yes, no)
