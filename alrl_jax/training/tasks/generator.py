"""Task ``generator``: train StyleGAN2, its constant input shifted by sampled pose codes."""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_discriminator, build_generator, constant_channels
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2.ada import DiscriminatorAugmentation
from alrl_jax.training.losses.gan import discriminator_loss, path_lengths, r1_penalty
from alrl_jax.training.losses.table import GeneratorForward, total_loss
from alrl_jax.training.state import PyTree, TrainState, ema_decay, update_ema
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    network_optimizer,
)
from alrl_jax.types import FaceBatch

W_AVERAGE_DECAY = 0.995
PATH_LENGTH_DECAY = 0.01
PATH_BATCH_SHRINK = 2
REAL_SIGN = "logits/real_sign"
"""Metric by which augmentation is steered: mean sign of the logits of real images."""


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
        check_losses(config)
        self._config = config
        self._model_config = generator_config(config)
        self._generator = build_generator(self._model_config)
        self._sampler = PoseCodeSampler(constant_channels(self._generator))
        self._discriminator = build_discriminator(discriminator_config(config))
        self._augmentation = discriminator_augmentation(config)
        rates, weights = config.optimizer, config.losses
        self._optimizers = {
            "generator": network_optimizer(
                config,
                rates.generator_learning_rate,
                rates.path_interval if weights.get("path_length", 0.0) else 0,
            ),
            "discriminator": network_optimizer(
                config,
                rates.discriminator_learning_rate,
                rates.r1_interval if weights.get("r1", 0.0) else 0,
            ),
        }

    def load_frozen(self) -> dict[str, PyTree]:
        """Nothing is frozen."""
        return {}

    def load_pretrained(self) -> dict[str, PyTree]:
        """Training starts from scratch."""
        return {}

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights."""
        size, values = self._config.resolution, self._config.generator
        keys = jax.random.split(key, 3)
        generator = self._generator.init(keys[0], jnp.zeros((1, values.z_dim)))
        params = {"generator": {"synthesis": generator["params"]}, "discriminator": {}}
        if values.pose_latent_dim:
            sampler = self._sampler.init(keys[1], jnp.zeros((1, values.pose_latent_dim)))
            params["generator"]["pose"] = sampler["params"]
        blocks = self._config.discriminator.mbstd_blocks
        discriminator = self._discriminator.init(keys[2], jnp.zeros((blocks, size, size, 3)))
        params["discriminator"] = discriminator["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            ema={"generator": jax.tree.map(jnp.copy, params["generator"])},
            opt_state={name: o.init(params[name]) for name, o in self._optimizers.items()},
            mutable={
                "constants": generator["constants"],
                "path_length": jnp.zeros(()),
                **self._augmentation.start(),
            },
        )

    def phase(self, step: int) -> Phase:
        """Which lazy regularisers the next step runs."""
        rates, weights = self._config.optimizer, self._config.losses
        return Phase(
            r1=bool(weights.get("r1", 0.0)) and step % rates.r1_interval == 0,
            path_length=bool(weights.get("path_length", 0.0)) and step % rates.path_interval == 0,
        )

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One update of generator, then discriminator, on the same generated images."""
        key = jax.random.fold_in(jax.random.key(self._config.seed), state.step)
        fake_key, path_key = jax.random.split(key)
        size = batch.image.shape[0]
        constants = state.mutable["constants"]
        params = state.params

        def generator_loss(generator: PyTree) -> tuple[Array, tuple[Array, Array, Metrics]]:
            images, ws = self._draw(generator, constants, fake_key, size)
            seen = self._augmentation.see(images, state.mutable, key, "generator")
            logits = self._discriminate(params["discriminator"], seen)
            total, values = total_loss(self.name, GeneratorForward(logits), self._config.losses)
            return total, (images, ws, values)

        (total, (fakes, ws, values)), gradient = jax.value_and_grad(generator_loss, has_aux=True)(
            params["generator"]
        )
        metrics = {"loss/generator": total, **{f"loss/{k}": v for k, v in values.items()}}
        mutable = dict(state.mutable)
        if phase.path_length:
            path_gradient, mean_length, penalty = self._path_gradient(
                params["generator"], constants, mutable["path_length"], path_key, size
            )
            gradient = jax.tree.map(jnp.add, gradient, path_gradient)
            mutable["path_length"] = mean_length
            metrics |= {"loss/path_length": penalty, "path_length": mean_length}
        loss, d_gradient, d_metrics = self._discriminator_gradient(
            params["discriminator"],
            self._augmentation.see(batch.image, state.mutable, key, "real"),
            self._augmentation.see(fakes, state.mutable, key, "fake"),
            phase,
        )
        sign = d_metrics.pop(REAL_SIGN)
        mutable, ada_metrics = self._augmentation.follow(mutable, state.step, sign, size)
        metrics |= {"loss/discriminator": loss, **d_metrics, **ada_metrics}
        mutable["constants"] = _track_average(constants, ws)
        state = self._update(state, {"generator": gradient, "discriminator": d_gradient}, size)
        return dataclasses.replace(state, mutable=mutable), metrics

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
        self, generator: PyTree, constants: PyTree, key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b l d"]]:
        """Random faces and the codes that drew them."""
        keys = jax.random.split(key, 3)
        variables = {"params": generator["synthesis"], "constants": constants}
        z = jax.random.normal(keys[0], (count, self._config.generator.z_dim))
        ws = apply(self._generator, variables, z, method="map")
        pose = self._pose_code(generator, keys[1], count)
        images = apply(self._generator, variables, ws, pose, "random", keys[2], method="synthesize")
        return images, ws

    def _pose_code(
        self, generator: PyTree, key: Key[Array, ""], count: int
    ) -> Float[Array, "b 4 4 c"] | None:
        width = self._config.generator.pose_latent_dim
        if not width:
            return None
        z = jax.random.normal(key, (count, width))
        return apply(self._sampler, {"params": generator["pose"]}, z)

    def _discriminate(self, params: PyTree, images: Float[Array, "b h w 3"]) -> Float[Array, "b 1"]:
        return apply(self._discriminator, {"params": params}, images)

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
        resolution = self._config.resolution
        interval = self._config.optimizer.path_interval
        weight = self._config.losses["path_length"] * interval
        directions = jax.random.normal(keys[3], (count, resolution, resolution, 3))
        z = jax.random.normal(keys[0], (count, self._config.generator.z_dim))

        def penalty(params: PyTree) -> tuple[Array, tuple[Array, Array]]:
            variables = {"params": params["synthesis"], "constants": constants}
            ws = apply(self._generator, variables, z, method="map")
            pose = self._pose_code(params, keys[1], count)
            synthesize = lambda codes: apply(  # noqa: E731
                self._generator, variables, codes, pose, "random", keys[2], method="synthesize"
            )
            lengths = path_lengths(synthesize, ws, directions)
            average = mean_length + PATH_LENGTH_DECAY * (jnp.mean(lengths) - mean_length)
            deviation = jnp.mean(jnp.square(lengths - jax.lax.stop_gradient(average)))
            return weight * deviation, (average, deviation)

        gradient, (average, deviation) = jax.grad(penalty, has_aux=True)(generator)
        return gradient, average, deviation

    def _discriminator_gradient(
        self,
        params: PyTree,
        real: Float[Array, "b h w 3"],
        fake: Float[Array, "b h w 3"],
        phase: Phase,
    ) -> tuple[Float[Array, ""], PyTree, Metrics]:
        """Loss and gradient of the discriminator, with R1 where the phase asks for it."""
        weight = self._config.losses.get("r1", 0.0) * self._config.optimizer.r1_interval
        return discriminator_gradient(
            self._discriminate,
            params,
            real,
            jax.lax.stop_gradient(fake),
            weight if phase.r1 else 0.0,
        )

    def _update(
        self, state: TrainState, gradients: dict[str, PyTree], batch_size: int
    ) -> TrainState:
        params, opt_state = {}, {}
        for name, optimizer in self._optimizers.items():
            updates, opt_state[name] = optimizer.update(
                gradients[name], state.opt_state[name], state.params[name]
            )
            params[name] = optax.apply_updates(state.params[name], updates)
        decay = ema_decay(state.step, batch_size, self._config.optimizer.ema_kimg)
        ema = {"generator": update_ema(state.ema["generator"], params["generator"], decay)}
        return dataclasses.replace(
            state, step=state.step + 1, params=params, opt_state=opt_state, ema=ema
        )


