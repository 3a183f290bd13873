"""Task ``identity``: train a face analyser, either the identity net of the losses or a judge."""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_analyser
from alrl_jax.models.face_analyser import FaceFactors, unit_length
from alrl_jax.models.functional import apply
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.losses.identity import arcface_logits
from alrl_jax.training.losses.table import readers, total_loss
from alrl_jax.training.optim import make_optimizer
from alrl_jax.training.state import PyTree, TrainState, new_state, update_networks
from alrl_jax.training.tasks import values
from alrl_jax.training.tasks.pretrained import Reader
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    loss_metrics,
)
from alrl_jax.types import FaceBatch

LARGEST_NOISE = 0.1
"""Deviation of the pixel noise of ``augment`` at full strength."""


@flax.struct.dataclass
class AnalyserForward:
    """What the losses read: what is true of the faces, and what the analyser says.

    Attributes:
        factors: the net's reading.
        faces: what is known about the faces.
        class_logits: scaled cosines to every person's centre, with the margin; None where no loss
            with a weight reads them.
    """

    factors: FaceFactors
    faces: FaceBatch
    class_logits: Float[Array, "b n"] | None


KINDS = ("identity", "judge")
"""What a trained analyser can be called."""


class IdentityTask:
    """Regression of the known factors of faces, or ArcFace where only identities are known."""

    name = "identity"
    batch_kind = "faces"

    def __init__(self, config: Config) -> None:
        check_losses(self.name, config.losses)
        rates = config.optimizer
        self._seed, self._weights, self._ema_kimg = config.seed, config.losses, rates.ema_kimg
        self._resolution, self._num_people = config.resolution, config.data.num_identities
        self._kind, self._augment = config.identity.kind, config.identity.augment
        self._model_config = values.analyser_values(config)
        self._analyser = build_analyser(self._model_config)
        self._has_classes = "class_logits" in readers(self.name, config.losses)
        optimizer = make_optimizer(
            rates.learning_rate, algorithm=rates.algorithm, **values.optimizer_values(config)
        )
        self._optimizers = {"analyser": optimizer}
        if self._has_classes:
            self._optimizers["centres"] = optimizer

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Nothing is frozen."""
        return {}

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Training starts from scratch."""
        return {}

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights."""
        net_key, centre_key = jax.random.split(key)
        images = jnp.zeros((1, self._resolution, self._resolution, 3))
        params: dict[str, PyTree] = {"analyser": self._analyser.init(net_key, images)}
        if self._has_classes:
            shape = (self._num_people, self._analyser.identity_width)
            params["centres"] = {"people": jax.random.normal(centre_key, shape)}
        return new_state(params, self._optimizers, ("analyser",), {})

    def phase(self, step: int) -> Phase:
        """Every step is the same."""
        return Phase()

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One regression step on augmented faces."""
        images = self._augmented(state, batch)

        def loss(params: PyTree) -> tuple[Array, Metrics]:
            factors, logits = apply(self._analyser, params["analyser"], images), None
            if self._has_classes:
                embedding = unit_length(factors.identity_vector)
                centres = unit_length(params["centres"]["people"])
                logits = arcface_logits(embedding, centres, batch.identity)
            forward = AnalyserForward(factors, batch, logits)
            return total_loss(self.name, forward, self._weights)

        (total, losses), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        size = images.shape[0]
        state = update_networks(state, gradients, self._optimizers, size, self._ema_kimg)
        return state, {"loss/total": total, **loss_metrics(losses)}

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """What the net sees."""
        return {"face": batch.image, "augmented": self._augmented(state, batch)}

    def export(self, state: TrainState, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged analyser."""
        return ExportedModel(self._kind, self._model_config, state.ema["analyser"])

    def _augmented(self, state: TrainState, batch: FaceBatch) -> Float[Array, "b h w 3"]:
        key = jax.random.fold_in(jax.random.key(self._seed), state.step)
        return augment(key, batch.image, self._augment)


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
    # Draws below 0 are cut: half of the faces stay sharp.
    share = jnp.clip(strength * jax.random.uniform(blur_key, (b, 1, 1, 1), minval=-1.0), 0.0, 1.0)
    # Squared: most faces get little noise.
    level = LARGEST_NOISE * strength * jnp.square(jax.random.uniform(level_key, (b, 1, 1, 1)))
    noise = level * jax.random.normal(noise_key, images.shape)
    return images + share * (soft - images) + noise
