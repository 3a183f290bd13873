"""Task ``swap``: train encoder, adaptive selection and generator end to end on pairs of faces.

Labels that exist are used (parsing for the face region, known factors for the names of the
attribute groups); where a face has none, those losses leave it out. The true swap of two different
people is never used, but by the loss ``supervised``, which is the stated ceiling's.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from alrl_jax.config import Config
from alrl_jax.models.build import build_swapper
from alrl_jax.models.functional import apply
from alrl_jax.models.stylegan2.ada import DiscriminatorAugmentation
from alrl_jax.models.swapper.pair_codes import GateNoise
from alrl_jax.models.swapper.probe import FactorProbe
from alrl_jax.models.swapper.swapper import Networks, PairEncoding, Selected
from alrl_jax.storage.model_directory import read_model
from alrl_jax.training.accumulation import Part, in_parts
from alrl_jax.training.losses.table import readers, total_loss
from alrl_jax.training.metrics import SKIPPED
from alrl_jax.training.state import (
    PyTree,
    TrainState,
    new_state,
    update_networks,
    without_nonfinite,
)
from alrl_jax.training.tasks import (
    attribute_control,
    diagnostics,
    pooling,
    run_values,
    swap_samples,
    swap_schedules,
    values,
    warm_start,
)
from alrl_jax.training.tasks.discriminator import DiscriminatorTraining, alternate
from alrl_jax.training.tasks.hiding import Hiding
from alrl_jax.training.tasks.loss_networks import LossNetworks, identity_values
from alrl_jax.training.tasks.pairs import interleave, separate
from alrl_jax.training.tasks.pretrained import Reader, like
from alrl_jax.training.tasks.swap_forward import Constants, Drawn, Encoded, SwapForward, SwapPairs
from alrl_jax.training.tasks.task import (
    ExportedModel,
    Metrics,
    Phase,
    check_losses,
    loss_metrics,
)
from alrl_jax.types import LatentCodes, PairBatch, SwapGates
from alrl_jax.worlds import primitives

RECONSTRUCTED = {"drawn.reconstructed", "read.self_distance"}
"""Parts of a forward pass for which the sources are drawn from their own codes."""

Images = Float[Array, "b h w 3"]


class SwapTask:
    """End-to-end face swapping.

    Trained: ``encoder``, ``swap``, ``target_features`` where the swapper has them and, where the
    config says so, ``generator``; for training only, a ``discriminator`` and the ``probe`` of the
    attribute groups. Frozen: ``identity`` and, where the losses read with them, ``lpips``, ``pose``
    and ``parser``, else the ``generator``, where the config says so the encoder's ``backbone``, and
    the statistics of an encoder's batch normalisation.
    """

    name = "swap"
    batch_kind = "pairs"

    def __init__(self, config: Config) -> None:
        # The config is read here and nowhere else: all below take plain values.
        own = values.swap_values(config)
        check_losses(self.name, config.losses)
        self._seed = config.seed
        self._weights, self._ema_kimg = config.losses, config.optimizer.ema_kimg
        self._resolution = config.resolution
        self._loss_side = config.loss_resolution or config.resolution
        self._temperature = functools.partial(
            swap_schedules.gate_temperature,
            start=config.swap.temperature_start,
            end=config.swap.temperature_end,
        )
        self._gate_budget = config.swap.gate_budget
        self._channel_groups = config.swap.channel_groups
        self._hiding = Hiding(
            config.swap.cycle_targets,
            config.swap.target_warp,
            config.swap.attribute_control,
            attribute_control.groups_seen(self._weights),
            config.discriminator.mbstd_blocks,
            self._loss_side,
        )
        self._start = warm_start.WarmStart(
            pretrained=config.pretrained,
            resolution=config.resolution,
            fresh=config.fresh,
            selector=config.swap.selector,
            train_generator=config.generator.train,
            train_backbone=config.encoder.train_backbone,
        )
        self._start.check()
        identity = identity_values(config.pretrained, self._loss_side)
        self._model_config = self._start.swapper_values(own, identity)
        self._readers = readers(self.name, config.losses)
        self._swapper = build_swapper(self._model_config, config.remat)
        self._loss_networks = LossNetworks(
            self._swapper.identity,
            config.pretrained,
            config.losses,
            config.perceptual_resolution,
            values.attribute_factors(config) if config.swap.attribute_control else (),
        )
        self._probe = FactorProbe(
            attribute_groups=values.ATTRIBUTE_GROUPS,
            factor_groups=values.factor_groups(config),
            channel_groups=config.swap.channel_groups,
        )
        ada = config.discriminator
        self._discriminator = DiscriminatorTraining(
            self._start.discriminator_values(own["discriminator"]),
            DiscriminatorAugmentation(ada.ada, ada.ada_p, ada.ada_target, ada.ada_kimg),
            self._weights.get("r1", 0.0),
            config.optimizer.r1_interval,
            config.accumulate,
            config.discriminator.freeze_blocks,
        )
        self._accumulate = config.accumulate
        self._detach_blend = config.swap.detach_blend
        trained = swap_schedules.trained_networks(
            self._swapper, config.generator.train, "fake_logits" in self._readers
        )
        features = self._swapper.target_features
        self._make_optimizers = functools.partial(
            swap_schedules.make_optimizers,
            config.optimizer,
            own["optimizer"],
            trained,
            features.constants if features else (),
        )
        self._optimizers, _ = self._make_optimizers()
        self._run, self._skips = run_values.run_values(config), config.skip_nonfinite > 0

    def load_frozen(self, read: Reader = read_model) -> dict[str, PyTree]:
        """The loss networks, and generator and features that are held still."""
        return self._loss_networks.load_frozen(read) | self._start.load_frozen(read)

    def load_pretrained(self, read: Reader = read_model) -> dict[str, PyTree]:
        """Start values of what is trained; see ``WarmStart.load_pretrained``."""
        return self._start.load_pretrained(read)

    def init(self, key: Key[Array, ""], pretrained: dict[str, PyTree]) -> TrainState:
        """Fresh weights, replaced by what is pretrained."""
        keys = jax.random.split(key, 3)
        images = jnp.zeros(
            (self._discriminator.mbstd_blocks, self._resolution, self._resolution, 3)
        )
        fresh = self._swapper.init(keys[0], images)
        codes = self._swapper.encode(fresh, images).codes
        owners = (codes.attributes.shape[1], self._channel_groups, len(values.ATTRIBUTE_GROUPS))
        fresh["probe"] = self._probe.init(keys[1], codes, jnp.ones(owners))
        fresh["discriminator"] = self._discriminator.init(keys[2])
        pretrained = self._start.grown(fresh, pretrained)
        encoder = warm_start.start_encoder(fresh["encoder"], pretrained)
        names = ("swap", "target_features", "probe", "generator", "discriminator")
        networks = {name: like(name, fresh[name], pretrained) for name in names if name in fresh}
        generator = networks.pop("generator")
        held = () if self._start.train_backbone else (warm_start.BACKBONE,)
        params = {name: x for name, x in networks.items() if name != "swap" or self._trains(name)}
        params["encoder"] = {
            "params": {name: x for name, x in encoder["params"].items() if name not in held}
        }
        statistics = {name: tree for name, tree in encoder.items() if name != "params"}
        mutable = {"encoder": statistics} if statistics else {}
        if self._trains("generator"):
            params["generator"], mutable["constants"] = generator["params"], generator["constants"]
        mutable |= self._discriminator.augmentation.start() | diagnostics.first_owners(params)
        averaged = {"encoder", "swap", "target_features", "generator"} & params.keys()
        return new_state(params, self._optimizers, averaged, mutable)

    def phase(self, step: int) -> Phase:
        """Which lazy regularisers the next step runs."""
        return Phase(r1=self._trains("discriminator") and self._discriminator.due(step))

    def step(
        self, state: TrainState, frozen: dict[str, PyTree], batch: PairBatch, phase: Phase
    ) -> tuple[TrainState, Metrics]:
        """One update of all trained networks on one forward pass."""
        key = jax.random.fold_in(jax.random.key(self._seed), state.step)
        pairs = self._pairs(state, frozen, batch, key)
        # Forward, losses and gradients of all but the discriminator, which has losses of its own.
        trained = {name: state.params[name] for name in self._optimizers if name != "discriminator"}

        def loss(params: PyTree) -> tuple[Array, tuple[SwapForward, Images, Metrics]]:
            forward, fakes = self._forward({**state.params, **params}, state, frozen, pairs, key)
            total, losses = total_loss(self.name, forward, self._weights)
            return total, (forward, fakes, losses)

        (total, (forward, fakes, losses)), gradients = jax.value_and_grad(loss, has_aux=True)(
            trained
        )
        metrics = {"loss/total": total, **loss_metrics(losses)}
        run = frozen.get(run_values.KEY, self._run)
        optimizers, rates = self._make_optimizers(run=run)
        networks = self._networks(state.params, state, frozen)
        metrics |= diagnostics.all_metrics(self._swapper, networks, state, forward, gradients)
        metrics |= diagnostics.rate_metrics(rates, state.step)
        metrics["gates/temperature"] = self._temperature(state.step, run["num_steps"])
        if self._loss_networks.parser is not None:
            unknown = ~jnp.stack([batch.source.labelled, batch.target.labelled])
            metrics["labels/from_parser"] = jnp.mean(unknown.astype(jnp.float32))

        # The discriminator sees the targets as they are, and swaps before and after the blend.
        mutable = state.mutable
        if self._trains("discriminator"):
            gradients["discriminator"], mutable, d_metrics = self._discriminator.gradient(
                state.params["discriminator"],
                batch.target.image,
                fakes,
                mutable,
                key,
                state.step,
                phase.r1,
            )
            metrics |= d_metrics

        # Update of all networks at once, then of their averages.
        size = batch.target.image.shape[0]
        new = update_networks(state, gradients, optimizers, size, self._ema_kimg)
        new = dataclasses.replace(new, mutable=mutable)
        if self._skips:
            new, metrics[SKIPPED] = without_nonfinite(state, new, gradients)
        return new, metrics

    def run_values(self) -> dict[str, Any]:
        """Length and rates of the run, which updates take from ``frozen["run"]``."""
        return self._run

    def preview(
        self, state: TrainState, frozen: dict[str, PyTree], batch: PairBatch
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Source, target and all that the averaged networks make of them."""
        networks = self._networks(state.ema, state, frozen)
        return swap_samples.show(self._swapper, networks, batch)

    def measure(self, state: TrainState, frozen: dict[str, PyTree], batch: PairBatch) -> Metrics:
        """How much of the source's and of the target's person swaps of held-out pairs have."""
        networks = self._networks(state.ema, state, frozen)
        return swap_samples.measure(self._swapper, networks, batch)

    def export(self, state: TrainState, frozen: dict[str, PyTree]) -> ExportedModel:
        """The averaged swapper, and the training-only networks for those who train on."""
        networks = self._networks(state.ema, state, frozen)
        variables = {
            **networks,
            "probe": state.params["probe"],
            "discriminator": state.params["discriminator"],
        }
        return ExportedModel("swapper", self._model_config, variables)

    def _pairs(
        self, state: TrainState, frozen: dict[str, PyTree], batch: PairBatch, key: Key[Array, ""]
    ) -> SwapPairs:
        """The batch as networks and losses see it; cycle targets are of the averaged networks."""
        swap = functools.partial(self._swap_images, self._networks(state.ema, state, frozen))
        return self._hiding.pairs(batch, swap, key)

    def _forward(
        self,
        params: PyTree,
        state: TrainState,
        frozen: dict[str, PyTree],
        pairs: SwapPairs,
        key: Key[Array, ""],
    ) -> tuple[SwapForward, Images]:
        """All that the losses read, and the swaps that the discriminator sees, whole."""

        temperature = self._temperature(
            state.step, frozen.get(run_values.KEY, self._run)["num_steps"]
        )

        def drawn(part: Part, pairs: SwapPairs) -> tuple[dict[str, Any], Images, Images]:
            noise = GateNoise(temperature, key, part, self._accumulate)
            return self._draw(params, state, frozen, pairs, noise)

        found, generated, image = in_parts(drawn, self._accumulate, pairs)
        fakes = alternate(generated, image)
        logits = self._fake_logits(params["discriminator"], fakes, state, key)
        return SwapForward(pairs=pairs, fake_logits=logits, **found), fakes

    def _draw(
        self,
        params: PyTree,
        state: TrainState,
        frozen: dict[str, PyTree],
        pairs: SwapPairs,
        noise: GateNoise,
    ) -> tuple[dict[str, Any], Images, Images]:
        """What the losses read of some pairs, the faces that are generated, and these blended."""
        swapper, networks = self._swapper, self._networks(params, state, frozen)
        # Encode both faces, in one batch: the encoder is compiled once.
        images = interleave(pairs.whole_source, pairs.whole_target)
        source, target = separate(swapper.encode(networks, images))
        embedding = swapper.embed(networks, pairs.whole_source)
        # Select codes and features: which come from the source, which from the target.
        pair = PairEncoding(source, target, embedding)
        taken = attribute_control.select(
            lambda overrides: swapper.select(networks, pair, overrides, noise),
            swapper.overrides({}),
            swapper.selector.attribute_groups,
            pairs.control,
        )
        # Generate the swap, and the source from its own codes.
        generated, reconstructed = self._generate(networks, taken, source.codes)
        # Blend the swap into the target.
        encoded = swapper.encode(networks, generated)
        region = target.region_logits
        image, mask = swapper.finish(
            networks,
            generated,
            pairs.whole_target,
            jax.lax.stop_gradient(region) if self._detach_blend else region,
            # The blend may not be gamed: no face is drawn wider to win a larger mask.
            jax.lax.stop_gradient(encoded.region_logits),
        )
        # What the losses read, as large as they see it.
        whole = Drawn(image, generated, mask, taken.codes, taken.gates, reconstructed)
        drawn = pooling.pool_drawn(whole, self._loss_side)
        found = dict(
            encoded=pooling.resize_encoded(
                Encoded(source, target, encoded, embedding), self._loss_side
            ),
            drawn=drawn,
            wanted=self._loss_networks.wanted(frozen, pairs, embedding),
            read=self._loss_networks.read(frozen, pairs, drawn),
            probe_factors=self._probed(params["probe"], target.codes, taken.gates),
            constants=Constants(
                face_classes=jnp.asarray(primitives.FACE_LABELS),
                w_avg=networks["generator"]["constants"]["mapping"]["w_avg"],
                budget=jnp.asarray(self._gate_budget, jnp.float32),
            ),
        )
        return found, generated, image

    def _generate(
        self, networks: Networks, taken: Selected, source: LatentCodes
    ) -> tuple[Images, Images | None]:
        """Swaps, and, where a loss reads them, the sources drawn from their own codes alone."""
        if not self._readers.keys() & RECONSTRUCTED:
            return self._swapper.generate(networks, taken.codes, taken.injected), None
        injected = jax.tree.map(lambda x: interleave(x, jnp.zeros_like(x)), taken.injected)
        both = interleave(taken.codes, source)
        return separate(self._swapper.generate(networks, both, injected))

    def _probed(
        self, probe: PyTree, target: LatentCodes, gates: SwapGates
    ) -> Float[Array, "b f"] | None:
        """The target's factors as the probe reads them, where a loss reads those."""
        if "probe_factors" not in self._readers:
            return None
        return apply(self._probe, probe, target, gates.owners)

    def _fake_logits(
        self, discriminator: PyTree, fakes: Images, state: TrainState, key: Key[Array, ""]
    ) -> Float[Array, "b 1"] | None:
        """The discriminator's logits of swaps, where a loss reads them."""
        if "fake_logits" not in self._readers:
            return None
        return self._discriminator.logits(discriminator, fakes, state.mutable, key, "generator")

    def _swap_images(self, networks: Networks, source: Images, target: Images) -> Images:
        return self._swapper.swap(networks, source, target, self._swapper.overrides({})).image

    def _networks(self, params: PyTree, state: TrainState, frozen: dict[str, PyTree]) -> Networks:
        generator = frozen.get("generator")
        if generator is None:
            generator = {"params": params["generator"], "constants": state.mutable["constants"]}
        encoder = {**params["encoder"], **state.mutable.get("encoder", {})}
        if "backbone" in frozen:
            encoder["params"] = {**encoder["params"], warm_start.BACKBONE: frozen["backbone"]}
        return {
            "encoder": encoder,
            "swap": params.get("swap", {}),
            "target_features": params.get("target_features", {}),
            "generator": generator,
            "identity": frozen["identity"],
        }

    def _trains(self, name: str) -> bool:
        return name in self._optimizers
