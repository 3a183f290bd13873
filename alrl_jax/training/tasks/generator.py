"""Task ``generator``: train StyleGAN2, its constant input shifted by sampled pose codes."""

import dataclasses
import functools

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_generator, constant_channels
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2.ada import DiscriminatorAugmentation
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.losses.generator import path_length_penalty, path_lengths
from alrl_jax.training.losses.table import total_loss
from alrl_jax.training.optim import make_optimizer
from alrl_jax.training.state import PyTree, TrainState, new_state, update_networks
from alrl_jax.training.tasks import values
from alrl_jax.training.tasks.discriminator import DiscriminatorTraining
from alrl_jax.training.tasks.pretrained import Reader
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    loss_metrics,
)
from alrl_jax.types import FaceBatch

W_AVERAGE_DECAY = 0.995
STYLE_MIXING_STREAMS = (1, 2)
"""Folded into the key of latents for second latents, and for where their codes begin."""
PATH_BATCH_SHRINK = 2
"""Path lengths are measured on a batch that is smaller by this factor (Karras et al. 2020)."""


@flax.struct.dataclass
class GeneratorForward:
    """What the losses read: the discriminator's logits of generated faces."""

    fake_logits: Float[Array, "b 1"]


class PoseCodeSampler(nn.Module):
    """Draws 4x4 pose codes for the training of a generator without an encoder.

    Attributes:
        channels: of the pose code.
    """

    channels: int

    @nn.compact
    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b 4 4 {self.channels}"]:
        hidden = nn.silu(nn.Dense(64)(z))
        return nn.Dense(16 * self.channels)(hidden).reshape(-1, 4, 4, self.channels)


