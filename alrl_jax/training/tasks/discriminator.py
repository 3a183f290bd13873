"""The discriminator of a task that trains against one: its network, its step, its schedule."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from alrl_jax.models.build import build_discriminator
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2.ada import DiscriminatorAugmentation
from alrl_jax.training.accumulation import Part, in_parts
from alrl_jax.training.losses.gan import discriminator_loss, r1_penalty
from alrl_jax.training.state import PyTree
from alrl_jax.training.tasks.task import Metrics

Images = Float[Array, "b h w 3"]
Labels = Float[Array, "b n"]


class DiscriminatorTraining:
    """A discriminator and what stands between it and the images.

    Attributes:
        resolution: side of the images.
        mbstd_blocks: blocks of the batch that its statistics are taken over.
    """

    def __init__(
        self,
        values: dict,
        augmentation: DiscriminatorAugmentation,
        r1_weight: float,
        r1_interval: int,
        accumulate: int = 1,
        frozen_blocks: int = 0,
    ) -> None:
        """Builds the network.

        Args:
            values: plain values of the network.
            augmentation: of all images that it sees.
            r1_weight: of the R1 penalty; 0 leaves it out.
            r1_interval: steps from one R1 penalty to the next.
            accumulate: parts of a batch that it sees one after another.
            frozen_blocks: blocks, from the image on, that are not trained.
        """
        self.resolution, self.mbstd_blocks = values["resolution"], values["mbstd_blocks"]
        self.augmentation = augmentation
        self._network = build_discriminator(values)
        self._r1_weight, self._r1_interval = r1_weight, r1_interval
        self._accumulate, self._group = accumulate, values["mbstd_group_size"]
        blocks = [f"b{self.resolution >> i}" for i in range(self.resolution.bit_length() - 3)]
        self._frozen = blocks[:frozen_blocks]
        self._label_dim = values.get("label_dim", 0)

    def due(self, step: int) -> bool:
        """Whether the update after ``step`` finished ones has an R1 penalty."""
        return bool(self._r1_weight) and step % self._r1_interval == 0

    def init(self, key: Key[Array, ""]) -> PyTree:
        """Fresh parameters."""
        images = jnp.zeros((self.mbstd_blocks, self.resolution, self.resolution, 3))
        label = jnp.zeros((self.mbstd_blocks, self._label_dim)) if self._label_dim else None
        return self._network.init(key, images, label)["params"]

    def logits(
        self,
        params: PyTree,
        images: Images,
        mutable: PyTree,
        key: Key[Array, ""],
        use: str,
        label: Labels | None = None,
    ) -> Float[Array, "b 1"]:
        """Its opinion of images.

        Args:
            params: of the network.
            images: pixels in [-1, 1].
            mutable: of the state, with the augmentation's probability.
            key: of the step.
            use: of the images, see ``DiscriminatorAugmentation``.
            label: one-hot classes of the images, for a conditional network.
        """
        return self._classify(params, self.augmentation.augment(images, mutable, key, use), label)

    def gradient(
        self,
        params: PyTree,
        real: Images,
        fake: Images,
        mutable: PyTree,
        key: Key[Array, ""],
        step: Int[Array, ""],
        with_r1: bool,
        label: Labels | None = None,
    ) -> tuple[PyTree, dict[str, PyTree], Metrics]:
        """Gradient of its loss, with R1 where that is due.

        One update takes both: R1 makes none of its own, so that its optimiser asks for no
        correction of rate and betas (see ``make_optimizer``).

        Args:
            params: of the network.
            real: images of the data.
            fake: generated images; they get no gradient.
            mutable: of the state.
            key: of the step.
            step: finished updates.
            with_r1: whether the step has an R1 penalty.
            label: one-hot classes, of real and generated images alike.

        Returns:
            Gradient, the next ``mutable``, and metrics.
        """
        # R1 holds the discriminator flat where it sees real images, which is behind the transforms.
        real = self.augmentation.augment(real, mutable, key, "real")
        fake = self.augmentation.augment(jax.lax.stop_gradient(fake), mutable, key, "fake")
        # A penalty of every n-th step has to weigh as much as n of them.
        r1_weight = self._r1_weight * self._r1_interval if with_r1 else 0.0

        def loss(params: PyTree) -> tuple[Array, tuple[Array, Metrics]]:
            params = self._held(params)
            classify = lambda images: self._classify(params, images, label)  # noqa: E731
            real_logits, fake_logits = classify(real), classify(fake)
            total = value = discriminator_loss(real_logits, fake_logits)
            metrics = {
                "loss/discriminator": value,
                "logits/real": jnp.mean(real_logits),
                "logits/fake": jnp.mean(fake_logits),
            }
            if r1_weight:
                penalty = r1_penalty(classify, real)
                total = total + r1_weight * penalty
                metrics["loss/r1"] = penalty
            return total, (jnp.mean(jnp.sign(real_logits)), metrics)

        gradient, (sign, metrics) = jax.grad(loss, has_aux=True)(params)
        mutable, steered = self.augmentation.adapt(mutable, step, sign, real.shape[0])
        return gradient, mutable, metrics | steered

    def _held(self, params: PyTree) -> PyTree:
        """Parameters of which those of the first blocks get no gradient (Mo et al. 2020)."""
        held = {name: jax.lax.stop_gradient(params[name]) for name in self._frozen}
        return {**params, **held}

    def _classify(
        self, params: PyTree, images: Images, label: Labels | None = None
    ) -> Float[Array, "b 1"]:
        parts, blocks = self._accumulate, self.mbstd_blocks
        size = images.shape[0] // blocks
        # Groups stay whole. Where a block has several for each part, every part has some of each
        # block; else every part has whole blocks.
        groups = size // min(self._group, size)
        if groups % parts == 0:
            network, together = self._network, 1
        else:
            network, together = self._network.clone(mbstd_blocks=blocks // parts), size

        def seen(part: Part, images: Images, label: Labels | None) -> Float[Array, "b 1"]:
            return apply(network, {"params": params}, images, label)

        return in_parts(seen, parts, images, label, together=together)


def alternate(generated: Images, blended: Images) -> Images:
    """The generated face of every other pair, the blended one of the rest.

    A face can so grow beyond its mask, and the mask learns where a face fits in.
    """
    first = jnp.arange(generated.shape[0]) % 2 == 0
    return jnp.where(first[:, None, None, None], generated, blended)
