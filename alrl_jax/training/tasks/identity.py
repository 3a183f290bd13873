"""Task ``identity``: train a face analyser, either the identity net of the losses or a judge."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_analyser
from alrl_jax.models.face_analyser import unit_length
from alrl_jax.models.functional import apply
from alrl_jax.training.losses.table import AnalyserForward, arcface_logits, total_loss
from alrl_jax.training.state import PyTree, TrainState, ema_decay, update_ema
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    network_optimizer,
)
from alrl_jax.types import FaceBatch
from alrl_jax.worlds import primitives

KINDS = ("identity", "judge")
"""What a trained analyser can be called."""


class IdentityTask:
    """Regression of the known factors of faces, or ArcFace where only identities are known."""

    name = "identity"
    batch_kind = "faces"

    def __init__(self, config: Config) -> None:
        check_losses(config)
        self._config = config
        self._model_config = analyser_config(config)
        self._analyser = build_analyser(self._model_config)
        rates = config.optimizer
        self._optimizer = network_optimizer(config, rates.learning_rate, algorithm=rates.algorithm)

    def load_frozen(self) -> dict[str, PyTree]:
        """Nothing is frozen."""
        return {}

    def load_pretrained(self) -> dict[str, PyTree]:
        """Training starts from scratch."""
        return {}

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights."""
        size = self._config.resolution
        net_key, centre_key = jax.random.split(key)
        analyser = self._analyser.init(net_key, jnp.zeros((1, size, size, 3)))
        params: dict[str, PyTree] = {"analyser": analyser}
        if self._config.losses.get("arcface", 0.0):
            shape = (self._config.data.num_identities, self._analyser.identity_width)
            params["centres"] = jax.random.normal(centre_key, shape)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            ema={"analyser": jax.tree.map(jnp.copy, analyser)},
            opt_state={"all": self._optimizer.init(params)},
            mutable={},
        )

    def phase(self, step: int) -> Phase:
        """Every step is the same."""
        return Phase()

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One regression step on augmented faces."""
        key = jax.random.fold_in(jax.random.key(self._config.seed), state.step)
        images = augment(key, batch.image, self._config.identity.augment)

        def loss(params: PyTree) -> tuple[Array, Metrics]:
            factors = apply(self._analyser, params["analyser"], images)
            logits = jnp.zeros((images.shape[0], 0))
            if "centres" in params:
                embedding = unit_length(factors.identity_vector)
                logits = arcface_logits(embedding, unit_length(params["centres"]), batch.identity)
            return total_loss(
                self.name, AnalyserForward(factors, batch, logits), self._config.losses
            )

        (total, values), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = self._optimizer.update(gradient, state.opt_state["all"], state.params)
        params: PyTree = optax.apply_updates(state.params, updates)
        decay = ema_decay(state.step, images.shape[0], self._config.optimizer.ema_kimg)
        metrics = {f"loss/{name}": value for name, value in values.items()}
        return dataclasses.replace(
            state,
            step=state.step + 1,
            params=params,
            ema={"analyser": update_ema(state.ema["analyser"], params["analyser"], decay)},
            opt_state={"all": opt_state},
        ), {"loss/total": total, **metrics}

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """What the net sees."""
        key = jax.random.fold_in(jax.random.key(self._config.seed), state.step)
        seen = augment(key, batch.image, self._config.identity.augment)
        return {"face": batch.image, "augmented": seen}

    def export(self, state: TrainState, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged analyser."""
        kind = self._config.identity.kind
        return ExportedModel(kind, self._model_config, state.ema["analyser"])


def analyser_config(config: Config) -> dict:
    """Plain values that rebuild the analyser, widths of the synthetic factors included."""
    return {
        "block": config.identity.block,
        "widths": list(config.identity.widths),
        "hidden": config.identity.hidden,
        "resolution": config.resolution,
        "identity_width": len(primitives.IDENTITY_FACTORS),
        "attribute_width": len(primitives.ATTRIBUTE_FACTORS),
        "num_landmarks": len(primitives.LANDMARKS),
    }


def augment(
    key: Key[Array, ""], images: Float[Array, "b h w 3"], strength: float
) -> Float[Array, "b h w 3"]:
    """Makes renders look less perfect: blur of random width, and noise.

    Generated faces are softer and noisier than renders; a net that has met neither reads them
    badly.

    Args:
        key: seeds the draw.
        images: pixels in [-1, 1].
        strength: 0 changes nothing.
    """
    if strength == 0:
        return images
    blur_key, noise_key, level_key = jax.random.split(key, 3)
    b, h, w, c = images.shape
    small = jax.image.resize(images, (b, h // 2, w // 2, c), "linear", antialias=True)
    soft = jax.image.resize(small, images.shape, "linear")
    share = jnp.clip(strength * jax.random.uniform(blur_key, (b, 1, 1, 1), minval=-1.0), 0.0, 1.0)
    level = 0.1 * strength * jnp.square(jax.random.uniform(level_key, (b, 1, 1, 1)))
    noise = level * jax.random.normal(noise_key, images.shape)
    return images + share * (soft - images) + noise