class GeneratorTask:
    """StyleGAN2 GAN training: non-saturating loss, lazy R1 and path length regularisation."""

    name = "generator"
    batch_kind = "faces"

    def __init__(self, config: Config) -> None:
        check_losses(self.name, config.losses)
        rates, weights, ada = config.optimizer, config.losses, config.discriminator
        self._seed, self._weights, self._ema_kimg = config.seed, weights, rates.ema_kimg
        self._model_config = values.generator_values(config)
        self._generator = build_generator(self._model_config)
        self._z_dim, self._pose_dim = config.generator.z_dim, config.generator.pose_latent_dim
        self._style_mixing = config.generator.style_mixing
        self._sampler = PoseCodeSampler(constant_channels(self._generator))
        self._discriminator = DiscriminatorTraining(
            values.discriminator_values(config),
            DiscriminatorAugmentation(ada.ada, ada.ada_p, ada.ada_target, ada.ada_kimg),
            weights.get("r1", 0.0),
            rates.r1_interval,
        )
        self._path_weight, self._path_interval = (
            weights.get("path_length", 0.0),
            rates.path_interval,
        )
        optimizer = functools.partial(make_optimizer, **values.optimizer_values(config))
        self._optimizers = {
            "generator": optimizer(rates.generator_learning_rate),
            "discriminator": optimizer(rates.discriminator_learning_rate),
        }

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Nothing is frozen."""
        return {}

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Training starts from scratch."""
        return {}

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights."""
        keys = jax.random.split(key, 3)
        generator = self._generator.init(keys[0], jnp.zeros((1, self._z_dim)))
        trained = {"synthesis": generator["params"]}
        if self._pose_dim:
            sampler = self._sampler.init(keys[1], jnp.zeros((1, self._pose_dim)))
            trained["pose"] = sampler["params"]
        params = {"generator": trained, "discriminator": self._discriminator.init(keys[2])}
        mutable = {
            "constants": generator["constants"],
            "path_length": jnp.zeros(()),
            **self._discriminator.augmentation.start(),
        }
        return new_state(params, self._optimizers, ("generator",), mutable)

    def phase(self, step: int) -> Phase:
        """Which lazy regularisers the next step runs."""
        return Phase(
            r1=self._discriminator.due(step),
            path_length=bool(self._path_weight) and step % self._path_interval == 0,
        )

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One update of generator, then discriminator, on the same generated images."""
        key = jax.random.fold_in(jax.random.key(self._seed), state.step)
        fake_key, path_key = jax.random.split(key)
        size, params, constants = batch.image.shape[0], state.params, state.mutable["constants"]

        # Forward, losses and gradient of the generator.
        def generator_loss(generator: PyTree) -> tuple[Array, tuple[Array, Array, Metrics]]:
            images, ws = self._draw(generator, constants, fake_key, size, self._style_mixing)
            logits = self._discriminator.logits(
                params["discriminator"], images, state.mutable, key, "generator"
            )
            total, losses = total_loss(self.name, GeneratorForward(logits), self._weights)
            return total, (images, ws, losses)

        (total, (fakes, ws, losses)), gradient = jax.value_and_grad(generator_loss, has_aux=True)(
            params["generator"]
        )
        metrics = {"loss/generator": total, **loss_metrics(losses)}
        mutable = dict(state.mutable)
        if phase.path_length:
            path_gradient, mean_length, penalty = self._path_gradient(
                params["generator"], constants, mutable["path_length"], path_key, size
            )
            gradient = jax.tree.map(jnp.add, gradient, path_gradient)
            mutable["path_length"] = mean_length
            metrics |= {"loss/path_length": penalty, "path_length": mean_length}

        # The discriminator sees the same images; both networks are moved at once.
        d_gradient, mutable, d_metrics = self._discriminator.gradient(
            params["discriminator"], batch.image, fakes, mutable, key, state.step, phase.r1
        )
        mutable["constants"] = _track_average(constants, ws)
        gradients = {"generator": gradient, "discriminator": d_gradient}
        state = update_networks(state, gradients, self._optimizers, size, self._ema_kimg)
        return dataclasses.replace(state, mutable=mutable), metrics | d_metrics

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Real faces beside generated ones; the latents are the same every time."""
        draw = functools.partial(self._draw, state.ema["generator"], state.mutable["constants"])
        size = batch.image.shape[0]
        drawn, _ = draw(jax.random.key(0), size)
        other, _ = draw(jax.random.key(1), size)
        return {"real": batch.image, "generated": drawn, "more": other}

    def export(self, state: TrainState, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged generator, the sampler of its pose codes, and the discriminator."""
        variables = {
            "params": state.ema["generator"]["synthesis"],
            "constants": state.mutable["constants"],
            "discriminator": state.params["discriminator"],
        }
        if "pose" in state.ema["generator"]:
            variables["pose"] = state.ema["generator"]["pose"]
        return ExportedModel("generator", self._model_config, variables)

    def _draw(
        self,
        generator: PyTree,
        constants: PyTree,
        key: Key[Array, ""],
        count: int,
        style_mixing: float = 0.0,
    ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b l d"]]:
        """Random faces and the codes that drew them."""
        keys = jax.random.split(key, 3)
        variables = {"params": generator["synthesis"], "constants": constants}
        ws = self._codes(variables, keys[0], count, style_mixing)
        pose = self._pose_code(generator, keys[1], count)
        images = apply(self._generator, variables, ws, pose, "random", keys[2], method="synthesize")
        return images, ws

    def _codes(
        self, variables: PyTree, key: Key[Array, ""], count: int, style_mixing: float
    ) -> Float[Array, "b l d"]:
        """W+ codes of random latents, a share of them with styles of two."""
        ws = self._mapped(variables, key, count)
        if not style_mixing:
            return ws
        second, place = (jax.random.fold_in(key, stream) for stream in STYLE_MIXING_STREAMS)
        return mix_styles(ws, self._mapped(variables, second, count), place, style_mixing)

    def _mapped(self, variables: PyTree, key: Key[Array, ""], count: int) -> Float[Array, "b l d"]:
        z = jax.random.normal(key, (count, self._z_dim))
        return apply(self._generator, variables, z, method="map")

    def _pose_code(
        self, generator: PyTree, key: Key[Array, ""], count: int
    ) -> Float[Array, "b 4 4 c"] | None:
        if not self._pose_dim:
            return None
        z = jax.random.normal(key, (count, self._pose_dim))
        return apply(self._sampler, {"params": generator["pose"]}, z)

    def _path_gradient(
        self,
        generator: PyTree,
        constants: PyTree,
        mean_length: Float[Array, ""],
        key: Key[Array, ""],
        size: int,
    ) -> tuple[PyTree, Float[Array, ""], Float[Array, ""]]:
        """Gradient of the path length penalty on a batch of its own, half as large."""
        count = max(size // PATH_BATCH_SHRINK, 1)
        keys = jax.random.split(key, 4)
        side = self._generator.resolution
        # A penalty of every n-th step has to weigh as much as n of them.
        weight = self._path_weight * self._path_interval
        directions = jax.random.normal(keys[3], (count, side, side, 3))

        def penalty(params: PyTree) -> tuple[Array, tuple[Array, Array]]:
            variables = {"params": params["synthesis"], "constants": constants}
            ws = self._codes(variables, keys[0], count, self._style_mixing)
            pose = self._pose_code(params, keys[1], count)
            synthesize = lambda codes: apply(  # noqa: E731
                self._generator, variables, codes, pose, "random", keys[2], method="synthesize"
            )
            lengths = path_lengths(synthesize, ws, directions)
            deviation, average = path_length_penalty(lengths, mean_length)
            return weight * deviation, (average, deviation)

        gradient, (average, deviation) = jax.grad(penalty, has_aux=True)(generator)
        return gradient, average, deviation


def mix_styles(
    ws: Float[Array, "b l d"],
    others: Float[Array, "b l d"],
    key: Key[Array, ""],
    probability: float,
) -> Float[Array, "b l d"]:
    """Style mixing: codes of a second latent from a random layer on (Karras et al. 2019).

    Neighbouring layers then cannot rely on having the same code. Every sample draws for itself
    whether it is mixed, and from which layer on: any but the first, whose code is never replaced.

    Args:
        ws: codes of the first latents.
        others: codes of the second latents.
        key: of the draws.
        probability: that a sample is mixed.
    """
    count, layers, _ = ws.shape
    place, chance = jax.random.split(key)
    crossover = jax.random.randint(place, (count,), 1, layers)
    mixed = jax.random.bernoulli(chance, probability, (count,))
    replaced = mixed[:, None] & (jnp.arange(layers)[None] >= crossover[:, None])
    return jnp.where(replaced[..., None], others, ws)


def _track_average(constants: PyTree, ws: Float[Array, "b l d"]) -> PyTree:
    """Moves ``w_avg`` towards the mean code of this batch."""
    old = constants["mapping"]["w_avg"]
    # The first layer's code is of the first latents whether or not styles are mixed.
    new = jnp.mean(jax.lax.stop_gradient(ws[:, 0]), axis=0)
    average = new + (old - new) * W_AVERAGE_DECAY
    return {**constants, "mapping": {**constants["mapping"], "w_avg": average}}
