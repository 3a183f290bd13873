"""Task ``identity``: train a network that reads faces, for the losses or as a judge."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.face_analyser import FaceFactors, unit_length
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.accumulation import Part, in_parts
from alrl_jax.training.losses.identity import arcface_logits
from alrl_jax.training.losses.table import readers, total_loss
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
from alrl_jax.training.tasks.face_networks import KINDS, Reading, check_readings, split_variables
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

LARGEST_NOISE = 0.1
"""Deviation of the pixel noise of ``augment`` at full strength."""


@flax.struct.dataclass
class AnalyserForward:
    """What the losses read: what is true of the faces, and what the network says.

    Attributes:
        factors: all known factors; None where the network does not read them.
        faces: what is known about the faces.
        class_logits: scaled cosines to every person's centre, with the margin; None where no loss
            with a weight reads them.
        pose_degrees: yaw, pitch, roll; None as above.
        parsing_logits: CelebAMask-HQ class of every pixel; None as above.
    """

    factors: FaceFactors | None
    faces: FaceBatch
    class_logits: Float[Array, "b n"] | None
    pose_degrees: Float[Array, "b 3"] | None
    parsing_logits: Float[Array, "b h w k"] | None


class IdentityTask:
    """Regression of the known factors of faces, or ArcFace where only identities are known.

    ``identity.kind`` says what reads them, see ``KINDS``.
    """

    name = "identity"
    batch_kind = "faces"

    def __init__(self, config: Config) -> None:
        check_losses(self.name, config.losses)
        rates = config.optimizer
        self._seed, self._weights, self._ema_kimg = config.seed, config.losses, rates.ema_kimg
        self._resolution, self._num_people = config.resolution, config.data.num_identities
        self._kind, self._augment = config.identity.kind, config.identity.augment
        self._model_config = values.analyser_values(config)
        read_by = readers(self.name, config.losses)
        check_readings(self._kind, read_by)
        self._analyser = KINDS[self._kind].build(self._model_config)
        self._has_classes = "class_logits" in read_by
        self._accumulate = config.accumulate
        self._shared, self._skips = values.optimizer_values(config), config.skip_nonfinite > 0
        self._shared |= {"algorithm": rates.algorithm}
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
        net_key, centre_key = jax.random.split(key)
        images = jnp.zeros((1, self._resolution, self._resolution, 3))
        net, statistics = split_variables(self._analyser.init(net_key, images))
        params: dict[str, PyTree] = {"analyser": net}
        if self._has_classes:
            width = jax.eval_shape(self._embed, {**net, **statistics}, images).shape[-1]
            shape = (self._num_people, width)
            params["centres"] = {"people": jax.random.normal(centre_key, shape)}
        mutable = {"analyser": statistics} if statistics else {}
        return new_state(params, self._optimizers, ("analyser",), mutable)

    def phase(self, step: int) -> Phase:
        """Every step is the same."""
        return Phase()

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One regression step on augmented faces."""
        images = self._augmented(state, batch)

        def loss(params: PyTree) -> tuple[Array, Metrics]:
            def seen(part: Part, images: Float[Array, "b h w 3"]) -> Reading:
                return self._analyser.read(self._variables(params, state), images)

            read = in_parts(seen, self._accumulate, images)
            logits = None
            if self._has_classes:
                assert read.embedding is not None
                centres = unit_length(params["centres"]["people"])
                logits = arcface_logits(read.embedding, centres, batch.identity)
            forward = AnalyserForward(
                read.factors, batch, logits, read.pose_degrees, read.parsing_logits
            )
            return total_loss(self.name, forward, self._weights)

        (total, losses), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        size = images.shape[0]
        run = frozen.get(run_values.KEY, self._run)
        new = update_networks(state, gradients, self._make_optimizers(run), size, self._ema_kimg)
        metrics = {"loss/total": total, **loss_metrics(losses), **gradient_metrics(gradients)}
        if self._skips:
            new, metrics[SKIPPED] = without_nonfinite(state, new, gradients)
        rate = rate_schedule(
            run["learning_rate"], decay=self._shared["decay"], **run_values.clock(run)
        )
        return new, metrics | rate_metrics({"learning": rate}, state.step)

    def run_values(self) -> dict[str, Any]:
        """Length and rates of the run, which updates take from ``frozen["run"]``."""
        return self._run

    def _make_optimizers(self, run: RunValues) -> dict[str, optax.GradientTransformation]:
        rule = make_optimizer(run["learning_rate"], **self._shared | run_values.clock(run))
        return {"analyser": rule, "centres": rule} if self._has_classes else {"analyser": rule}

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: FaceBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """What the net sees."""
        return {"face": batch.image, "augmented": self._augmented(state, batch)}

    def export(self, state: TrainState, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged network."""
        variables = self._variables(state.ema, state)
        return ExportedModel(self._kind, self._model_config, variables)

    def _embed(self, variables: PyTree, images: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        embedding = self._analyser.read(variables, images).embedding
        assert embedding is not None, "the kind was checked to know identities"
        return embedding

    def _variables(self, params: PyTree, state: TrainState) -> PyTree:
        return {**params["analyser"], **state.mutable.get("analyser", {})}

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
