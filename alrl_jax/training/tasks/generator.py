"""Task ``generator``: train StyleGAN2, its constant input shifted by sampled pose codes."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_generator, constant_channels
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2.ada import DiscriminatorAugmentation
from alrl_jax.models.stylegan2.generator import num_latents
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.accumulation import Part, in_parts
from alrl_jax.training.losses.generator import path_length_penalty, path_lengths
from alrl_jax.training.losses.table import total_loss
from alrl_jax.training.metrics import SKIPPED
from alrl_jax.training.optim import make_optimizer, rate_schedule
from alrl_jax.training.state import (
    PyTree,
    TrainState,
    new_state,
    update_networks,
    without_nonfinite,
)
from alrl_jax.training.tasks import run_values, values
from alrl_jax.training.tasks.diagnostics import gradient_metrics, rate_metrics
from alrl_jax.training.tasks.discriminator import DiscriminatorTraining
from alrl_jax.training.tasks.drawing import (
    STYLE_MIXING_STREAMS,
    Drawing,
    PoseCodeSampler,
    draw_replaced,
    noise_maps,
)
from alrl_jax.training.tasks.pretrained import Reader
from alrl_jax.training.tasks.run_values import RunValues
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    loss_metrics,
)
from alrl_jax.types import FaceBatch

W_AVERAGE_DECAY = 0.995
PATH_BATCH_SHRINK = 2
"""Path lengths are measured on a batch that is smaller by this factor (Karras et al. 2020)."""


@flax.struct.dataclass
class GeneratorForward:
    """What the losses read: the discriminator's logits of generated faces."""

    fake_logits: Float[Array, "b 1"]


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
        self._style_mixing, self._accumulate = config.generator.style_mixing, config.accumulate
        self._classes = self._model_config.get("label_dim", 0)
        self._sampler = PoseCodeSampler(constant_channels(self._generator))
        self._discriminator = DiscriminatorTraining(
            values.discriminator_values(config),
            DiscriminatorAugmentation(ada.ada, ada.ada_p, ada.ada_target, ada.ada_kimg),
            weights.get("r1", 0.0),
            rates.r1_interval,
            config.accumulate,
            config.discriminator.freeze_blocks,
        )
        self._path_weight, self._path_interval = (
            weights.get("path_length", 0.0),
            rates.path_interval,
        )
        self._shared, self._skips = values.optimizer_values(config), config.skip_nonfinite > 0
        self._run = run_values.run_values(config)
        self._optimizers = self._make_optimizers(self._run)

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Nothing is frozen."""
        return {}

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Training starts from scratch."""
        return {}

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights."""
        keys = jax.random.split(key, 3)
        label = jnp.zeros((1, self._classes)) if self._classes else None
        generator = self._generator.init(keys[0], jnp.zeros((1, self._z_dim)), label)
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
        # Generated faces are of the classes of the real ones: each as often as the data show it.
        label = self._label(batch.identity)
        parts = self._accumulate
        drawing = self._drawing(fake_key, size, self._style_mixing, label, constants, parts)

        # Forward, losses and gradient of the generator.
        def generator_loss(generator: PyTree) -> tuple[Array, tuple[Array, Array, Metrics]]:
            images, ws = self._draw(generator, constants, drawing, parts)
            logits = self._discriminator.logits(
                params["discriminator"], images, state.mutable, key, "generator", label
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
                params["generator"], constants, mutable["path_length"], path_key, label, size
            )
            gradient = jax.tree.map(jnp.add, gradient, path_gradient)
            mutable["path_length"] = mean_length
            metrics |= {"loss/path_length": penalty, "path_length": mean_length}

        # The discriminator sees the same images; both networks are moved at once.
        d_gradient, mutable, d_metrics = self._discriminator.gradient(
            params["discriminator"], batch.image, fakes, mutable, key, state.step, phase.r1, label
        )
        mutable["constants"] = _track_average(constants, ws)
        gradients = {"generator": gradient, "discriminator": d_gradient}
        run = frozen.get(run_values.KEY, self._run)
        new = update_networks(state, gradients, self._make_optimizers(run), size, self._ema_kimg)
        new, metrics = dataclasses.replace(new, mutable=mutable), metrics | d_metrics
        if self._skips:
            new, metrics[SKIPPED] = without_nonfinite(state, new, gradients)
        rates = rate_metrics(self._rates(run), state.step)
        return new, metrics | gradient_metrics(gradients) | rates

    def run_values(self) -> dict[str, Any]:
        """Length and rates of the run, which updates take from ``frozen["run"]``."""
        return self._run

    def _rates(self, run: RunValues) -> dict[str, optax.Schedule]:
        schedule = functools.partial(
            rate_schedule, decay=self._shared["decay"], **run_values.clock(run)
        )
        return {
            "generator": schedule(run["generator_learning_rate"]),
            "discriminator": schedule(run["discriminator_learning_rate"]),
        }

    def _make_optimizers(self, run: RunValues) -> dict[str, optax.GradientTransformation]:
        optimizer = functools.partial(make_optimizer, **self._shared | run_values.clock(run))
        return {
            "generator": optimizer(run["generator_learning_rate"]),
            "discriminator": optimizer(run["discriminator_learning_rate"]),
        }

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Real faces beside generated ones; the latents are the same every time."""
        constants, size = state.mutable["constants"], batch.image.shape[0]
        label = self._label(batch.identity)

        def draw(seed: int) -> Float[Array, "b h w 3"]:
            key = jax.random.key(seed)
            drawing = self._drawing(key, size, 0.0, label, constants)
            return self._draw(state.ema["generator"], constants, drawing)[0]

        drawn, other = draw(0), draw(1)
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

    def _label(self, people: Int[Array, " b"]) -> Float[Array, "b n"] | None:
        """One-hot classes of faces, by the number of the person or folder; None without classes."""
        return jax.nn.one_hot(people, self._classes) if self._classes else None

    def _drawing(
        self,
        key: Key[Array, ""],
        count: int,
        style_mixing: float,
        label: Float[Array, "b n"] | None,
        constants: PyTree,
        parts: int = 1,
    ) -> Drawing:
        """Random latents, and noise for faces that are drawn in so many parts."""
        keys = jax.random.split(key, 3)
        other, replaced = None, None
        if style_mixing:
            second, place = (jax.random.fold_in(keys[0], stream) for stream in STYLE_MIXING_STREAMS)
            other = jax.random.normal(second, (count, self._z_dim))
            layers = num_latents(self._generator.resolution)
            replaced = draw_replaced(place, count, layers, style_mixing)
        pose = jax.random.normal(keys[1], (count, self._pose_dim)) if self._pose_dim else None
        z = jax.random.normal(keys[0], (count, self._z_dim))
        if parts == 1:
            return Drawing(z, other, replaced, pose, label, keys[2], None)
        noise = noise_maps(constants["synthesis"], keys[2], count)
        return Drawing(z, other, replaced, pose, label, None, noise)

    def _draw(
        self, generator: PyTree, constants: PyTree, drawing: Drawing, parts: int = 1
    ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b l d"]]:
        """The faces of a drawing and their codes."""

        def drawn(
            part: Part, drawing: Drawing
        ) -> tuple[Float[Array, "b h w 3"], Float[Array, "b l d"]]:
            ws = self._codes({"params": generator["synthesis"], "constants": constants}, drawing)
            pose = self._pose_code(generator, drawing)
            return self._synthesize(generator, constants, ws, pose, drawing), ws

        return in_parts(drawn, parts, drawing)

    def _synthesize(
        self,
        generator: PyTree,
        constants: PyTree,
        ws: Float[Array, "b l d"],
        pose: Float[Array, "b 4 4 c"] | None,
        drawing: Drawing,
    ) -> Float[Array, "b h w 3"]:
        """Faces with the noise of the drawing."""
        mode = "random"
        if drawing.noise_key is None:
            # A map for every row in the place of the one that all rows share.
            constants, mode = {**constants, "synthesis": drawing.noise}, "const"
        variables = {"params": generator["synthesis"], "constants": constants}
        return apply(
            self._generator, variables, ws, pose, mode, drawing.noise_key, method="synthesize"
        )

    def _codes(self, variables: PyTree, drawing: Drawing) -> Float[Array, "b l d"]:
        """W+ codes of latents, a share of them with styles of two."""
        ws = apply(self._generator, variables, drawing.z, drawing.label, method="map")
        if drawing.other is None:
            return ws
        assert drawing.replaced is not None
        others = apply(self._generator, variables, drawing.other, drawing.label, method="map")
        return jnp.where(drawing.replaced[..., None], others, ws)

    def _pose_code(self, generator: PyTree, drawing: Drawing) -> Float[Array, "b 4 4 c"] | None:
        if drawing.pose is None:
            return None
        return apply(self._sampler, {"params": generator["pose"]}, drawing.pose)

    def _path_gradient(
        self,
        generator: PyTree,
        constants: PyTree,
        mean_length: Float[Array, ""],
        key: Key[Array, ""],
        label: Float[Array, "b n"] | None,
        size: int,
    ) -> tuple[PyTree, Float[Array, ""], Float[Array, ""]]:
        """Gradient of the path length penalty on a batch of its own, half as large."""
        count = max(size // PATH_BATCH_SHRINK, 1)
        side = self._generator.resolution
        # A penalty of every n-th step has to weigh as much as n of them.
        weight = self._path_weight * self._path_interval
        directions = jax.random.normal(jax.random.split(key, 4)[3], (count, side, side, 3))
        label = None if label is None else label[:count]
        parts = self._accumulate if count % self._accumulate == 0 else 1
        drawing = self._drawing(key, count, self._style_mixing, label, constants, parts)

        def lengths(
            params: PyTree, drawing: Drawing, directions: Float[Array, "b h w 3"]
        ) -> Float[Array, " b"]:
            ws = self._codes({"params": params["synthesis"], "constants": constants}, drawing)
            pose = self._pose_code(params, drawing)
            synthesize = lambda codes: self._synthesize(  # noqa: E731
                params, constants, codes, pose, drawing
            )
            return path_lengths(synthesize, ws, directions)

        def penalty(params: PyTree) -> tuple[Array, tuple[Array, Array]]:
            seen = lambda part, *rows: lengths(params, *rows)  # noqa: E731
            found = in_parts(seen, parts, drawing, directions)
            deviation, average = path_length_penalty(found, mean_length)
            return weight * deviation, (average, deviation)

        gradient, (average, deviation) = jax.grad(penalty, has_aux=True)(generator)
        return gradient, average, deviation


def _track_average(constants: PyTree, ws: Float[Array, "b l d"]) -> PyTree:
    """Moves ``w_avg`` towards the mean code of this batch."""
    old = constants["mapping"]["w_avg"]
    # The first layer's code is of the first latents whether or not styles are mixed.
    new = jnp.mean(jax.lax.stop_gradient(ws[:, 0]), axis=0)
    average = new + (old - new) * W_AVERAGE_DECAY
    return {**constants, "mapping": {**constants["mapping"], "w_avg": average}}