def discriminator_gradient(
    judge: Callable[[PyTree, Float[Array, "b h w 3"]], Float[Array, "b 1"]],
    params: PyTree,
    real: Float[Array, "b h w 3"],
    fake: Float[Array, "b h w 3"],
    r1_weight: float,
) -> tuple[Float[Array, ""], PyTree, Metrics]:
    """Loss and gradient of a discriminator.

    Args:
        judge: ``(params, images) -> logits``.
        params: of the discriminator.
        real: real images as it sees them, which is where R1 holds it flat.
        fake: generated images as it sees them.
        r1_weight: of the R1 penalty, interval included; 0 leaves it out.

    Returns:
        Loss, gradient and metrics, among these ``REAL_SIGN``.
    """

    def loss(p: PyTree) -> tuple[Array, tuple[Array, Metrics]]:
        real_logits, fake_logits = judge(p, real), judge(p, fake)
        value = discriminator_loss(real_logits, fake_logits)
        metrics = {
            "logits/real": jnp.mean(real_logits),
            "logits/fake": jnp.mean(fake_logits),
            REAL_SIGN: jnp.mean(jnp.sign(real_logits)),
        }
        total = value
        if r1_weight:
            penalty = r1_penalty(lambda images: judge(p, images), real)
            total = total + r1_weight * penalty
            metrics["loss/r1"] = penalty
        return total, (value, metrics)

    gradient, (value, metrics) = jax.grad(loss, has_aux=True)(params)
    return value, gradient, metrics


def discriminator_augmentation(config: Config) -> DiscriminatorAugmentation:
    """What stands between images and discriminator."""
    values = config.discriminator
    return DiscriminatorAugmentation(values.ada, values.ada_p, values.ada_target, values.ada_kimg)


def generator_config(config: Config) -> dict:
    """Plain values that rebuild the generator."""
    values = config.generator
    return {
        "resolution": config.resolution,
        "z_dim": values.z_dim,
        "w_dim": values.w_dim,
        "channel_base": values.channel_base,
        "channel_max": values.channel_max,
        "num_mapping_layers": values.num_mapping_layers,
        "pose_latent_dim": values.pose_latent_dim,
        "dtype": config.compute_dtype,
        "discriminator": discriminator_config(config),
    }


def discriminator_config(config: Config) -> dict:
    """Plain values that rebuild the discriminator."""
    values = config.discriminator
    return {
        "resolution": config.resolution,
        "channel_base": values.channel_base,
        "channel_max": values.channel_max,
        "mbstd_group_size": values.mbstd_group_size,
        "mbstd_blocks": values.mbstd_blocks,
        "dtype": config.compute_dtype,
    }


def _track_average(constants: PyTree, ws: Float[Array, "b l d"]) -> PyTree:
    """Moves ``w_avg`` towards the mean code of this batch."""
    old = constants["mapping"]["w_avg"]
    new = jnp.mean(jax.lax.stop_gradient(ws[:, 0]), axis=0)
    average = new + (old - new) * W_AVERAGE_DECAY
    return {**constants, "mapping": {**constants["mapping"], "w_avg": average}}
